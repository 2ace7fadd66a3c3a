"""Columns and dtypes of every table, once.

A table's rows are validated before they are written: exact columns in order, exact dtypes, no nulls except where
allowed, unique keys. The validator is our own because it must name the offending row and cost little at five million
rows (docs/adr/0004).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from m2v.errors import InvalidRows, UnknownName

DType: TypeAlias = pl.DataType | type[pl.DataType]

SLICE_ROWS = 1 << 17

SPLITS = pl.Enum(["train", "validation", "test"])


@dataclass(frozen=True)
class Table:
    """What one row of a table is.

    Attributes:
        name: The table's name, which is its folder in the store and its group in the graph.
        row: What one row is, in a few words.
        columns: Dtype of each column, in order.
        key: Columns that together identify a row; unique, never null.
        nullable: Columns that may hold nulls.
        hidden: Columns with item texts; previews leave them out unless asked.
        former: Columns that versions of earlier code have; whoever has others is newer than we are.
    """

    name: str
    row: str
    columns: Mapping[str, DType]
    key: tuple[str, ...]
    nullable: frozenset[str] = field(default_factory=frozenset)
    hidden: frozenset[str] = field(default_factory=frozenset)
    former: frozenset[str] = field(default_factory=frozenset)

    def empty(self) -> pl.DataFrame:
        """Return a frame of this table with no rows."""
        return pl.DataFrame(schema=dict(self.columns))

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame itself, if its rows are this table's rows.

        Raises:
            InvalidRows: Names the table, the column and the first offending row (counted from 0).
        """
        self._validate_columns(frame)
        self._validate_nulls(frame)
        self._validate_key(frame)
        return frame

    def validate_parts(self, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the parts themselves, as they come, as long as together they are this table's rows in its key's order.

        The order, which ``validate`` does not ask for, shows repeated keys without a look at the parts before the last.

        Raises:
            InvalidRows: As ``validate``, when the part comes; rows are counted over all parts.
        """
        n_before, last = 0, self.empty().select(self.key)
        for part in parts:
            self._validate_columns(part)
            self._validate_nulls(part, n_before=n_before)
            self._validate_order(pl.concat([last, part.select(self.key)]), n_before=n_before - last.height)
            n_before += part.height
            last = part.select(self.key).tail(1) if part.height else last
            yield part

    def _validate_columns(self, frame: pl.DataFrame) -> None:
        if frame.columns != list(self.columns):
            missing = sorted(set(self.columns) - set(frame.columns))
            extra = sorted(set(frame.columns) - set(self.columns))
            detail = f"missing {missing}, unexpected {extra}" if missing or extra else f"order is {frame.columns}"
            raise InvalidRows(f"{self.name}: columns must be {list(self.columns)}; {detail}.")
        for column, dtype in self.columns.items():
            if frame.schema[column] != dtype:
                raise InvalidRows(f"{self.name}: column {column!r} is {frame.schema[column]}, it must be {dtype}.")

    def _validate_nulls(self, frame: pl.DataFrame, *, n_before: int = 0) -> None:
        for column in self.columns:
            if column not in self.nullable and frame[column].null_count():
                row = n_before + (frame[column].is_null().arg_max() or 0)
                raise InvalidRows(f"{self.name}: column {column!r} is null in row {row}; it must have a value.")

    def _validate_order(self, key: pl.DataFrame, *, n_before: int) -> None:
        is_equal, is_after = pl.lit(True), pl.lit(False)
        for name in self.key:
            here, before = pl.col(name), pl.col(name).shift()
            # Nulls come first, as sorting has them.
            is_higher = pl.when(here.is_null()).then(pl.lit(False)).when(before.is_null()).then(pl.lit(True))
            is_after |= is_equal & is_higher.otherwise(here > before)
            is_equal &= here.eq_missing(before)
        wrong = ~key.select(is_after.alias("fine")).to_series()[1:]
        if not wrong.any():
            return
        row = wrong.arg_max() or 0
        here, before = key.row(row + 1, named=True), key.row(row, named=True)
        what = f"stands in rows {n_before + row} and {n_before + row + 1}; {', '.join(self.key)} must be unique"
        if here != before:
            what = (
                f"comes after {before} in row {n_before + row + 1}; rows that come in parts must be in the key's order"
            )
        raise InvalidRows(f"{self.name}: key {here} {what}.")

    def _validate_key(self, frame: pl.DataFrame) -> None:
        key = frame.select(self.key)
        first = key[self.key[0]]
        # Tables are mostly sorted by a one-column key; comparing neighbours is then ten times cheaper than hashing.
        if len(self.key) == 1 and first.is_sorted():
            if not _has_equal_neighbours(first):
                return
        elif (key.n_unique() if len(self.key) > 1 else first.n_unique()) == frame.height:
            return
        row = key.is_duplicated().arg_max() or 0
        n_times = key.filter(pl.all_horizontal(pl.col(name) == key[name][row] for name in self.key)).height
        raise InvalidRows(
            f"{self.name}: key {dict(key.row(row, named=True))} stands in {n_times} rows, first in row {row}; "
            f"{', '.join(self.key)} must be unique."
        )


def _has_equal_neighbours(values: pl.Series) -> bool:
    # Piece by piece: comparing strings takes a copy of what is compared.
    pieces = (values[start : start + SLICE_ROWS + 1] for start in range(0, len(values), SLICE_ROWS))
    return any((piece[1:] == piece[:-1]).any() for piece in pieces)


def table(name: str) -> Table:
    """Return the table of that name.

    Raises:
        UnknownName: With the nearest known names.
    """
    if name not in TABLES:
        raise UnknownName("table", name, TABLES)
    return TABLES[name]


MEMES = Table(
    name="memes",
    row="a meme: its text, its label under its own dataset's definition, its image",
    columns={
        "meme_id": pl.String,
        "split": SPLITS,
        "text": pl.String,
        "label": pl.Boolean,
        "image": pl.String,  # path below the dataset's media folder
        "text_sha256": pl.String,
    },
    key=("meme_id",),
    nullable=frozenset({"image"}),
    hidden=frozenset({"text"}),
)

VIDEOS = Table(
    name="videos",
    row="a video in a split: its transcript, its label, its media",
    columns={
        "video_id": pl.String,
        "split": SPLITS,
        "text": pl.String,
        "label": pl.Boolean,
        "video": pl.String,  # paths below the dataset's media folder
        "audio": pl.String,
        "text_sha256": pl.String,
    },
    # A video may stand in two splits (one does in MultiHateClip): integrity reports it, a policy resolves it.
    key=("video_id", "split"),
    nullable=frozenset({"video", "audio"}),
    hidden=frozenset({"text"}),
)

DEMONSTRATIONS = Table(
    name="demonstrations",
    row="a few-shot example of the target's label, in prompt order",
    columns={
        "position": pl.UInt32,
        "video_id": pl.String,
        "label": pl.Boolean,
        "text": pl.String,
        "description": pl.String,
    },
    key=("position",),
    nullable=frozenset({"description"}),
    hidden=frozenset({"text", "description"}),
)

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
    nullable=frozenset({"split", "time_s", "sha256", "vector"}),
)

MEME_IMAGES = Table(
    name="meme_images",
    row="a meme's picture as models see it, or what is wrong with it",
    columns={
        "meme_id": pl.String,
        "path": pl.String,  # of the upright RGB copy
        "width": pl.UInt32,  # before it was scaled down
        "height": pl.UInt32,
        "pixels_sha256": pl.String,
        "perceptual_hash": pl.String,  # 64 bits as hex
        "is_torn": pl.Boolean,  # the file ends before the picture does; the rest is grey
        "problem": pl.Enum(["missing", "outside", "unreadable", "too_large"]),
    },
    key=("meme_id",),
    nullable=frozenset({"path", "width", "height", "pixels_sha256", "perceptual_hash", "is_torn", "problem"}),
)

VIDEO_FEATURES = Table(
    name="video_features",
    row="a video's frames, the file of its sound and its transcript, or what is wrong with it",
    columns={
        "video_id": pl.String,
        "duration_s": pl.Float64,
        "width": pl.UInt32,
        "height": pl.UInt32,
        "frames": pl.List(pl.String),  # paths of their files, in order of time
        "frame_times_s": pl.List(pl.Float64),
        "frame_sha256": pl.List(pl.String),
        "frame_variance": pl.List(pl.Float64),  # of grey levels, 0 to 255
        "problem": pl.String,
        "sound": pl.String,  # the file that holds its sound, below the dataset's media folder
        "sound_sha256": pl.String,
        "audio_problem": pl.String,
        "transcript": pl.String,
        "transcript_source": pl.Enum(["dataset", "whisper", "none"]),
    },
    key=("video_id",),
    nullable=frozenset({"duration_s", "width", "height", "problem", "sound", "sound_sha256", "audio_problem"}),
    hidden=frozenset({"transcript"}),
    former=frozenset({"frame_embeddings", "embedding", "mel_mean", "mel_std", "mfcc_mean", "mfcc_std"}),
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
    nullable=frozenset({"predicted", "probability"}),
)

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
        "config_sha256": pl.String,
        "guideline_sha256": pl.String,
        "state": pl.Enum(["open", "complete", "closed"]),  # complete: everything was answered; closed: by hand
    },
    key=("round",),
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
    },
    key=("meme_id",),
    nullable=frozenset({"label"}),
)

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
    row="a test video's probability of the positive label",
    columns={"video_id": pl.String, "label": pl.Boolean, "probability": pl.Float64},
    key=("video_id",),
)

SCORES = ("accuracy", "macro_f1", "f1", "recall", "precision", "auroc")

METRICS = Table(
    name="metrics",
    row="one run's scores on its target's test split, with 95 % bootstrap intervals",
    columns={
        "run": pl.String,
        "model": pl.String,
        "strategy": pl.String,
        "memes": pl.String,
        "target": pl.String,
        "seed": pl.Int32,
        "paper_mode": pl.Boolean,
        "n_listed": pl.UInt32,
        "n_scored": pl.UInt32,
        "coverage_share": pl.Float64,
        "threshold": pl.Float64,
        **{f"{score}{end}": pl.Float64 for score in SCORES for end in ("", "_low", "_high")},
    },
    key=("run",),
    # no_ft and vid_ft use no memes; AUROC needs both classes; the majority class has no threshold.
    nullable=frozenset({"memes", "threshold", "auroc", "auroc_low", "auroc_high"}),
)

RESULTS = Table(
    name="results",
    row="one run's scores with intervals, the majority class of each target among them",
    columns=METRICS.columns,
    key=METRICS.key,
    nullable=METRICS.nullable,
)

COMPARISONS = Table(
    name="comparisons",
    row="two strategies on the same test videos: McNemar's exact test",
    columns={
        "target": pl.String,
        "run_a": pl.String,
        "run_b": pl.String,
        "n_both": pl.UInt32,  # videos that both scored
        "n_only_a_right": pl.UInt32,
        "n_only_b_right": pl.UInt32,
        "p_value": pl.Float64,
        "p_holm": pl.Float64,  # adjusted over the comparisons of one target
    },
    key=("run_a", "run_b"),
)

DATASET_RELEASES = Table(
    name="dataset_releases",
    row="a version of an alignment that was published to the Hub",
    columns={
        "kind": pl.String,
        "name": pl.String,
        "repo": pl.String,
        "version": pl.UInt32,
        "tag": pl.String,
        "commit": pl.String,
        "content_sha256": pl.String,
        "inputs": pl.String,  # JSON: version and rows hash of each table read, by table/variant
        "files": pl.String,  # JSON: sha256 by path
        "published_at": pl.Datetime("us", "UTC"),
    },
    key=("repo", "version"),
)

ADAPTER_RELEASES = Table(
    name="adapter_releases",
    row="a version of a run's adapter that was published to the Hub",
    columns=DATASET_RELEASES.columns,
    key=DATASET_RELEASES.key,
)

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

RELEASED_LABELS = Table(
    name="released_labels",
    row="a meme's final label as it is published; a licence's allow-list says which of these columns may leave",
    columns={
        "meme_id": pl.String,
        "split": pl.String,
        "label": pl.Boolean,
        "decided_by": pl.String,
        "n_votes": pl.UInt32,
        "n_humans": pl.UInt32,
        "margin": pl.Int32,
        "probability": pl.Float64,
        "predicted": pl.Boolean,
        "original": pl.Boolean,
        "text_sha256": pl.String,
        "text": pl.String,
    },
    key=("meme_id",),
    nullable=frozenset({"label", "probability", "predicted"}),
    hidden=frozenset({"text"}),
)

TABLES: dict[str, Table] = {
    each.name: each
    for each in (
        MEMES,
        VIDEOS,
        DEMONSTRATIONS,
        MEME_IMAGES,
        VIDEO_FEATURES,
        FEATURES,
        PREDICTIONS,
        CONFLICTS,
        HUMAN_LABELS,
        ROUNDS,
        SKIPS,
        QUARANTINED_ANSWERS,
        VOTED_LABELS,
        TRAINING_EXAMPLES,
        REJECTS,
        CHECKPOINTS,
        TEST_PREDICTIONS,
        METRICS,
        RESULTS,
        COMPARISONS,
        DATASET_RELEASES,
        ADAPTER_RELEASES,
        FORGOTTEN,
    )
}
