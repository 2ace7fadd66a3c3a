"""Tables that lineage keeps."""

import polars as pl

from m2v.schemas.table import Table

FORGOTTEN = Table(
    name="forgotten",
    row="a meme that was taken out of everything; nothing of its content is kept",
    columns={
        "meme_id": pl.String,
        "why": pl.String,
        "forgotten_at": pl.Datetime("us", "UTC"),
        "tainted": pl.List(pl.String),  # versions of checkpoints that were trained on it
        "released": pl.List(pl.String),  # repository@tag of releases that hold it
        "held_by": pl.List(pl.String),  # versions that held it, purged ones too: what is made of them is not stored
        "sha256": pl.List(pl.String),  # of its texts, pictures and requests, to know copies by that turn up later
        "named": pl.List(pl.String),  # files that hold its text and are not ours to delete
    },
    key=("meme_id",),
)

FINDINGS = Table(
    name="findings",
    row="what a check found in a version of a table; the UI, the report and a card say the same",
    columns={
        "check": pl.String,
        "table": pl.String,
        "variant": pl.String,
        "is_fine": pl.Boolean,
        "summary": pl.String,  # one sentence; never an item's text
        "ids": pl.List(pl.String),  # of every offending item
        "figures": pl.String,  # JSON: numbers by name; null is "not estimable"
    },
    key=("table", "variant", "check"),
)
