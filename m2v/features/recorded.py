"""Features that somebody else computed, read from the file that they were published in."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.features import RecordedFeatures
from m2v.errors import BadInput
from m2v.files import parquet


def read(features: RecordedFeatures, path: Path, *, items: pl.DataFrame) -> pl.DataFrame:
    """Return the items' recorded vectors as rows of ``features``; an item that the file lacks has a null.

    Args:
        path: The file, whose sha256 was checked.
        items: Columns ``item_id`` and ``split``.

    Raises:
        BadInput: The file is neither parquet nor safetensors, has no vectors, vectors of several lengths or that are
            not finite, an id twice, or none of the items.
    """
    vectors = _vectors(features, path)
    _check(vectors, path)
    joined = items.select("item_id", "split").join(vectors, on="item_id", how="left", maintain_order="left")
    if not joined["vector"].count():
        raise BadInput(path, f"it has none of the {items.height:,} items' ids. Is `item_id: {features.item_id}` right?")
    columns = schemas.FEATURES.columns
    return joined.select(
        role=pl.lit("item").cast(columns["role"]),
        item_id="item_id",
        split="split",
        modality=pl.lit(features.modality).cast(columns["modality"]),
        part=pl.lit(0, pl.UInt32),
        token=pl.lit(0, pl.UInt32),
        time_s=pl.lit(None, pl.Float64),
        sha256=pl.lit(None, pl.String),
        vector="vector",
    ).sort(schemas.FEATURES.key)


def _vectors(features: RecordedFeatures, path: Path) -> pl.DataFrame:
    """Return columns ``item_id`` and ``vector``."""
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    if path.suffix != ".parquet":
        raise BadInput(path, "recorded features are read from parquet or safetensors, never from pickles.")
    rows = parquet.read(path, columns=[features.item_id, features.vector])
    dtype = rows.schema[features.vector]
    if not isinstance(dtype, pl.List | pl.Array) or not dtype.inner.is_numeric():  # pyright: ignore[reportAttributeAccessIssue]
        raise BadInput(path, f"column {features.vector!r} is {dtype}; it must hold lists of numbers.")
    return rows.select(
        item_id=pl.col(features.item_id).cast(pl.String), vector=pl.col(features.vector).cast(pl.List(pl.Float32))
    )


def _from_safetensors(path: Path) -> pl.DataFrame:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: Mapping[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(path, f"it is no safetensors file that can be read ({type(error).__name__}).") from error
    wrong = next((name for name, tensor in tensors.items() if tensor.ndim != 1), None)
    if wrong is not None:
        raise BadInput(path, f"its tensor {wrong!r} has {tensors[wrong].ndim} dimensions; each item's is one vector.")
    rows = {"item_id": list(tensors), "vector": [tensor.astype(np.float32).tolist() for tensor in tensors.values()]}
    return pl.DataFrame(rows, schema={"item_id": pl.String, "vector": pl.List(pl.Float32)})


def _check(vectors: pl.DataFrame, path: Path) -> None:
    repeated = vectors.filter(pl.col("item_id").is_duplicated())["item_id"]
    if len(repeated):
        raise BadInput(path, f"it has {repeated[0]!r} more than once; each item has one vector.")
    there = vectors.filter(pl.col("vector").is_not_null())
    lengths = there["vector"].list.len().unique().sort().to_list()
    if lengths in ([], [0]):
        raise BadInput(path, "it has no vectors.")
    if len(lengths) > 1:
        raise BadInput(path, f"its vectors have {' and '.join(map(str, lengths[:3]))} numbers; all must have as many.")
    values = there["vector"].explode()
    if not values.is_finite().all():
        place = int((~values.is_finite()).arg_max() or 0) // lengths[0]
        raise BadInput(path, f"the vector of {there['item_id'][place]!r} holds a number that is not finite.")
