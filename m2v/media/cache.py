"""Embeddings by text, kept for ever: a text is encoded once per encoder version, across all runs and studies."""

import hashlib
import io
from pathlib import Path

import polars as pl

from m2v.catalog.entries import Encoder
from m2v.errors import StoreError
from m2v.programfiles import replace

SCHEMA = {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)}


def folder(root: Path, encoder: Encoder) -> Path:
    """The folder of one encoder version: whatever changes an embedding changes its name."""
    identity = encoder.model_dump_json(include={"hub", "revision", "weights_sha256", "max_tokens"})
    return root / f"{encoder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def read(folder: Path) -> pl.DataFrame:
    """Every known embedding, columns ``text_sha256`` and ``embedding``, a text once, sorted by text.

    Raises:
        StoreError: A file is damaged.
    """
    shards = [_shard(path) for path in sorted(folder.glob("*.parquet"))]
    # Of a text that two programs encoded at once, the one in the first file by name counts, always the same.
    return pl.concat([pl.DataFrame(schema=SCHEMA), *shards]).unique("text_sha256", keep="first").sort("text_sha256")


def append(folder: Path, rows: pl.DataFrame) -> None:
    """Add embeddings in a file of their own, named by its content, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    rows.select(list(SCHEMA)).write_parquet(content)
    replace(folder / f"{hashlib.sha256(content.getvalue()).hexdigest()}.parquet", content.getvalue())


def _shard(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise StoreError(f"{path} is damaged: its sha256 is not its name. Delete it; its texts are then encoded again.")
    return pl.read_parquet(io.BytesIO(content))
