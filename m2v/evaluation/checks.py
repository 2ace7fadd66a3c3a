"""What the tables about the worth of scores show at a glance: a finding each, for checks and the report."""

from typing import Any

import polars as pl

from m2v import schemas
from m2v.evaluation import slices as slicing
from m2v.evaluation.wording import decimal
from m2v.lineage.findings import Finding

DIFFERENCES = ("differences_estimable",)
CALIBRATION = ("probabilities_calibrated",)
OPERATING_POINTS = ("wishes_promised",)
REVIEW_BANDS = ("bands_bounded",)
PREVALENCE_ESTIMATES = ("prevalence_estimable",)
SLICES = ("slices_alike", "facets_supported")


def differences(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return whether every difference of macro-F1 could be estimated, and how small a one would have been seen.

    Args:
        rows: Rows of ``differences``.
    """
    macro_f1 = rows.filter(score="macro_f1")
    n_pairs, n_unknown = macro_f1.height, macro_f1["difference"].null_count()
    low, high = macro_f1["smallest"].min(), macro_f1["smallest"].max()
    summary = f"{n_unknown:,} of {n_pairs:,} differences cannot be estimated: their test videos have one label."
    if not n_unknown:
        ends = " to ".join(dict.fromkeys(decimal(end) for end in (low, high)))  # pyright: ignore[reportArgumentType]
        unseen = "" if low is None else f"; true ones below {ends} would often go unseen"
        summary = f"All {n_pairs:,} differences of macro-F1 could be estimated{unseen}."
    figures = {"n_pairs": n_pairs, "n_not_estimable": n_unknown, "smallest_low": low, "smallest_high": high}
    return [_finding(DIFFERENCES[0], (schemas.DIFFERENCES.name, variant), summary, figures, is_fine=not n_unknown)]


def calibration(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return how many runs' probabilities, as they are, claim shares that chance does not explain.

    Args:
        rows: Rows of ``calibration``.
    """
    raw = rows.filter(scaling="none")
    n_off = int((raw["ece"] > raw["ece_by_chance"]).sum())
    summary = f"Of {raw.height:,} runs {n_off:,} give probabilities further from the shares they claim than by chance."
    figures = {"n_off": n_off, "n_runs": raw.height}
    return [_finding(CALIBRATION[0], (schemas.CALIBRATION.name, variant), summary, figures, is_fine=not n_off)]


def operating_points(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return how many of the wishes that can be promised at all were.

    Args:
        rows: Rows of ``operating_points``.
    """
    asked = rows.filter(pl.col("goal") != "cost_ratio")
    n_promised, n_reached = (
        asked.filter(pl.col("promise").cast(pl.String).is_in(kept)).height
        for kept in (["promised"], ["promised", "not_promised"])
    )
    summary = (
        f"{n_promised:,} of {asked.height:,} wishes can be promised with these validation videos; "
        f"{asked.height - n_reached:,} are reached by no threshold."
    )
    figures = {"n_wishes": asked.height, "n_promised": n_promised, "n_out_of_reach": asked.height - n_reached}
    is_fine, place = n_promised == asked.height, (schemas.OPERATING_POINTS.name, variant)
    return [_finding(OPERATING_POINTS[0], place, summary, figures, is_fine=is_fine)]


def review_bands(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return how many runs' bands could not be bounded on both sides.

    Args:
        rows: Rows of ``review_bands``.
    """
    leave = rows.filter(band="leave")
    n_open = leave.filter(pl.col("leave_below").is_null() | pl.col("act_from").is_null()).height
    error = leave["error"].first() if leave.height else None
    summary = (
        f"{n_open:,} of {leave.height:,} runs have too few validation videos of a label to leave or act on anything "
        f"at an error of {decimal(error, places=2)}."  # pyright: ignore[reportArgumentType]
    )
    place, figures = (schemas.REVIEW_BANDS.name, variant), {"n_unbounded": n_open}
    return [_finding(REVIEW_BANDS[0], place, summary, figures, is_fine=not n_open)]


def prevalence_estimates(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return how many runs could not say how many positives there are, and how many said it wrongly.

    Args:
        rows: Rows of ``prevalence_estimates``.
    """
    known = rows.drop_nulls("estimate")
    n_off = known.filter(~pl.col("observed").is_between("estimate_low", "estimate_high")).height
    n_none = rows.height - known.height
    summary = (
        f"{known.height:,} of {rows.height:,} runs can say which share of unlabelled videos is positive; "
        f"{n_off:,} of these intervals miss the share among the test videos."
    )
    place, figures = (schemas.PREVALENCE_ESTIMATES.name, variant), {"n_without": n_none, "n_off": n_off}
    return [_finding(PREVALENCE_ESTIMATES[0], place, summary, figures, is_fine=not n_none and not n_off)]


def slices(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return whether a slice is worse than others with its labels, and which facets have too few videos to say.

    Args:
        rows: Rows of ``slices``.
    """
    n_worse, n_tested = slicing.worse(rows).height, rows["p_holm"].drop_nulls().len()
    alike = f"Of {n_tested:,} slices {n_worse:,} are called rightly less often than others with their labels."
    without = slicing.unsupported(rows)
    supported = f"Every facet has a value with {slicing.MIN_SUPPORT} test videos."
    if without:
        supported = f"No value of these facets has {slicing.MIN_SUPPORT} test videos: {', '.join(without)}."
    place = (schemas.SLICES.name, variant)
    counts = {"n_worse": n_worse, "n_tested": n_tested}
    return [
        _finding(SLICES[0], place, alike, counts, is_fine=not n_worse),
        _finding(SLICES[1], place, supported, {"n_without": len(without)}, is_fine=not without),
    ]


def _finding(check: str, place: tuple[str, str], summary: str, figures: dict[str, Any], *, is_fine: bool) -> Finding:
    return Finding(check, *place, is_fine=is_fine, summary=summary, figures=figures)
