"""On which test videos a run fails: its scores by facet, and whether a slice is worse than others with its labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation import small_samples, wording
from m2v.evaluation.headline import SIGNIFICANCE
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.scores import scores

# Of fewer videos nothing is said but how many there are.
MIN_SUPPORT = 10


def slices(runs: Mapping[str, Predicted], *, facets: Mapping[str, pl.DataFrame], seed: int = 0) -> pl.DataFrame:
    """Return each run's scores on the test videos that share a value of a facet.

    Whether a slice is called rightly as often as others is asked among videos of the same label, so that a slice of
    positives is not blamed for being positive: the number called rightly is compared with its distribution given how
    many of either label there are and how many of them are right (the exact conditional test of two strata, Mehta,
    Patel and Gray 1985, JASA 80:969-973; of one label it is Fisher's). Holm's adjustment runs over all slices of a run.

    Args:
        runs: Test predictions by run.
        facets: Columns ``item_id``, ``facet``, ``value``, by run.
        seed: Of the bootstrap.

    Returns:
        Rows of ``slices``, sorted by run, facet and value. A slice of fewer than ten videos has no scores and no test.
    """
    rows = []
    for run, test in sorted(runs.items()):
        of_run = [_slice(test, about, inside, seed=seed) for about, inside in _members(test, facets[run])]
        tested = [row for row in of_run if row["p_value"] is not None]
        for row, adjusted in zip(tested, _holm([row["p_value"] for row in tested]), strict=True):
            row["p_holm"] = adjusted
        rows += of_run
    return schemas.SLICES.validate(pl.DataFrame(rows, schema=dict(schemas.SLICES.columns)))


def unsupported(rows: pl.DataFrame) -> list[str]:
    """Return the facets of which no value has enough test videos in any run, sorted.

    Args:
        rows: Rows of ``slices``.
    """
    by_facet = rows.group_by("facet").agg(pl.col("n_items").max()).filter(pl.col("n_items") < MIN_SUPPORT)
    return by_facet["facet"].sort().to_list()


def worst(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Return the slice that falls furthest short of others with its labels, as a share of its videos.

    Slices that do so by more than chance come first; None where no slice falls short, or none was tested.

    Args:
        rows: Rows of ``slices``.
    """
    share = (pl.col("n_right_expected") - pl.col("n_right")) / pl.col("n_items")
    short = rows.drop_nulls("p_holm").filter(share > 0)
    ranked = short.sort(share, "run", "facet", "value", descending=[True, False, False, False])
    beyond_chance = worse(ranked)
    first = beyond_chance if beyond_chance.height else ranked
    return first.row(0, named=True) if first.height else None


def worse(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the slices that are called rightly less often than others with their labels, by more than chance.

    Args:
        rows: Rows of ``slices``.
    """
    return rows.filter((pl.col("p_holm") < SIGNIFICANCE) & (pl.col("n_right") < pl.col("n_right_expected")))


def worst_in_words(rows: pl.DataFrame, *, names: Mapping[str, str] | None = None) -> str:
    """Return the worst slice in one sentence, with whether chance explains it; or why there is none.

    Args:
        rows: Rows of ``slices``.
        names: What each run is called in words; None: its name.
    """
    scored = rows.drop_nulls("accuracy").select("facet", "value").unique().height
    if not scored:
        return f"No slice has {MIN_SUPPORT} test videos, so none is scored."
    row = worst(rows)
    if row is None:
        return f"Of {scored} slices none is called rightly less often than others with its labels."
    told = (
        f"{row['facet']} {row['value']}, where {(names or {}).get(row['run'], row['run'])} calls {row['n_right']} of "
        f"{row['n_items']} videos rightly and {row['n_right_expected']:.1f} would be expected of their labels "
        f"({wording.p_value(row['p_holm'])}, Holm-adjusted)"
    )
    if row["p_holm"] >= SIGNIFICANCE:
        return f"Worst slice: {told}. Chance could do that; of {scored} slices none does worse by more than chance."
    n_runs = worse(rows).filter(facet=row["facet"], value=row["value"]).height
    n = rows["run"].n_unique()
    return f"Worst slice: {told}{f'; so in {n_runs} of {n} runs' if n > 1 else ''}."


def _members(test: Predicted, facets: pl.DataFrame) -> list[tuple[dict[str, str], np.ndarray]]:
    """Return each slice with which test videos are in it, (items,), bool; those without any are none."""
    place = pl.DataFrame({"item_id": test.ids, "place": range(len(test.ids))})
    found = facets.join(place, on="item_id").group_by("facet", "value").agg("place").sort("facet", "value")
    members = []
    for row in found.to_dicts():
        inside = np.zeros(len(test.ids), dtype=bool)
        inside[row["place"]] = True
        members.append(({"run": test.run, "facet": row["facet"], "value": row["value"]}, inside))
    return members


def _slice(test: Predicted, about: Mapping[str, str], inside: np.ndarray, *, seed: int) -> dict[str, Any]:
    n_items = int(inside.sum())
    counts = {
        "n_items": n_items,
        "n_positive": int(test.labels[inside].sum()),
        "n_right": int(test.is_right[inside].sum()),
    }
    row = {**dict.fromkeys(schemas.SLICES.columns), **about, **counts}
    if n_items < MIN_SUPPORT:
        return row
    expected, p_value = compared(test.labels, test.is_right, inside)
    return {**row, "n_right_expected": expected, "p_value": p_value, **scored(test, inside, seed=seed)}


def scored(test: Predicted, inside: np.ndarray, *, seed: int) -> dict[str, float | None]:
    """Return the scores that mean something of these videos, with their intervals."""
    labels, probabilities = test.labels[inside], test.probabilities[inside]
    points = scores(labels, probabilities, threshold=test.threshold)
    ends = small_samples.intervals(labels, probabilities, threshold=test.threshold, seed=seed)
    names = ["accuracy"]
    if labels.all():
        names.append("recall")
    elif labels.any():
        names += [name for name in schemas.SCORES if name not in {"accuracy", "precision"}]
        names += ["precision"] if (probabilities >= test.threshold).any() else []
    row = {name: points[name] for name in names}
    row |= {f"{name}_low": ends[name][0] for name in names} | {f"{name}_high": ends[name][1] for name in names}
    if not labels.all():
        n_negative, n_false = int((~labels).sum()), int((probabilities[~labels] >= test.threshold).sum())
        low, high = small_samples.wilson(n_false, n_negative)
        row |= {
            "false_positive_rate": n_false / n_negative,
            "false_positive_rate_low": low,
            "false_positive_rate_high": high,
        }
    return row


def compared(labels: np.ndarray, is_right: np.ndarray, inside: np.ndarray) -> tuple[float | None, float | None]:
    """Return how many of a slice would be right if it were like others with its labels, and the exact p-value.

    Args:
        labels, is_right, inside: (items,), bool.

    Returns:
        None twice where no video outside of the slice has a label of those inside.
    """
    from scipy.stats import hypergeom

    distribution, least, expected, is_tested = np.ones(1), 0, 0.0, False
    for label in (False, True):
        of_label = labels == label
        n, n_right, n_inside = (int((of_label & which).sum()) for which in (of_label, is_right, inside))
        if not n_inside:
            continue
        is_tested |= n_inside < n
        low, high = max(0, n_inside - (n - n_right)), min(n_inside, n_right)
        distribution = np.convolve(distribution, hypergeom.pmf(np.arange(low, high + 1), n, n_right, n_inside))
        least, expected = least + low, expected + n_inside * n_right / n
    if not is_tested:
        return None, None
    seen = distribution[int((is_right & inside).sum()) - least]
    # Equally likely outcomes count, whatever the last digits of their sums say.
    return expected, float(min(1.0, distribution[distribution <= seen * (1 + 1e-7)].sum()))


def _holm(p_values: list[float]) -> list[float]:
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(p_values, method="holm")[1]).tolist() if p_values else []
