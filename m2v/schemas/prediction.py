"""Tables of the stage prediction."""

import polars as pl

from m2v.schemas.table import Table

SUITE_ANSWERS = Table(
    name="suite_answers",
    row="what a model answers about a meme of a suite, asked under the definition of one of its tasks",
    columns={
        "meme_id": pl.String,
        "outcome": pl.Enum(["positive", "negative", "refused", "unparsed"]),
        "probability": pl.Float64,  # of the positive label; null where the model wrote
        "request_sha256": pl.String,  # item, prompt, definition, model revision and decoding
    },
    key=("meme_id",),
    nullable=frozenset({"probability"}),
)

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
