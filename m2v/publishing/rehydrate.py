"""Join a user's own copy of the memes back to published labels, by id and by sha256."""

from dataclasses import dataclass

import polars as pl

from m2v.errors import M2VError
from m2v.files.digests import text_sha256


@dataclass(frozen=True, eq=False)
class Rehydrated:
    """What came out.

    Attributes:
        rows: Published labels with the text of each meme whose copy is the one that was labelled.
        problems: Columns ``meme_id`` and ``reason`` ("missing": not in the copy; "changed": another text).
        n_unverified: Rows that were joined by id alone, because the release names no sha256.
    """

    rows: pl.DataFrame
    problems: pl.DataFrame
    n_unverified: int


def rehydrate(released: pl.DataFrame, source: pl.DataFrame) -> Rehydrated:
    """Give published labels the texts of one's own copy.

    Args:
        released: Columns ``meme_id`` and, where it was published, ``text_sha256``.
        source: Columns ``meme_id`` (str, once each), ``text`` (str).

    Raises:
        M2VError: An id stands in several rows of the copy.
    """
    twice = source.filter(source["meme_id"].is_duplicated())["meme_id"]
    if len(twice):
        raise M2VError(
            f"The copy has {twice.n_unique()} ids more than once, for example {twice.min()!r}; one row each."
        )
    digests = [text_sha256(text or "") for text in source["text"]]
    own = source.select("meme_id", "text", _sha256=pl.Series(digests, dtype=pl.String))
    joined = released.drop("text", strict=False).join(own, on="meme_id", how="left").sort("meme_id")
    is_missing = pl.col("_sha256").is_null()
    is_verified = "text_sha256" in released.columns
    is_changed = pl.col("_sha256") != pl.col("text_sha256") if is_verified else pl.lit(False)
    reason = pl.when(is_missing).then(pl.lit("missing")).when(is_changed).then(pl.lit("changed"))
    judged = joined.with_columns(reason=reason)
    rows = judged.filter(pl.col("reason").is_null()).drop("reason", "_sha256")
    problems = judged.filter(pl.col("reason").is_not_null()).select("meme_id", "reason")
    return Rehydrated(rows, problems, 0 if is_verified else rows.height)
