"""Parquet that we did not write: read within limits, and what cannot be read is an error and nothing else.

Polars raises its own errors for most damage, and panics for some, which no ``except Exception`` would see.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from m2v.errors import BadInput, MissingColumn

# What reading a damaged file ends in.
DAMAGED = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
# As rows in memory. A file of some kilobytes may say a billion rows.
MAX_BYTES = 8 << 30
ROWS_AT_A_TIME = 1 << 16


def schema(path: Path | io.BytesIO, *, where: Path | str | None = None) -> pl.Schema:
    """Return a file's columns and their dtypes.

    Args:
        where: What errors name; default: the path.

    Raises:
        BadInput: It is no parquet file that can be read.
    """
    try:
        return pl.Schema(pl.read_parquet_schema(path))
    except DAMAGED as error:
        raise _bad(path if where is None else where, error) from None


def read(
    path: Path | io.BytesIO,
    *,
    columns: Sequence[str] | None = None,
    where: Path | str | None = None,
    max_bytes: int = MAX_BYTES,
) -> pl.DataFrame:
    """Return columns of a file.

    Args:
        columns: Default: all that it has.
        where: What errors name; default: the path.
        max_bytes: Of the rows in memory.

    Raises:
        MissingColumn: It lacks one of them.
        BadInput: It cannot be read, or holds more than that.
    """
    place = path if where is None else where
    there = schema(path, where=where)
    wanted = list(there if columns is None else columns)
    missing = [column for column in wanted if column not in there]
    if missing:
        has = ", ".join(list(there)[:20])
        raise MissingColumn(str(place), f"lacks column {', '.join(map(repr, missing))}; it has {has}.")
    # Of a file without rows there is no part, and it has its columns all the same.
    parts, n_bytes = [pl.DataFrame(schema={column: there[column] for column in wanted})], 0
    try:
        batches = pl.scan_parquet(path).select(wanted).collect_batches(chunk_size=ROWS_AT_A_TIME, maintain_order=True)
        for part in batches:
            n_bytes += part.estimated_size()
            if n_bytes > max_bytes:
                raise BadInput(str(place), f"holds more than {max_bytes >> 20:,} MB of rows, which nobody needs here.")
            parts.append(part)
    except DAMAGED as error:
        raise _bad(place, error) from None
    return pl.concat(parts)


def _bad(where: object, error: BaseException) -> BadInput:
    # Polars may quote what it read, which may be an item's text.
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return BadInput(str(where), f"it is no parquet file that can be read ({reason}).")
