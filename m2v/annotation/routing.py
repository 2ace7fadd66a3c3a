"""Which memes people should look at, and what the audit of the others says."""

import polars as pl

from m2v import schemas
from m2v.annotation.agreement import latest
from m2v.files.digests import text_sha256
from m2v.lineage.findings import Finding


def conflicts(predictions: pl.DataFrame, *, audit_share: float, seed: int) -> pl.DataFrame:
    """Memes whose original and predicted labels differ or that have no prediction, and a seeded sample of the others.

    The sample has round(share × agreed) memes, drawn without replacement by the smallest sha256 of seed and id, so that
    a meme's draw depends neither on the order of rows nor, but for the cut, on other memes.

    Args:
        predictions: Rows of ``predictions``.
        audit_share: Of the agreed memes.

    Returns:
        Rows of ``conflicts``, sorted by ``meme_id``.
    """
    is_conflict = pl.col("original").ne_missing(pl.col("predicted"))
    rows = predictions.select("meme_id", "original", "predicted")
    agreed = rows.filter(~is_conflict)
    n_drawn = round(audit_share * agreed.height)
    draws = [text_sha256(f"{seed}:{meme_id}") for meme_id in agreed["meme_id"]] if n_drawn else []
    audited = agreed.head(0) if not n_drawn else agreed[pl.Series(draws).arg_sort()[:n_drawn]]
    reason = schemas.CONFLICTS.columns["reason"]
    parts = [
        rows.filter(is_conflict).with_columns(
            pl.lit("disagreement").cast(reason).alias("reason"), pl.lit(1.0).alias("inclusion_probability")
        ),
        audited.with_columns(
            pl.lit("audit").cast(reason).alias("reason"),
            pl.lit(n_drawn / max(agreed.height, 1)).alias("inclusion_probability"),
        ),
    ]
    return pl.concat(parts).sort("meme_id")


def answered(answers: pl.DataFrame, *, conflicts: pl.DataFrame) -> pl.DataFrame:
    """Return the answers about memes that were asked about, sorted by their key.

    Args:
        answers: Rows of ``human_labels``.
        conflicts: Rows of ``conflicts``.
    """
    return answers.join(conflicts, on="meme_id", how="semi").sort(schemas.HUMAN_LABELS.key)


def agreed_error(conflicts: pl.DataFrame, answers: pl.DataFrame, *, variant: str) -> Finding:
    """How many of the agreed labels most people would change, estimated from the audit sample.

    The interval is Clopper and Pearson's (1934, Biometrika 26:404-413), which is conservative, the more so as it leaves
    the finite population out of account. An annotator has one vote per meme, the last answer; memes on which people are
    divided evenly are left out and counted.

    Args:
        conflicts: Rows of ``conflicts``.
        answers: Rows of ``human_labels``.
    """
    opinions = latest(answers).group_by("meme_id").agg(yes_share=pl.col("label").mean())
    judged = conflicts.filter(reason="audit").join(opinions, on="meme_id")
    audited = judged.filter(pl.col("yes_share") != 0.5)
    changed = audited.filter((pl.col("yes_share") > 0.5) != pl.col("original"))["meme_id"].sort()
    figures: dict[str, float | int | None] = {
        "n_audited": audited.height,
        "n_divided": judged.height - audited.height,
        "n_changed": len(changed),
    }
    if not audited.height:
        return Finding(
            "agreed_error",
            "voted_labels",
            variant,
            is_fine=False,
            summary="Nobody looked at labels on which original and prediction agree; their error is not estimable.",
            figures={**figures, "error_share": None, "error_share_low": None, "error_share_high": None},
        )
    from scipy.stats import binomtest

    interval = binomtest(len(changed), audited.height).proportion_ci(confidence_level=0.95, method="exact")
    low, high = float(interval.low), float(interval.high)
    share = len(changed) / audited.height
    return Finding(
        "agreed_error",
        "voted_labels",
        variant,
        is_fine=not changed.len(),
        summary=(
            f"Most people would change {len(changed)} of {audited.height} audited labels on which original and "
            f"prediction agree: {share:.1%} [{low:.1%}, {high:.1%}]."
        ),
        ids=tuple(changed),
        figures={**figures, "error_share": share, "error_share_low": low, "error_share_high": high},
    )
