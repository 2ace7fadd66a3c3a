"""Tables about what a detector says of items that were made to test it."""

import polars as pl

from m2v.schemas.table import Table

PROBES = Table(
    name="probes",
    row="a sentence made from a template, and whether a detector must call it positive",
    columns={
        "item_id": pl.String,
        "function": pl.String,
        "group": pl.String,
        "expected": pl.Boolean,
        "text": pl.String,
        "text_sha256": pl.String,
    },
    key=("item_id",),
    hidden=frozenset({"text"}),
)

PROBE_PREDICTIONS = Table(
    name="probe_predictions",
    row="a run's probability of a probe",
    columns={
        "item_id": pl.String,
        "probability": pl.Float64,
        "threshold": pl.Float64,  # of the run, chosen on validation
        "predicted": pl.Boolean,
        "expected": pl.Boolean,
    },
    key=("item_id",),
)

FUNCTIONS = Table(
    name="functions",
    row="how many probes of a function and a target group a run calls rightly",
    columns={
        "run": pl.String,
        "function": pl.String,
        "group": pl.String,  # all: of every group together
        "expected": pl.Boolean,
        "n_items": pl.UInt32,
        "n_right": pl.UInt32,
        # Wilson's 95 % interval; null where there is no item to call.
        "right_share": pl.Float64,
        "right_share_low": pl.Float64,
        "right_share_high": pl.Float64,
    },
    key=("run", "function", "group"),
    nullable=frozenset({"right_share", "right_share_low", "right_share_high"}),
    is_checked=True,
)
