"""Test videos as operators on items take them, and what these make as rows of ``videos`` and ``video_features``."""

import polars as pl

from m2v import schemas
from m2v.files.digests import text_sha256


def given(videos: pl.DataFrame, media: pl.DataFrame | None) -> pl.DataFrame:
    """Return what the program of operators reads: ``item_id``, ``label``, ``text``, ``frames``, ``frame_sha256``.

    Args:
        videos: Rows of ``videos``.
        media: Rows of ``video_features``; None: no frames are shown.
    """
    items = videos.select("label", "text", item_id="video_id")
    if media is None:
        nothing = pl.lit([], pl.List(pl.String))
        return items.with_columns(frames=nothing, frame_sha256=nothing)
    seen = media.select("frames", "frame_sha256", item_id="video_id")
    joined = items.join(seen, on="item_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("frames", "frame_sha256").fill_null([]))


def as_videos(made: pl.DataFrame) -> pl.DataFrame:
    """Return new items as rows of ``videos`` of the test split.

    Args:
        made: Columns ``item_id``, ``text`` and ``label``.
    """
    nothing = pl.lit(None, pl.String)
    return made.select(
        video_id="item_id",
        split=pl.lit("test").cast(schemas.SPLITS),
        text="text",
        label="label",
        video=nothing,
        audio=nothing,
        text_sha256=pl.Series([text_sha256(text) for text in made["text"]], dtype=pl.String),
    )


def as_media(made: pl.DataFrame, media: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return new items as rows of ``video_features``: their own frames and text, and their parents' sound.

    Args:
        made: Columns of ``MADE``.
        media: Rows of ``video_features`` of the parents; None: no frames are shown.
    """
    if media is None:
        return None
    named = made.select("item_id", "parent_id", "text", new_frames="frames", new_sha256="frame_sha256")
    joined = named.join(media, left_on="parent_id", right_on="video_id", how="left", maintain_order="left")
    # A frame's time is its parent's; frames that are written anew have no grey levels known, and need none.
    n_frames = pl.col("new_frames").list.len()
    rows = joined.with_columns(
        video_id="item_id",
        frames="new_frames",
        frame_sha256="new_sha256",
        frame_times_s=pl.int_ranges(n_frames).cast(pl.List(pl.Float64)),
        frame_variance=pl.int_ranges(n_frames).cast(pl.List(pl.Float64)),
        transcript="text",
    )
    return rows.select(list(schemas.VIDEO_FEATURES.columns))
