"""How each annotator does in the rounds, and what should make somebody look."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from m2v.entries.study import RoundPlan
from m2v.lineage.findings import Finding

# Fewer answers than this say nothing about a person.
MIN_ANSWERS = 10
# Whoever sides with the dataset's own label this often, on memes chosen because it is disputed, may not be reading.
ALWAYS_SHARE = 0.95


def per_annotator(
    answers: pl.DataFrame, items: pl.DataFrame, conflicts: pl.DataFrame, *, skips: pl.DataFrame
) -> pl.DataFrame:
    """One row per annotator.

    Args:
        answers: Rows of ``human_labels``, gold items included.
        items: Columns ``meme_id``, ``kind`` and ``gold`` of the rounds' items.
        conflicts: Rows of ``conflicts``.
        skips: Rows of ``skips``; counted, never held against anybody.

    Returns:
        Columns ``annotator``, ``n_answers``, ``n_skips``, ``n_gold`` (u32), ``gold_accuracy``, ``n_shared`` (u32),
        ``rest_agreement_share`` (with each other answer about the same meme), ``n_disputed`` (u32),
        ``with_original_share``, ``median_s`` and ``exposure_min`` (time over items), null where not estimable; sorted.
    """
    known = items.filter(kind="gold").select("meme_id", "gold").unique("meme_id")
    disputed = conflicts.filter(reason="disagreement").select("meme_id", "original")
    others = answers.select("meme_id", "round", other="annotator", said="label")
    pairs = answers.join(others, on=["meme_id", "round"]).filter(pl.col("annotator") != pl.col("other"))
    rest = pairs.group_by("annotator").agg(
        n_shared=pl.col("meme_id").n_unique(), rest_agreement_share=(pl.col("label") == pl.col("said")).mean()
    )
    judged = answers.join(known, on="meme_id", how="left").join(disputed, on="meme_id", how="left")
    own = judged.group_by("annotator").agg(
        n_answers=pl.len(),
        n_gold=pl.col("gold").count(),
        gold_accuracy=(pl.col("label") == pl.col("gold")).mean(),
        n_disputed=pl.col("original").count(),
        with_original_share=(pl.col("label") == pl.col("original")).mean(),
        median_s=pl.col("duration_s").median(),
        exposure_min=pl.col("duration_s").sum() / 60,
    )
    skipped = skips.group_by("annotator").agg(n_skips=pl.len())
    return (
        own.join(skipped, on="annotator", how="full", coalesce=True)
        .join(rest, on="annotator", how="left")
        .with_columns(pl.col("n_answers", "n_skips", "n_gold", "n_disputed", "n_shared").fill_null(0))
        .select(
            "annotator",
            "n_answers",
            "n_skips",
            "n_gold",
            "gold_accuracy",
            "n_shared",
            "rest_agreement_share",
            "n_disputed",
            "with_original_share",
            "median_s",
            "exposure_min",
        )
        .sort("annotator")
    )


def findings(report: pl.DataFrame, plan: RoundPlan, *, variant: str) -> list[Finding]:
    """Return an alarm for each annotator below the gold bar, always with the original, or faster than one can read.

    Args:
        report: As ``per_annotator`` gives it.
    """
    enough = report.filter(pl.col("n_answers") >= MIN_ANSWERS)
    low = enough.filter(pl.col("gold_accuracy") < plan.gold_bar)
    sides = report.filter((pl.col("n_disputed") >= MIN_ANSWERS) & (pl.col("with_original_share") >= ALWAYS_SHARE))
    fast = enough.filter(pl.col("median_s") < plan.floor_s)
    always = f"with the original label in {ALWAYS_SHARE:.0%} or more"
    return [
        _finding("annotators_on_gold", low, report, variant, f"below {plan.gold_bar:.0%} on gold items"),
        _finding("annotators_follow_original", sides, report, variant, always),
        _finding("annotators_too_fast", fast, report, variant, f"faster than {plan.floor_s:g} s in the median"),
    ]


def _finding(check: str, alarming: pl.DataFrame, report: pl.DataFrame, variant: str, what: str) -> Finding:
    return Finding(
        check,
        "rounds",
        variant,
        is_fine=alarming.is_empty(),
        summary=f"{alarming.height} of {report.height} annotators are {what}.",
        ids=tuple(alarming["annotator"]),
        figures={"n_annotators": report.height, "n_alarms": alarming.height},
    )


def metadata(state: Mapping[str, float], report: pl.DataFrame) -> dict[str, Any]:
    """Return the rounds' state and each annotator's counts, for the asset's page."""
    lines = ["| annotator | answers | skips | on gold | with the rest |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['annotator']} | {row['n_answers']} | {row['n_skips']} | {_share(row['gold_accuracy'])} | "
        f"{_share(row['rest_agreement_share'])} |"
        for row in report.iter_rows(named=True)
    ]
    return {**state, "annotators": "\n".join(lines)}


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
