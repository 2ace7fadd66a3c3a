"""Tables of the stage features."""

import polars as pl

from m2v.schemas.table import SPLITS, Table

FEATURES = Table(
    name="features",
    row="a part of an item as an extractor sees it, or that the item has no such part; or a sentence of a definition",
    columns={
        "role": pl.Enum(["item", "positive_definition", "negative_definition"]),
        "item_id": pl.String,
        "split": SPLITS,
        "modality": pl.Enum(["text", "picture", "frames", "sound", "rationale"]),
        "part": pl.UInt32,  # of several, which: a frame's number
        "token": pl.UInt32,  # of a part seen token by token, which; else 0
        "time_s": pl.Float64,
        "sha256": pl.String,  # of what was looked at; equal parts have equal vectors
        "vector": pl.List(pl.Float32),  # (dimensions,); null: the item has nothing to look at
    },
    key=("role", "item_id", "split", "modality", "part", "token"),
    is_checked=True,
    nullable=frozenset({"split", "time_s", "sha256", "vector"}),
)
