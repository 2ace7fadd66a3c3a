"""Few-shot examples: drawn by seed where the target names none, and as a model is shown them."""

from collections.abc import Sequence

import polars as pl

from m2v import schemas
from m2v.entries.pretrained import Vlm
from m2v.errors import InvalidRows
from m2v.files.digests import text_sha256
from m2v.prediction.prompts import Media

# What the program reads (``m2v.prediction.predict``): items, and demonstrations in prompt order.
SHOWN = {
    "text": pl.String,
    "pictures": pl.List(pl.String),
    "pictures_sha256": pl.List(pl.String),
    "media": pl.String,
    "description": pl.String,
}
ITEMS = {"item_id": pl.String, **SHOWN}
DEMONSTRATIONS = {**SHOWN, "label": pl.Boolean}


def draw(videos: pl.DataFrame, *, split: str, n: int, seed: int, leaks: pl.DataFrame) -> pl.DataFrame:
    """As many examples of either label out of a split, positive and negative in turn.

    By the smallest sha256 of seed and id, so that a video's draw does not depend on the others. A video that stands in
    another split too, or whose text does, is never drawn; nor is one without a text.

    Args:
        videos: Rows of ``videos``.
        split: ``train`` or ``validation``.
        leaks: Rows of ``rejects``: what stands in a later split too.

    Returns:
        Rows of ``demonstrations``.

    Raises:
        InvalidRows: The split has too few.
    """
    splits = pl.col("split").n_unique().over("video_id")
    leaked = leaks.select(pl.col("item_id").alias("video_id"))
    free = (
        videos.filter(splits == 1)
        .filter(pl.col("split") == split, pl.col("text").str.strip_chars() != "")
        .join(leaked, on="video_id", how="anti")
    )
    ranks = pl.Series("rank", [text_sha256(f"{seed}:{video_id}") for video_id in free["video_id"]])
    ranked = free.with_columns(ranks).sort("rank")
    drawn = {label: ranked.filter(pl.col("label") == label).head(n // 2) for label in (True, False)}
    for label, rows in drawn.items():
        if rows.height < n // 2:
            raise InvalidRows(
                f"demonstrations: {split} has {rows.height} {'positive' if label else 'negative'} videos that can be "
                f"drawn, {n // 2} are wanted. Take a smaller `n_demonstrations`."
            )
    in_turn = [row for pair in zip(drawn[True].to_dicts(), drawn[False].to_dicts(), strict=True) for row in pair]
    rows = [
        {
            "position": place,
            "video_id": row["video_id"],
            "label": row["label"],
            "text": row["text"],
            "description": None,
        }
        for place, row in enumerate(in_turn)
    ]
    return pl.DataFrame(rows, schema=dict(schemas.DEMONSTRATIONS.columns))


def refuse_tested(demonstrations: pl.DataFrame, videos: pl.DataFrame) -> None:
    """Raise if an example is in the test split.

    Raises:
        InvalidRows: Names those that are: scores on them would be worth nothing.
    """
    tested = videos.filter(split="test").join(demonstrations, on="video_id", how="semi")["video_id"].sort()
    if len(tested):
        raise InvalidRows(
            f"demonstrations: {', '.join(tested.to_list()[:3])} stand in the test split as well. Take them out of the "
            "demonstrations' file, or have others drawn: `demonstrations: validation`."
        )


def of_memes(memes: pl.DataFrame, images: pl.DataFrame | None) -> pl.DataFrame:
    """Memes as a model is shown them: with the columns of ``ITEMS``.

    Args:
        memes: Rows of ``memes``.
        images: Rows of ``meme_images``; None: texts only. A meme whose picture cannot be used is shown as its text.
    """
    known = images if images is not None else schemas.MEME_IMAGES.empty()
    joined = memes.join(known, on="meme_id", how="left", maintain_order="left")
    return joined.select(
        item_id="meme_id",
        text="text",
        pictures=_listed("path"),
        pictures_sha256=_listed("pixels_sha256"),
        media=pl.lit("image"),
        description=pl.lit(None, pl.String),
    )


def of_videos(videos: pl.DataFrame, features: pl.DataFrame | None, *, model: Vlm) -> pl.DataFrame:
    """Videos as a model is shown them: as many of their frames as its entry says, evenly chosen, and the transcript.

    Args:
        videos: Columns ``video_id`` and ``text``, and where there is one, ``description``.
        features: Rows of ``video_features``; None: texts only.
    """
    if features is None:
        empty = pl.lit([], pl.List(pl.String))
        shown = videos.select("video_id", "text", frames=empty, frame_sha256=empty, frame_variance=empty)
    else:
        heard = features.select("video_id", "frames", "frame_sha256", "frame_variance", "transcript")
        shown = videos.join(heard, on="video_id", how="left", maintain_order="left").with_columns(
            pl.col("frames", "frame_sha256", "frame_variance").fill_null([]), text=pl.coalesce("transcript", "text")
        )
    places = [_places(variances, model) for variances in shown["frame_variance"].to_list()]
    description = videos["description"] if "description" in videos.columns else pl.lit(None, pl.String)
    media: Media = "video" if model.video_as == "video" else "image"
    return shown.select(
        item_id="video_id",
        text="text",
        pictures=_at(shown["frames"], places),
        pictures_sha256=_at(shown["frame_sha256"], places),
        media=pl.lit(media),
        description=description,
    )


def _places(variances: Sequence[float], model: Vlm) -> list[int]:
    """Which of a video's frames the model is shown: from the middle of even parts, some twice where there are fewer.

    Of one frame alone the model's entry may say that it is the first that varies enough, else the last.
    """
    n_known = len(variances)
    if not n_known:
        return []
    if model.n_frames == 1 and model.frame_variance is not None:
        varied = (place for place, variance in enumerate(variances) if variance > model.frame_variance)
        return [next(varied, n_known - 1)]
    return [int((place + 0.5) * n_known / model.n_frames) for place in range(model.n_frames)]


def _at(frames: pl.Series, places: Sequence[Sequence[int]]) -> pl.Series:
    chosen = [[paths[place] for place in wanted] for paths, wanted in zip(frames.to_list(), places, strict=True)]
    return pl.Series(chosen, dtype=pl.List(pl.String))


def _listed(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_null()).then(pl.lit([], pl.List(pl.String))).otherwise(pl.concat_list(column))
