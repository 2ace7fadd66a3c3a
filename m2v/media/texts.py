"""Items' texts: the dataset's own, what was read in a picture, what was heard."""

import polars as pl

from m2v import schemas
from m2v.files.digests import text_sha256
from m2v.lineage.findings import Finding

# What the program that reads pictures writes (m2v/media/readings.py, which brings the model).
FILE = "readings.parquet"


def unread(memes: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """Return the pictures of memes without a text, columns ``pixels_sha256`` and ``path``, each once.

    Args:
        memes: Rows of ``memes``.
        images: Rows of ``meme_images``.
    """
    silent = memes.filter(pl.col("text").str.strip_chars() == "").join(images, on="meme_id")
    return silent.select("pixels_sha256", "path").drop_nulls().unique("pixels_sha256").sort("pixels_sha256")


def of_memes(
    memes: pl.DataFrame, images: pl.DataFrame, readings: pl.DataFrame, *, min_confidence: float
) -> pl.DataFrame:
    """Return rows of ``texts``: what stands in a meme's picture where its dataset says no text.

    Args:
        memes: Rows of ``memes``.
        images: Rows of ``meme_images``.
        readings: Columns of ``READINGS``.
        min_confidence: Lines that are less sure are left out.
    """
    read = {
        digest: text(lines, confidences, min_confidence=min_confidence)
        for digest, lines, confidences in readings.select("pixels_sha256", "lines", "confidences").iter_rows()
    }
    pixels = dict(images.select("meme_id", "pixels_sha256").iter_rows())
    rows = []
    for meme_id, own in memes.select("meme_id", "text").iter_rows():
        if own.strip():
            rows.append((meme_id, own, text_sha256(own), "dataset", None))
            continue
        found, confidence = read.get(pixels.get(meme_id), ("", None))
        rows.append((meme_id, found, text_sha256(found), "picture" if found else "none", confidence))
    return pl.DataFrame(rows, schema=dict(schemas.ITEM_TEXTS.columns), orient="row").sort("item_id")


def text(lines: list[str], confidences: list[float], *, min_confidence: float) -> tuple[str, float | None]:
    """Return the lines that are sure enough as one text, and their mean confidence by letters; None without any."""
    kept = [(line, sure) for line, sure in zip(lines, confidences, strict=True) if sure >= min_confidence]
    n_letters = sum(len(line) for line, _ in kept)
    mean = sum(len(line) * sure for line, sure in kept) / n_letters if n_letters else None
    return "\n".join(line for line, _ in kept), mean


def of_videos(videos: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Return rows of ``texts``: what is said in a video where its dataset brings no transcript.

    Args:
        videos: Rows of ``videos``.
        features: Rows of ``video_features``.
    """
    heard = dict(features.select("video_id", "transcript").iter_rows())
    rows = []
    for video_id, own in videos.unique("video_id", keep="first").select("video_id", "text").iter_rows():
        said = own if own.strip() else heard.get(video_id) or ""
        source = "dataset" if own.strip() else "speech" if said else "none"
        rows.append((video_id, said, text_sha256(said), source, None))
    return pl.DataFrame(rows, schema=dict(schemas.ITEM_TEXTS.columns), orient="row").sort("item_id")


def put_in(items: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Return items with the texts that models read, where their own are empty.

    Args:
        items: Rows of ``memes`` or ``videos``.
        texts: Rows of ``texts``.
    """
    item_id = schemas.id_column(items)
    found = texts.select("item_id", found="text", found_sha256="text_sha256")
    joined = items.join(found, left_on=item_id, right_on="item_id", how="left", maintain_order="left")
    is_empty = pl.col("text").str.strip_chars() == ""
    return joined.with_columns(
        text=pl.when(is_empty).then(pl.coalesce("found", "text")).otherwise("text"),
        text_sha256=pl.when(is_empty).then(pl.coalesce("found_sha256", "text_sha256")).otherwise("text_sha256"),
    ).select(items.columns)


def finding(rows: pl.DataFrame, *, variant: str) -> Finding:
    """Return where texts come from, and which items have none at all.

    Args:
        rows: Rows of ``texts``.
    """
    counts = dict(rows.group_by(pl.col("text_source").cast(pl.String)).len().iter_rows())
    silent = rows.filter(text_source="none")["item_id"]
    said = [
        f"{counts[source]:,} {words}"
        for source, words in (
            ("dataset", "texts are the dataset's"),
            ("picture", "were read in pictures"),
            ("speech", "were heard"),
            ("none", "items have none"),
        )
        if source in counts
    ]
    figures = {f"n_{source}": n for source, n in sorted(counts.items())}
    return Finding(
        "texts_known",
        schemas.ITEM_TEXTS.name,
        variant,
        is_fine=silent.is_empty(),
        summary=f"{', '.join(said)}." if said else "There are no items.",
        ids=tuple(silent.sort()),
        figures=figures,
    )
