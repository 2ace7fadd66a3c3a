"""A hash of a frame's rows that does not depend on how they lie in memory or on disk, nor on the Polars version.

Parquet bytes differ between writers of equal rows, and ``DataFrame.hash_rows`` promises nothing between Polars
versions, so a data version needs a hash of its own.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import polars as pl
from blake3 import blake3

# Bounds the memory that hashing takes; part of the hash, because values are fed slice by slice.
SLICE_ROWS = 1 << 17


def rows_hash(frame: pl.DataFrame) -> str:
    """The BLAKE3 hash of column names, dtypes and values, in row order.

    Per column and slice of 131,072 rows: the packed validity (only where there are nulls), then the values, nulls as
    zeros: numbers as little-endian bytes, booleans packed, strings as their UTF-8 lengths (u32) followed by their
    bytes, enumerations as their codes, lists as their lengths (u32) followed by their elements.

    Raises:
        TypeError: For dtypes that no table of ours uses (structs, objects).
    """
    names = [_dtype_name(dtype) for dtype in frame.dtypes]
    header = json.dumps([frame.height, list(zip(frame.columns, names, strict=True))]).encode()
    # Not more threads than cores: each holds a slice of a column.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = list(pool.map(_column_digest, frame.get_columns()))
    return blake3(header + b"".join(digests)).hexdigest()


def _column_digest(column: pl.Series) -> bytes:
    digest = blake3()
    bounds = [*range(0, len(column), SLICE_ROWS), len(column)]
    for start, end in pairwise(bounds):
        _feed(digest, column[start:end])
    return digest.digest()


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
