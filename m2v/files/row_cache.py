"""Rows that a model computed once, kept for ever: what is known is asked of no model again, in no run and no study.

They lie in files named by their content, whole or not there at all. Rows that come one by one are first in a journal,
which a killed program leaves to the next.
"""

import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TextIO

import polars as pl
from filelock import lock_descriptor

from m2v.errors import StoreError
from m2v.files.digests import bytes_sha256, data_sha256
from m2v.files.whole import write

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


class Keep(Protocol):
    """Keeps one row, given by column."""

    def __call__(self, **row: Any) -> None: ...


def folder(root: Path, name: str, identity: Mapping[str, Any]) -> Path:
    """Return the folder of one version of a model: whatever changes what it finds changes the folder's name."""
    digest = data_sha256(identity)
    return root / f"{name}-{digest[:12]}"


def read(folder: Path, schema: Schema) -> pl.DataFrame:
    """Every known row, each key (the first column) once, sorted by it.

    Raises:
        StoreError: A file is damaged.
    """
    key = next(iter(schema))
    parts = [_shard(path) for path in sorted(folder.glob("*.parquet"))]
    # Of a row that two programs made at once, the one in the first file by name counts, always the same.
    return pl.concat([pl.DataFrame(schema=dict(schema)), *parts]).unique(key, keep="first").sort(key)


def known(folder: Path, schema: Schema) -> set[str]:
    """Return the keys of every known row, those that a killed program left among them."""
    absorb(folder, schema)
    return set(read(folder, schema)[next(iter(schema))])


def append(folder: Path, rows: pl.DataFrame, schema: Schema) -> None:
    """Add rows in a file of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    rows.select(list(schema)).write_parquet(content)
    write(folder / f"{bytes_sha256(content.getvalue())}.parquet", content.getvalue())


@contextmanager
def journal(folder: Path, schema: Schema) -> Iterator[Keep]:
    """Yield a function that keeps rows one by one, as they come; however that ends, they are in a shard then."""
    with part(folder, schema, name=uuid.uuid4().hex) as (_, keep):
        yield keep


@contextmanager
def part(folder: Path, schema: Schema, *, name: str) -> Iterator[tuple[set[str], Keep]]:
    """Yield a journal of one part of a plan, by name: whoever gets the part after a host died goes on from there.

    Yields:
        The keys that the journal has already, and a function that keeps another row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl"
    file = _locked(path)
    try:
        kept = _lines(file)

        def keep(**row: Any) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        yield {row[next(iter(schema))] for row in kept}, keep
    finally:
        file.close()
        _absorb(path, schema)


def absorb(folder: Path, schema: Schema) -> None:
    """Turn the journals of programs that ended, or were killed, into shards."""
    for path in sorted(folder.glob("*.jsonl")):
        _absorb(path, schema)


def _absorb(path: Path, schema: Schema) -> None:
    with suppress(FileNotFoundError), path.open("r+", encoding="utf-8") as file:
        if not lock_descriptor(file.fileno(), blocking=False):
            # Somebody writes it.
            return
        if rows := _lines(file):
            append(path.parent, pl.DataFrame(rows, schema=dict(schema)), schema)
        path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """Return a journal, locked as long as we live: whoever finds one free takes over what a killed program left."""
    while True:
        file = path.open("a+", encoding="utf-8")
        lock_descriptor(file.fileno())
        # Before it was locked, another program may have found it free, and taken it away.
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return file
        file.close()


def _lines(file: TextIO) -> list[dict[str, Any]]:
    """Return a journal's rows, and the place to go on; a line that a kill cut off has no end, and goes."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.truncate(len(whole.encode()))
    return [json.loads(line) for line in whole.split("\n")[:-1]]


def _shard(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if bytes_sha256(content) != path.stem:
        raise StoreError(f"{path} is damaged: its sha256 is not its name. Delete it; what it held is then made again.")
    return pl.read_parquet(io.BytesIO(content))
