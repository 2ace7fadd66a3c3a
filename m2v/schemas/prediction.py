"""Tables of the stage prediction."""

import polars as pl

from m2v.schemas.table import Table

PREDICTIONS = Table(
    name="predictions",
    row="a meme's label under the target's definition, as a model sees it",
    columns={
        "meme_id": pl.String,
        "original": pl.Boolean,
        "predicted": pl.Boolean,  # null: the model gave no answer that is one of the two words
        "probability": pl.Float64,  # of the positive label; null where the source published none
        "model": pl.String,
        "request_sha256": pl.String,  # item, prompt, demonstrations, model revision and decoding
    },
    key=("meme_id",),
    is_checked=True,
    nullable=frozenset({"predicted", "probability"}),
)
