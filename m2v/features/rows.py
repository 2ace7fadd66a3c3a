"""Parts of items that an extractor looks at, and their vectors as rows of ``features``."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.datasets import LabelDefinition
from m2v.files.digests import text_sha256
from m2v.lineage.findings import Finding

# What is looked at, before it has a vector: a text, or a file by its path.
PARTS = {
    **{name: schemas.FEATURES.columns[name] for name in ("role", "item_id", "split", "modality", "part", "time_s")},
    **dict.fromkeys(("sha256", "text", "path"), pl.String),
}
ORDER = [name for name in schemas.FEATURES.key if name in PARTS]
# The columns of what a program makes of them, and the file that it is in.
FILE = "vectors.parquet"
VECTORS = {name: schemas.FEATURES.columns[name] for name in ("modality", "sha256", "token", "vector")}


def of_texts(items: pl.DataFrame, *, item_id: str, label: LabelDefinition | None) -> pl.DataFrame:
    """Return the items' texts, and for a target the two sentences that define its label.

    Args:
        items: Columns ``split``, ``text``, ``text_sha256`` and the one named ``item_id``.

    Returns:
        Columns of ``PARTS``.
    """
    rows = _parts(
        items.select(
            "split", "text", role=pl.lit("item"), item_id=item_id, modality=pl.lit("text"), sha256="text_sha256"
        )
    )
    if not label:
        return rows
    sentences = {"positive": label.positive_definition, "negative": label.negative_definition}
    definitions = [
        {
            "role": f"{sign}_definition",
            "item_id": sign,
            "modality": "text",
            "sha256": text_sha256(text),
            "text": text,
        }
        for sign, text in sentences.items()
    ]
    return pl.concat([rows, _parts(pl.DataFrame(definitions))])


def of_pictures(memes: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """Return memes' pictures; of a meme without one that can be used, that it has none.

    Args:
        memes: Rows of ``memes``.
        images: Rows of ``meme_images``.

    Returns:
        Columns of ``PARTS``.
    """
    known = images.select("meme_id", sha256="pixels_sha256", path="path")
    return _of_files(memes, known, item_id="meme_id", modality="picture")


def of_frames(videos: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Return videos' frames in order of time; of a video without any, that it has none.

    Args:
        videos: Rows of ``videos``.
        features: Rows of ``video_features``.

    Returns:
        Columns of ``PARTS``.
    """
    numbered = features.select(
        "video_id",
        part=pl.int_ranges(pl.col("frames").list.len()),
        time_s="frame_times_s",
        sha256="frame_sha256",
        path="frames",
    ).explode("part", "time_s", "sha256", "path")
    return _of_files(videos, numbered, item_id="video_id", modality="frames")


def of_sounds(videos: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Return the files of videos' sound; of a video without sound, that it has none.

    Args:
        videos: Rows of ``videos``.
        features: Rows of ``video_features``.

    Returns:
        Columns of ``PARTS``; paths are below the dataset's media folder.
    """
    known = features.select("video_id", sha256="sound_sha256", path="sound")
    return _of_files(videos, known, item_id="video_id", modality="sound")


def of_modalities(
    modalities: Sequence[str], *, items: pl.DataFrame, media: pl.DataFrame, label: LabelDefinition | None
) -> pl.DataFrame:
    """Return the parts of every modality that an extractor looks at.

    Args:
        items: Rows of ``memes`` or ``videos``.
        media: Rows of ``meme_images`` or ``video_features``; unused where texts are all that is looked at.
        label: Of a target whose definitions are looked at too.
    """
    looks = {"picture": of_pictures, "frames": of_frames, "sound": of_sounds}
    item_id = schemas.id_column(items)
    parts = [pl.DataFrame(schema=PARTS)]
    for modality in modalities:
        if modality == "text":
            parts.append(of_texts(items, item_id=item_id, label=label))
        else:
            parts.append(looks[modality](items, media))
    return pl.concat(parts)


def wanted(parts: pl.DataFrame) -> pl.DataFrame:
    """Return what is to be looked at, each thing once: ``modality``, ``sha256``, ``text``, ``path``."""
    there = parts.filter(pl.col("sha256").is_not_null())
    return (
        there.select("modality", "sha256", "text", "path")
        .unique(["modality", "sha256"], keep="first")
        .sort("modality", "sha256")
    )


def joined(parts: pl.DataFrame, vectors: pl.DataFrame) -> pl.DataFrame:
    """Return the parts with their vectors, as rows of ``features``.

    Args:
        parts: Columns of ``PARTS``.
        vectors: Columns of ``VECTORS``: one row for each thing that was looked at, or for each of its tokens.
    """
    joined_rows = parts.join(vectors.cast(VECTORS), on=["modality", "sha256"], how="left", maintain_order="left")  # pyright: ignore[reportArgumentType]
    rows = joined_rows.with_columns(pl.col("token").fill_null(0)).select(list(schemas.FEATURES.columns))
    return rows.sort(schemas.FEATURES.key)


def finding(rows: pl.DataFrame, *, variant: str) -> Finding:
    """Return which items lack which modality.

    Args:
        rows: Rows of ``features``.
    """
    items = rows.filter(role="item")
    lacking = (
        items.filter(pl.col("vector").is_null()).select("item_id", "modality").unique().sort("modality", "item_id")
    )
    counts = dict(lacking.group_by("modality").len().sort("modality").iter_rows())
    n_items = items["item_id"].n_unique()
    lacks = ", ".join(f"{count:,} of {n_items:,} items have no {modality}" for modality, count in counts.items())
    return Finding(
        "modalities_complete",
        "features",
        variant,
        is_fine=not counts,
        summary=f"{lacks}." if counts else f"Each of {n_items:,} items has everything that is looked at.",
        ids=tuple(lacking["item_id"].unique().sort()),
        figures={f"n_without_{modality}": count for modality, count in counts.items()},
    )


def matrix(items: pl.DataFrame, *, features: pl.DataFrame) -> np.ndarray:
    """Return the vectors of the items' texts, (items, dimensions), float32, in the order of ``items``.

    Args:
        items: Column ``text_sha256``.
        features: Rows of ``features``, of several datasets if need be.

    Raises:
        ValueError: A text has none.
    """
    known = features.filter(modality="text").select(pl.col("sha256").alias("text_sha256"), "vector")
    known = known.unique("text_sha256", keep="first", maintain_order=True)
    vectors = items.select("text_sha256").join(known, on="text_sha256", how="left", maintain_order="left")["vector"]
    if vectors.null_count():
        raise ValueError(f"{vectors.null_count()} texts have no vector; their features are of another version.")
    return vectors.explode().to_numpy().reshape(len(vectors), -1)


def definitions(features: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of the positive and the negative definition, (dimensions,) each, float32."""
    rows = dict(features.filter(pl.col("role") != "item").select(pl.col("role").cast(pl.String), "vector").iter_rows())
    return (
        np.array(rows["positive_definition"], dtype=np.float32),
        np.array(rows["negative_definition"], dtype=np.float32),
    )


def of_items(items: pl.DataFrame, *, features: pl.DataFrame, modality: str) -> pl.DataFrame:
    """Return every vector that items have of a modality.

    Args:
        items: Columns ``place`` (u32), ``item_id`` and ``split``.
        features: Rows of ``features`` of the items' dataset.

    Returns:
        Columns ``place``, ``item_id``, ``vector``: by place, an item's parts and their tokens in order; no row for an
        item that has none.
    """
    seen = features.filter((pl.col("role") == "item") & (pl.col("modality") == modality))
    seen = seen.filter(pl.col("vector").is_not_null())
    place = _found_as(items.select("place", "item_id", "split"), seen)
    joined = place.join(seen.select("item_id", "split", "part", "token", "vector"), on=["item_id", "split"])
    return joined.sort("place", "part", "token").select("place", "item_id", "vector")


def parts_of(items: pl.DataFrame, *, features: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``features`` that are items' own, those too that say that an item lacks something.

    Args:
        items: Columns ``item_id`` and ``split``.
        features: Rows of ``features`` of the items' dataset.

    Returns:
        Rows of ``features`` whose split is the items'.
    """
    seen = features.filter(role="item")
    found_as = _found_as(items.select("item_id", known="split", split="split"), seen)
    joined = found_as.join(seen, on=["item_id", "split"]).drop("split").rename({"known": "split"})
    return joined.select(list(schemas.FEATURES.columns)).cast({"split": schemas.FEATURES.columns["split"]})


def _found_as(items: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Return items with the splits under which features have them: a run may divide a dataset otherwise than its files.

    Args:
        items: Columns ``item_id`` and ``split``, and more.
        seen: Rows of ``features``.
    """
    known = seen.select("item_id", "split").unique().sort("item_id", "split")
    same = known.with_columns(same="split")
    other = known.unique("item_id", keep="first", maintain_order=True).rename({"split": "other"})
    joined = items.join(same, on=["item_id", "split"], how="left").join(other, on="item_id", how="left")
    return joined.with_columns(split=pl.coalesce("same", "other")).drop("same", "other")


def _of_files(items: pl.DataFrame, files: pl.DataFrame, *, item_id: str, modality: str) -> pl.DataFrame:
    """Return the items with their files; of an item without any, that it has none."""
    joined = items.select("split", item_id).join(files, on=item_id, how="left").rename({item_id: "item_id"})
    return _parts(joined.with_columns(role=pl.lit("item"), modality=pl.lit(modality)))


def _parts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the columns of ``PARTS``, those that are missing as nulls."""
    more = [pl.lit(None).alias(name) for name in PARTS if name not in rows.columns]
    whole = rows.with_columns(more).with_columns(pl.col("part").fill_null(0))
    return whole.select(pl.col(name).cast(dtype) for name, dtype in PARTS.items()).sort(ORDER)
