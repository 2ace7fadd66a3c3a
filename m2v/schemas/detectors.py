"""Tables of the stage detectors."""

import polars as pl

from m2v.schemas.table import SPLITS, Table

TRAINING_EXAMPLES = Table(
    name="training_examples",
    row="an example to train on",
    columns={
        "dataset": pl.String,
        "item_id": pl.String,
        "split": SPLITS,
        "text": pl.String,
        "text_sha256": pl.String,
        "label": pl.Boolean,
        "label_source": pl.Enum(["original", "voted", "video"]),
    },
    key=("dataset", "item_id", "split"),
    is_checked=True,
    hidden=frozenset({"text"}),
)

REJECTS = Table(
    name="rejects",
    row="an item that a policy kept out of training, with the reason",
    columns={
        "dataset": pl.String,
        "item_id": pl.String,
        "split": SPLITS,
        "reason": pl.Enum(["id_in_other_split", "text_in_other_split", "undecided"]),
        "detail": pl.String,  # the splits or the vote's outcome; never a text
    },
    key=("dataset", "item_id", "split"),
)

CHECKPOINTS = Table(
    name="checkpoints",
    row="a trained model: where its folder is, what its weights are, what was selected on validation",
    columns={
        "run": pl.String,
        "folder": pl.String,  # below the platform's home; its manifest.json is written last
        "weights_sha256": pl.String,  # null: a model that was not trained
        "threshold": pl.Float64,
        "selection": pl.String,  # JSON: what was chosen on the validation split, and how well it did there
        "n_train": pl.UInt32,
    },
    key=("run",),
    nullable=frozenset({"weights_sha256"}),
)

TEST_PREDICTIONS = Table(
    name="test_predictions",
    row="a test video's true label, and what a run calls it",
    columns={
        "video_id": pl.String,
        "true_label": pl.Boolean,
        "predicted": pl.Boolean,  # whether the probability reaches the threshold
        "probability": pl.Float64,  # of the positive label
        "threshold": pl.Float64,  # the run's, chosen on the validation split
    },
    key=("video_id",),
    former=frozenset({"label"}),
)

VALIDATION_PREDICTIONS = Table(
    name="validation_predictions",
    row="a validation video's true label, and what a run calls it: what thresholds and scalings are chosen on",
    columns=TEST_PREDICTIONS.columns,
    key=TEST_PREDICTIONS.key,
)

OPERATED_PREDICTIONS = Table(
    name="operated_predictions",
    row="a new item that an operator made of a test video, and what a run calls it",
    columns={
        "operator": pl.String,
        "video_id": pl.String,  # its parent's
        "item_id": pl.String,
        "donor_id": pl.String,  # of whom it has the modality
        "true_label": pl.Boolean,  # by what the operator says of its parent's; of a control, negative
        "predicted": pl.Boolean,
        "probability": pl.Float64,
        "threshold": pl.Float64,  # the run's, chosen on the untouched validation split
    },
    key=("operator", "video_id"),
    nullable=frozenset({"donor_id"}),
)

EXPLANATIONS = Table(
    name="explanations",
    row="what decided a test video: how much a modality weighed, or a training example that is like it",
    columns={
        "item_id": pl.String,
        "kind": pl.Enum(["modality", "neighbour"]),
        "rank": pl.UInt32,  # from 1 on, the weightiest first
        "name": pl.String,  # of a modality `extractor:modality`, of a neighbour its id
        "dataset": pl.String,  # of a neighbour
        "label": pl.Boolean,  # of a neighbour, as it was trained on
        "weight": pl.Float64,  # of a modality its share, 0-1; of a neighbour its cosine
    },
    key=("item_id", "kind", "rank"),
    nullable=frozenset({"dataset", "label"}),
)
