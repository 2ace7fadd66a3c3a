"""Rows that are computed once and kept for ever, in files named by their content: whole, or not there at all."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from m2v.errors import StoreError
from m2v.programfiles import replace

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def read(folder: Path, schema: Schema) -> pl.DataFrame:
    """Every known row, each key (the first column) once, sorted by it.

    Raises:
        StoreError: A file is damaged.
    """
    key = next(iter(schema))
    parts = [_shard(path) for path in sorted(folder.glob("*.parquet"))]
    # Of a row that two programs made at once, the one in the first file by name counts, always the same.
    return pl.concat([pl.DataFrame(schema=dict(schema)), *parts]).unique(key, keep="first").sort(key)


def append(folder: Path, rows: pl.DataFrame, schema: Schema) -> None:
    """Add rows in a file of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    rows.select(list(schema)).write_parquet(content)
    replace(folder / f"{hashlib.sha256(content.getvalue()).hexdigest()}.parquet", content.getvalue())


def _shard(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise StoreError(f"{path} is damaged: its sha256 is not its name. Delete it; what it held is then made again.")
    return pl.read_parquet(io.BytesIO(content))
