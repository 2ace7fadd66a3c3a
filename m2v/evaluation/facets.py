"""What can be said of an item without its authors: how long it is, whether somebody speaks, which parts it has."""

import polars as pl

from m2v import schemas

# In words, from 1 on.
WORDS, LENGTHS = "words", (("1 to 49", 1), ("50 to 199", 50), ("200 or more", 200))
DURATION, DURATIONS = "duration", (("below 30 s", 0), ("30 s to 2 min", 30), ("2 min or more", 120))
SPEECH, MODALITIES = "speech", "modalities"
NONE = "none"
# What readers ask a score by, and the facets that answer it, as layouts and this module call them.
SUBJECTS = {
    "target group": ("target", "victim", "protected-category"),
    "sub-label": ("class", "kind", "harm", "attack", "misogyny", "offence", "implicitness"),
    "stance": ("stance",),
    "language": ("language",),
    "which modality carries it": ("component",),
    "length": (WORDS, DURATION),
    "speech": (SPEECH,),
    "text in the picture": ("text-in-picture",),
    "source": ("platform", "source"),
}


def by_length(videos: pl.DataFrame) -> pl.DataFrame:
    """Return rows of ``facets`` that say how many words each video's text has.

    Args:
        videos: Columns ``video_id``, ``text``.
    """
    n_words = pl.col("text").str.extract_all(r"\S+").list.len()
    return videos.select(item_id="video_id", facet=pl.lit(WORDS), value=_stepped(n_words, LENGTHS, below=NONE))


def by_media(video_features: pl.DataFrame) -> pl.DataFrame:
    """Return rows of ``facets`` that say how long each video is and whether somebody speaks, where that is known.

    Speech is known where a model listened: by the seconds with a voice, else by whether it wrote anything down.

    Args:
        video_features: Rows of ``video_features``.
    """
    known = video_features.filter(pl.col("duration_s").is_not_null())
    duration = known.select(
        item_id="video_id", facet=pl.lit(DURATION), value=_stepped(pl.col("duration_s"), DURATIONS, below=NONE)
    )
    listened_to = (pl.col("transcript_source") == "whisper").any()
    listened = video_features.with_columns(
        speaks=pl.when(pl.col("voice_s").is_not_null())
        .then(pl.col("voice_s") > 0)
        .when(pl.col("transcript_source") == "whisper")
        .then(pl.lit(value=True))
        # A model listened to all that came without a transcript, if it wrote down what is said in any of them.
        .when((pl.col("transcript_source") == "none") & pl.col("audio_problem").is_null() & listened_to)
        .then(pl.lit(value=False))
    ).drop_nulls("speaks")
    value = pl.when("speaks").then(pl.lit("yes")).otherwise(pl.lit("no"))
    speech = listened.select(item_id="video_id", facet=pl.lit(SPEECH), value=value)
    return pl.concat([duration, speech])


def by_modalities(features: list[pl.DataFrame]) -> pl.DataFrame:
    """Return rows of ``facets`` that name the parts that each item has of those that extractors looked for.

    Args:
        features: Columns ``role``, ``item_id``, ``modality``, ``has_vector`` (bool), by extractor.
    """
    seen = [
        rows.filter(role="item").select("item_id", pl.col("modality").cast(pl.String), has="has_vector")
        for rows in features
    ]
    empty = pl.DataFrame(schema=dict(schemas.FACETS.columns))
    if len(seen) < 2:
        return empty
    parts = pl.concat(seen).group_by("item_id", "modality").agg(pl.col("has").any()).sort("item_id", "modality")
    named = parts.group_by("item_id").agg(value=pl.col("modality").filter("has").str.join(" + ")).sort("item_id")
    value = pl.when(pl.col("value") == "").then(pl.lit(NONE)).otherwise("value")
    return named.select("item_id", facet=pl.lit(MODALITIES), value=value)


def unknown(facets: list[str]) -> list[str]:
    """Return which of ``SUBJECTS`` none of the facets is about, in their order."""
    return [subject for subject, names in SUBJECTS.items() if not set(names).intersection(facets)]


def _stepped(number: pl.Expr, steps: tuple[tuple[str, int], ...], *, below: str) -> pl.Expr:
    """Return the name of the last step that a number reaches."""
    value = pl.lit(below)
    for name, least in steps:
        value = pl.when(number >= least).then(pl.lit(name)).otherwise(value)
    return value
