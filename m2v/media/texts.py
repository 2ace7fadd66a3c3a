"""Which texts an encoder must see, and their embeddings as rows."""

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.datasets import LabelDefinition
from m2v.files.digests import text_sha256


def to_encode(items: pl.DataFrame, *, item_id: str, label: LabelDefinition | None) -> pl.DataFrame:
    """The items' texts, and for a target the two sentences that define its label.

    Args:
        items: Columns ``split``, ``text``, ``text_sha256`` and the one named ``item_id``.

    Returns:
        Columns ``role``, ``item_id``, ``split``, ``text_sha256``, ``text``; sorted by role, item and split.
    """
    columns = schemas.TEXT_FEATURES.columns
    rows = items.select(
        pl.lit("item").cast(columns["role"]).alias("role"),
        pl.col(item_id).alias("item_id"),
        "split",
        "text_sha256",
        "text",
    )
    if label:
        sentences = {"positive": label.positive_definition, "negative": label.negative_definition}
        definitions = pl.DataFrame(
            {
                "role": [f"{sign}_definition" for sign in sentences],
                "item_id": list(sentences),
                "split": [None, None],
                "text_sha256": [text_sha256(text) for text in sentences.values()],
                "text": list(sentences.values()),
            },
            schema=rows.schema,
        )
        rows = pl.concat([rows, definitions])
    return rows.sort("role", "item_id", "split")


def features(rows: pl.DataFrame, embeddings: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``to_encode`` with their texts' embeddings (columns ``text_sha256``, ``embedding``) instead."""
    joined = rows.join(embeddings, on="text_sha256", how="left", maintain_order="left")
    return joined.select(list(schemas.TEXT_FEATURES.columns))


def matrix(items: pl.DataFrame, *, features: pl.DataFrame) -> np.ndarray:
    """The embeddings of the items' texts, (items, dimensions), float32, in the order of ``items``.

    Args:
        items: Column ``text_sha256``.
        features: Rows of ``text_features``, of several datasets if need be.
    """
    known = features.select("text_sha256", "embedding").unique("text_sha256", keep="first", maintain_order=True)
    found = items.select("text_sha256").join(known, on="text_sha256", how="left", maintain_order="left")["embedding"]
    if found.null_count():
        raise ValueError(f"{found.null_count()} texts have no embedding; their text_features are of another version.")
    return found.explode().to_numpy().reshape(len(found), -1)


def definitions(features: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the positive and the negative definition, (dimensions,) each, float32."""
    rows = dict(
        features.filter(pl.col("role") != "item").select(pl.col("role").cast(pl.String), "embedding").iter_rows()
    )
    return (
        np.array(rows["positive_definition"], dtype=np.float32),
        np.array(rows["negative_definition"], dtype=np.float32),
    )
