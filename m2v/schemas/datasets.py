"""Tables of the stage datasets."""

import polars as pl

from m2v.schemas.table import SPLITS, Table

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
    is_checked=True,
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
    is_checked=True,
    nullable=frozenset({"video", "audio"}),
    hidden=frozenset({"text"}),
)


def id_column(items: pl.DataFrame) -> str:
    """Return which column of rows of ``memes`` or ``videos`` has their ids."""
    return VIDEOS.key[0] if VIDEOS.key[0] in items.columns else MEMES.key[0]


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
    is_checked=True,
    nullable=frozenset({"description"}),
    hidden=frozenset({"text", "description"}),
)

ITEM_SPLITS = Table(
    name="splits",
    row="an item's part in a split besides its dataset's own",
    columns={"item_id": pl.String, "split": SPLITS},
    key=("item_id",),
    is_checked=True,
)

FACETS = Table(
    name="facets",
    row="something else that the dataset's authors say of an item: whom it attacks, how, what carries it",
    columns={"item_id": pl.String, "facet": pl.String, "value": pl.String},
    key=("item_id", "facet", "value"),
    is_checked=True,
)

SEGMENTS = Table(
    name="segments",
    row="a span of a video with its label, as the dataset's authors wrote it down",
    columns={
        "item_id": pl.String,
        "part": pl.UInt32,  # which of the item's, in the order of the file
        "start_s": pl.Float64,
        "end_s": pl.Float64,  # before start_s where the file has them the wrong way round
        "label": pl.String,
    },
    key=("item_id", "part", "label"),
    is_checked=True,
)

SOURCE_VOTES = Table(
    name="source_votes",
    row="the label that one of the dataset's own annotators gave an item",
    columns={
        "item_id": pl.String,
        "annotator": pl.String,  # a number, in the order of the file, or a group
        "label": pl.String,
    },
    key=("item_id", "annotator"),
    is_checked=True,
)
