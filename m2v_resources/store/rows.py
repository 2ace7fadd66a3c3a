"""A hash of a frame's rows that does not depend on how they lie in memory or on disk, nor on the Polars version.

Parquet bytes differ between writers of equal rows, and ``DataFrame.hash_rows`` promises nothing between Polars
versions, so a data version needs a hash of its own.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from blake3 import blake3

from m2v.programs import cores

# Bounds the memory that hashing takes; part of the hash, because values are fed slice by slice.
SLICE_ROWS = 1 << 17


def rows_hash(frame: pl.DataFrame) -> str:
    """Return the BLAKE3 hash of column names, dtypes and values, in row order.

    Per column and slice of 131,072 rows: the packed validity (only where there are nulls), then the values, nulls as
    zeros: numbers as little-endian bytes, booleans packed, strings as their UTF-8 lengths (u32) followed by their
    bytes, enumerations as their codes, lists as their lengths (u32) followed by their elements.

    Raises:
        TypeError: For dtypes that no table of ours uses (structs, objects).
    """
    rows = RowsHash(frame.schema)
    rows.update(frame)
    return rows.hexdigest()


class RowsHash:
    """``rows_hash`` of rows that come in parts, wherever they are cut; it holds the last part and less than a slice."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.n_rows = 0
        self._names = [(name, _dtype_name(dtype)) for name, dtype in schema.items()]
        self._digests = [blake3() for _ in self._names]
        # What fills no slice yet.
        self._rest: list[pl.DataFrame] = []
        self._n_rest = 0

    def update(self, part: pl.DataFrame) -> None:
        """Add rows of the schema."""
        self.n_rows += part.height
        self._rest.append(part)
        self._n_rest += part.height
        if self._n_rest < SLICE_ROWS:
            return
        rows = pl.concat(self._rest, rechunk=False) if len(self._rest) > 1 else part
        n_whole = rows.height - rows.height % SLICE_ROWS
        # Not more threads than cores: each holds a slice of a column.
        with ThreadPoolExecutor(cores.n_cores()) as pool:
            list(pool.map(_feed_slices, self._digests, rows.head(n_whole).get_columns()))
        self._rest, self._n_rest = [rows.slice(n_whole)], rows.height - n_whole

    def hexdigest(self) -> str:
        """Of the rows so far."""
        digests = [digest.copy() for digest in self._digests]
        if self._n_rest:
            for digest, column in zip(digests, pl.concat(self._rest).get_columns(), strict=True):
                _feed(digest, column)
        header = json.dumps([self.n_rows, self._names]).encode()
        return blake3(header + b"".join(digest.digest() for digest in digests)).hexdigest()


def _feed_slices(digest: blake3, column: pl.Series) -> None:
    for start in range(0, len(column), SLICE_ROWS):
        _feed(digest, column[start : start + SLICE_ROWS])


def _feed(digest: blake3, values: pl.Series) -> None:
    if values.null_count():
        digest.update(b"n" + np.packbits(values.is_not_null().to_numpy()).tobytes())
    dtype = values.dtype
    if dtype == pl.Boolean:
        digest.update(np.packbits(values.fill_null(value=False).to_numpy()).tobytes())
    elif dtype == pl.String:
        digest.update(_bytes(values.str.len_bytes().fill_null(0).to_numpy()))
        digest.update(values.fill_null("").str.join("").item().encode())
    elif isinstance(dtype, pl.List):
        lengths = values.list.len().fill_null(0)
        digest.update(_bytes(lengths.to_numpy()))
        _feed(digest, values.filter(lengths > 0).explode())
    elif dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Enum:
        digest.update(_bytes(values.to_physical().fill_null(0).to_numpy()))
    else:
        raise TypeError(f"column {values.name!r} is {dtype}, which has no row hash")


def _bytes(values: np.ndarray) -> memoryview:
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little_endian).view(np.uint8).data


def _dtype_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Enum):
        return f"enum{json.dumps(dtype.categories.to_list())}"
    if isinstance(dtype, pl.List):
        return f"list[{_dtype_name(dtype.inner)}]"  # pyright: ignore[reportArgumentType]
    if isinstance(dtype, pl.Datetime):
        return f"datetime[{dtype.time_unit},{dtype.time_zone}]"
    return type(dtype).__name__.lower()
