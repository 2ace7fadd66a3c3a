"""Whether small changes of test videos change what a run calls them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Augmentation
from m2v.entries.operators import Operator
from m2v.errors import InvalidRows
from m2v.evaluation import comparisons, differences, small_samples
from m2v.evaluation.predicted import Predicted
from m2v.lineage.findings import Finding
from m2v.robustness.mixing import n_wanted

CHECKS = ("operators_applied", "flagged_kept", "unseen_operators")
# A run that loses more of what it flagged is one to look at.
MUCH_LOST = 0.5


@dataclass(frozen=True, eq=False)
class Trial:
    """A run on test videos and on what operators made of them.

    Attributes:
        operated: Rows of ``operated_predictions``.
        sees: Modalities of a video that it looks at.
        augmentation: What it was trained on besides plain items.
    """

    test: Predicted
    operated: pl.DataFrame
    sees: frozenset[str]
    augmentation: Augmentation | None = None


def thresholded(items: pl.DataFrame, *, probabilities: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Return new items beside what they are called, as rows of ``operated_predictions``.

    Args:
        items: Columns ``operator``, ``parent_id``, ``item_id``, ``donor_id``, ``label``.
        probabilities: Columns ``item_id``, ``probability``.
        threshold: Of the run.

    Raises:
        InvalidRows: An item has no probability, or one that is not between 0 and 1.
    """
    scored = items.join(probabilities, on="item_id", how="left")
    wrong = scored.filter(~pl.col("probability").is_between(0, 1).fill_null(value=False))["item_id"]
    if len(wrong):
        raise InvalidRows(f"operated_predictions: item {wrong[0]!r} has no probability between 0 and 1.")
    rows = scored.rename({"parent_id": "video_id", "label": "true_label"}).with_columns(
        predicted=pl.col("probability") >= threshold, threshold=pl.lit(threshold)
    )
    columns = list(schemas.OPERATED_PREDICTIONS.columns)
    return rows.select(columns).sort(schemas.OPERATED_PREDICTIONS.key)


def robustness(runs: Sequence[Trial], *, operators: Sequence[Operator], seed: int = 0) -> pl.DataFrame:
    """Return what each operator makes each run lose, and whom it makes it flag.

    Shares have Wilson's interval. What a run flags before and after is compared by McNemar's exact test over all of an
    operator's items. A run that was trained on operators is compared with the plain one on untouched test videos by
    the paired bootstrap.

    Args:
        seed: Of the bootstrap.

    Returns:
        Rows of ``robustness``, by run and operator; of an operator that made no item of a run's videos, why.
    """
    known = {run.test.run: run.test for run in runs}
    rows = []
    for run in sorted(runs, key=lambda run: run.test.run):
        untouched = _untouched(run, known, seed=seed)
        rows += [{**_row(run, operator), **untouched} for operator in sorted(operators, key=lambda each: each.name)]
    return schemas.ROBUSTNESS.validate(pl.DataFrame(rows, schema=dict(schemas.ROBUSTNESS.columns)))


def _row(run: Trial, operator: Operator) -> dict[str, Any]:
    test, place = run.test, {item: number for number, item in enumerate(run.test.ids)}
    new = run.operated.filter(operator=operator.name)
    before = test.called[[place[item] for item in new["video_id"]]] if new.height else np.zeros(0, bool)
    after, is_positive = (new[name].to_numpy().astype(bool) for name in ("predicted", "true_label"))
    of_negatives = test.called[~test.labels]
    p_value = comparisons.mcnemar(before, after)["p_value"] if new.height else None
    row = {
        "run": test.run,
        **{name: getattr(operator, name) for name in ("modality", "label", "strength", "seed")},
        "operator": operator.name,
        "is_seen": run.augmentation is not None and operator in run.augmentation.operators,
        "n_items": new.height,
        "n_left_out": n_wanted(operator, test.labels) - new.height,
        "n_positive": int(is_positive.sum()),
        "false_positive_rate": float(of_negatives.mean()) if len(of_negatives) else None,
        "recall_before": float(before[is_positive].mean()) if is_positive.any() else None,
        "recall_after": float(after[is_positive].mean()) if is_positive.any() else None,
        "n_flagged": int((is_positive & before).sum()),
        **_share("lost", ~after, among=is_positive & before),
        **_share("newly_flagged", after, among=~before),
        **_share("wrongly_flagged", after, among=~is_positive),
        "n_only_before": int((before & ~after).sum()),
        "p_value": p_value,
        "plain": None,
    }
    return {**row, "note": _note(run, operator, row)}


def _share(name: str, hits: np.ndarray, *, among: np.ndarray) -> dict[str, int | float | None]:
    return small_samples.share(name, int((among & hits).sum()), int(among.sum()))


def _note(run: Trial, operator: Operator, row: Mapping[str, Any]) -> str | None:
    if operator.modality not in run.sees:
        return f"does not see {operator.modality}"
    if not row["n_items"]:
        return "no test video can be changed so"
    if row["n_positive"] and not row["n_flagged"]:
        return "flagged none of these videos before, so that none can be lost"
    return None


def _untouched(run: Trial, known: Mapping[str, Predicted], *, seed: int) -> dict[str, Any]:
    names = ("untouched_change", "untouched_change_low", "untouched_change_high")
    if run.augmentation is None or run.augmentation.plain not in known:
        return dict.fromkeys(names)
    plain = known[run.augmentation.plain]
    found = differences.paired([plain], [run.test], seed=seed)["macro_f1"]
    return {"plain": plain.run, **dict(zip(names, (found.difference, found.low, found.high), strict=True))}


def findings(rows: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return which operators made nothing, which runs lose much, and which were not tried on what they have not seen.

    Args:
        rows: Rows of ``robustness``.
    """
    if rows.is_empty():
        nothing = "The study names no operators, so that nothing is known of small changes; name some in `operators:`."
        return [Finding(check, "robustness", variant, is_fine=True, summary=nothing) for check in CHECKS]
    made = rows.group_by("operator").agg(n=pl.col("n_items").sum()).sort("operator")
    idle = made.filter(n=0)["operator"].to_list()
    summary = f"Changed no test video of any run: {', '.join(idle)}." if idle else "Every operator changed test videos."
    applied = Finding(CHECKS[0], "robustness", variant, is_fine=not idle, summary=summary, ids=tuple(idle))
    return [applied, _kept(rows, variant), _unseen(rows, variant)]


def _kept(rows: pl.DataFrame, variant: str) -> Finding:
    tested = rows.drop_nulls("lost_share")
    much = tested.filter(pl.col("lost_share") > MUCH_LOST).sort("lost_share", "run", "operator", descending=True)
    summary = f"Of {tested.height} pairs of run and operator none loses more than half of what was flagged."
    if much.height:
        worst = much.row(0, named=True)
        summary = (
            f"{much.height} of {tested.height} pairs of run and operator lose more than half of what was flagged; most "
            f"{worst['run']} under {worst['operator']}, {worst['n_lost']} of {worst['n_flagged']}."
        )
    figures: dict[str, float | int | None] = {"n_pairs": tested.height, "n_much_lost": much.height}
    ids = tuple(much["run"].unique().sort())
    return Finding(CHECKS[1], "robustness", variant, is_fine=not much.height, summary=summary, ids=ids, figures=figures)


def _unseen(rows: pl.DataFrame, variant: str) -> Finding:
    made = rows.filter(pl.col("n_items") > 0)
    trained = rows.filter("is_seen")["run"].unique().sort().to_list()
    only = [run for run in trained if made.filter(pl.col("run") == run, ~pl.col("is_seen")).is_empty()]
    summary = f"All {len(trained)} runs that were trained on operators are scored on others too."
    if only:
        summary = (
            f"Scored on no operator but those that they were trained on: {', '.join(only)}. Name others in the study's "
            "`operators:`; what is learned of one need not hold for another."
        )
    return Finding(CHECKS[2], "robustness", variant, is_fine=not only, summary=summary, ids=tuple(only))
