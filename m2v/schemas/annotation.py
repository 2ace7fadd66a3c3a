"""Tables of the stage annotation."""

import polars as pl

from m2v.schemas.table import Table

CONFLICTS = Table(
    name="conflicts",
    row="a meme that people should look at: its labels differ, or it was drawn to audit the agreed ones",
    columns={
        "meme_id": pl.String,
        "original": pl.Boolean,
        "predicted": pl.Boolean,
        "reason": pl.Enum(["disagreement", "audit"]),
        "inclusion_probability": pl.Float64,
    },
    key=("meme_id",),
    nullable=frozenset({"predicted"}),
)

HUMAN_LABELS = Table(
    name="human_labels",
    row="one annotator's answer about one meme",
    columns={
        "meme_id": pl.String,
        "annotator": pl.String,  # a pseudonym
        "label": pl.Boolean,
        "round": pl.String,
        "role": pl.Enum(["annotator", "adjudicator"]),
        "mode": pl.Enum(["blind", "assisted", "unrecorded"]),  # whether the prediction was shown
        "confidence": pl.UInt8,  # 1 unsure, 2 rather sure, 3 sure
        "duration_s": pl.Float64,
        "answered_at": pl.Datetime("us", "UTC"),
        "guideline_sha256": pl.String,
        "config_sha256": pl.String,
        "comment": pl.String,
    },
    key=("meme_id", "annotator", "round"),
    is_checked=True,
    # Answers that were recorded elsewhere say who and what, no more.
    nullable=frozenset({"confidence", "duration_s", "answered_at", "guideline_sha256", "config_sha256", "comment"}),
    hidden=frozenset({"comment"}),
)

ROUNDS = Table(
    name="rounds",
    row="a round: memes that people were asked about in Label Studio, under one definition of the label",
    columns={
        "round": pl.String,
        "role": pl.Enum(["annotator", "adjudicator"]),
        "mode": pl.Enum(["blind", "assisted"]),
        "n_annotators": pl.UInt32,
        "n_conflicts": pl.UInt32,
        "n_audit": pl.UInt32,
        "n_gold": pl.UInt32,
        "n_pictures": pl.UInt32,  # items that are shown with their picture
        "config_sha256": pl.String,
        "guideline_sha256": pl.String,
        "state": pl.Enum(["open", "complete", "closed"]),  # complete: everything was answered; closed: by hand
    },
    key=("round",),
    is_checked=True,
)

SKIPS = Table(
    name="skips",
    row="an annotator's choice not to answer about a meme",
    columns={
        "meme_id": pl.String,
        "annotator": pl.String,
        "round": pl.String,
        "reason": pl.Enum(["harmful", "cannot_tell", "unstated"]),
        "skipped_at": pl.Datetime("us", "UTC"),
    },
    key=("meme_id", "annotator", "round"),
)

QUARANTINED_ANSWERS = Table(
    name="quarantined_answers",
    row="something in Label Studio that is no answer we count, with the reason",
    columns={
        "round": pl.String,
        "project_id": pl.Int64,
        "annotation_id": pl.Int64,
        "meme_id": pl.String,
        "annotator": pl.String,
        "reason": pl.Enum(
            [
                "unknown_item",
                "unknown_label",
                "two_choices",
                "empty_result",
                "other_config",
                "other_author",
                "imported",
                "not_in_round",
                "beyond_overlap",
            ]
        ),
        "answered_at": pl.Datetime("us", "UTC"),
    },
    key=("round", "project_id", "annotation_id", "answered_at"),
    nullable=frozenset({"meme_id", "annotator"}),
)

VOTED_LABELS = Table(
    name="voted_labels",
    row="a meme's final label: who decided it, and by how much",
    columns={
        "meme_id": pl.String,
        "label": pl.Boolean,  # null: undecided, decided_by says why
        "decided_by": pl.Enum(["agreement", "humans", "majority", "adjudicator", "tie", "too_few_answers"]),
        "n_votes": pl.UInt32,
        "n_humans": pl.UInt32,
        "margin": pl.Int32,  # votes for the label minus votes against
        "posterior": pl.Float64,  # how probable the positive label is; where the study weighs votes by `dawid_skene`
    },
    key=("meme_id",),
    is_checked=True,
    nullable=frozenset({"label", "posterior"}),
)
