"""What a study found, in the few sentences that its rows bear out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from m2v.evaluation import small_samples, wording
from m2v.evaluation import suites as judging
from m2v.evaluation.differences import candidate
from m2v.evaluation.marks import panelled
from m2v.evaluation.wording import decimal, interval
from m2v.lineage.findings import LabelFlow

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Summary:
    """What stands on top of the report and at the end of a run.

    Attributes:
        preliminary: What is still missing, so that everything below may change; empty where nothing is.
        verdict: What was found, and which detector to take.
        cautions: What keeps the figures from saying more.
    """

    preliminary: tuple[str, ...]
    verdict: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """Every sentence, in the order in which they are read."""
        return (*self.preliminary, *self.verdict, *self.cautions)


def summary(
    results: pl.DataFrame,
    *,
    effects: pl.DataFrame,
    label_flows: Sequence[LabelFlow],
    seen: pl.DataFrame | None = None,
    suite_results: pl.DataFrame | None = None,
) -> Summary:
    """Return what the study found.

    Args:
        results: Rows of ``results``.
        effects: As ``label_effects`` returns them.
        label_flows: What became of the labels of each alignment.
        seen: Rows of ``seen``.
        suite_results: Rows of ``suite_results``.
    """
    suites = _suites(suite_results) if suite_results is not None else []
    # A study that trains nothing may be about suites alone.
    of_labels = headline(effects) if results.height or not suites else []
    return Summary(
        preliminary=tuple(_preliminary(flow) for flow in label_flows if flow.n_awaiting),
        verdict=(*of_labels, *detectors(results, seen=seen), *suites),
        cautions=tuple(cautions(results)),
    )


def _suites(rows: pl.DataFrame) -> list[str]:
    by_suite = rows.group_by("suite", "model", maintain_order=True)
    return [f"Suite {suite}: {judging.summary(str(model), found)}" for (suite, model), found in by_suite]


def _preliminary(flow: LabelFlow) -> str:
    has = "has" if flow.n_awaiting == 1 else "have"
    return (
        f"Preliminary: {flow.n_awaiting:,} of {flow.n_conflicts:,} conflicts of {flow.alignment} {has} too few answers "
        "for a vote. These memes are left out of the re-annotated training sets, and every score may change."
    )


def detectors(results: pl.DataFrame, *, seen: pl.DataFrame | None = None) -> list[str]:
    """Return which detector to take for each target, one paragraph each: the best on validation, never on test.

    Args:
        results: Rows of ``results``.
        seen: Rows of ``seen``; without any nothing is said of near-duplicates.
    """
    sentences = []
    known = {row["run"]: row for row in seen.to_dicts()} if seen is not None else {}
    for (panel,), rows in panelled(results).sort("panel").group_by("panel", maintain_order=True):
        runs = rows.filter(pl.col("strategy") != "majority")
        if runs.is_empty():
            continue
        chosen = runs.filter(pl.col("fold").is_null()).drop_nulls("validation_auroc")
        if chosen.is_empty():
            why = "every run is of one fold" if runs["fold"].null_count() == 0 else "no run held out validation videos"
            sentences.append(f"No detector can be named for {panel}: {why}.")
            continue
        ranked = chosen.sort("validation_auroc", "run", descending=[True, False])
        baseline = rows.filter(strategy="majority")["macro_f1"]
        taken = _take(str(panel), ranked, baseline=baseline[0] if len(baseline) else None)
        sentences.append(taken + _of_which_seen(known.get(ranked["run"][0])))
    return sentences


def _of_which_seen(row: dict[str, Any] | None) -> str:
    """Return how many test videos a run has as good as seen and its score without them, as a sentence to add."""
    if row is None or not row["n_seen"]:
        return ""
    has = "has a near-duplicate" if row["n_seen"] == 1 else "have near-duplicates"
    without = f"its macro-F1 is {decimal(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}"
    if row["macro_f1"] is None:
        without = "too few are left to score it"
    return f" Of the {row['n_test']} test videos {row['n_seen']} {has} in what it was trained on; without, {without}."


def _take(panel: str, ranked: pl.DataFrame, *, baseline: float | None) -> str:
    best = ranked.row(0, named=True)
    n_equal = ranked.filter(validation_auroc=best["validation_auroc"]).height
    equal = f", as {n_equal - 1} other{'s' * (n_equal > 2)} did" * (n_equal > 1)
    ends = interval(best["macro_f1_low"], best["macro_f1_high"])
    sentence = (
        f"For {panel}, take {best['run']} ({wording.STRATEGIES[best['strategy']]}): it scored best on the validation "
        f"videos (AUROC {decimal(best['validation_auroc'])}{equal}), and no test video chose it. On the test videos "
        f"its macro-F1 is {decimal(best['macro_f1'])} {ends}"
    )
    if baseline is None:
        return f"{sentence}."
    sentence += f"; calling every video by the more frequent label scores {decimal(baseline)}."
    if best["macro_f1_low"] > baseline:
        return sentence
    return f"{sentence} That it does better than that is not shown."


def cautions(results: pl.DataFrame) -> list[str]:
    """Return a sentence for each test split of which a label has few videos.

    Args:
        results: Rows of ``results``.
    """
    counts = pl.col("n_positive", "n_scored").max()
    splits = panelled(results).group_by("panel", "fold").agg(counts).sort("panel", "fold")
    sentences = []
    for row in splits.to_dicts():
        n_positive, n_scored, fold = row["n_positive"], row["n_scored"], row["fold"]
        if not small_samples.is_few(n_positive, n_scored):
            continue
        n, name = min((n_positive, "positive"), (n_scored - n_positive, "negative"))
        of_fold = f", fold {fold}" if fold is not None else ""
        moves = f", and each of them moves recall by {decimal(1 / n, places=2)}" if n > 1 and name == "positive" else ""
        sentences.append(
            f"Only {n} of the {n_scored} test videos of {row['panel']}{of_fold} {'is' if n == 1 else 'are'} {name}"
            f"{moves}: the intervals are wide, and small differences mean nothing."
        )
    return sentences


def label_effects(results: pl.DataFrame, *, comparisons: pl.DataFrame, differences: pl.DataFrame) -> pl.DataFrame:
    """Re-annotated against original memes: pairs of runs that differ in their labels alone.

    Args:
        results: Rows of ``results``.
        comparisons: Rows of ``comparisons``.
        differences: Rows of ``differences``.

    Returns:
        Columns ``target``, ``split``, ``fold``, ``memes``, ``model``, ``seed``, ``paper_mode``; ``original``,
        ``re_annotated`` (macro-F1) with ``…_low``, ``…_high``; ``difference``; ``over_seeds`` with ``…_low`` and
        ``…_high``: the difference of the means over seeds with its paired interval, and ``smallest``, the smallest true
        one that would often be seen; ``n_train_original``, ``n_train_re_annotated``; and from McNemar's test
        ``n_only_original_right``, ``n_only_re_annotated_right``, ``p_value``, ``p_holm``. Null is what was not
        estimated or tested. Sorted by the first seven.
    """
    setting = ["target", "split", "fold", "memes", "model", "seed", "paper_mode"]

    def of_strategy(strategy: str, name: str) -> pl.DataFrame:
        ends = {f"{name}{end}": f"macro_f1{end}" for end in ("", "_low", "_high")}
        return results.filter(strategy=strategy).select(
            *setting, **ends, **{f"run_{name}": "run", f"n_train_{name}": "n_train", f"candidate_{name}": candidate()}
        )

    # In `comparisons` the strategy that comes first in the alphabet is a: om_ft before rm_ft.
    tests = comparisons.select(
        "run_a",
        "run_b",
        "p_value",
        "p_holm",
        n_only_original_right="n_only_a_right",
        n_only_re_annotated_right="n_only_b_right",
    )
    paired = differences.filter(score="macro_f1").select(
        "a", "b", "smallest", over_seeds="difference", over_seeds_low="low", over_seeds_high="high"
    )
    names = {name: [f"{name}_original", f"{name}_re_annotated"] for name in ("run", "candidate")}
    return (
        of_strategy("om_ft", "original")
        .join(of_strategy("rm_ft", "re_annotated"), on=setting, nulls_equal=True)
        .join(tests, left_on=names["run"], right_on=["run_a", "run_b"], how="left")
        .join(paired, left_on=names["candidate"], right_on=["a", "b"], how="left")
        .with_columns(difference=pl.col("re_annotated") - pl.col("original"))
        .drop(*names["run"], *names["candidate"])
        .sort(setting)
    )


def headline(effects: pl.DataFrame) -> list[str]:
    """Return what re-annotation did to macro-F1, and whether that can be told from chance; one sentence each.

    Args:
        effects: As ``label_effects`` returns them.
    """
    if effects.is_empty():
        return ["No two runs of this study differ in their labels alone, so it says nothing about re-annotation."]
    n = effects.height
    n_higher = int((effects["difference"] > 0).sum())
    ends = [wording.difference(value) for value in effects["difference"].sort().gather([0, -1])]
    return [
        _verdict(effects.drop_nulls("p_holm")),
        f"With re-annotated instead of original labels, {n_higher} of {_pairs(n)} scored a higher macro-F1 "
        f"({' to '.join(dict.fromkeys(ends))}). {_sizes(effects)}",
        _tested(effects.drop_nulls("p_holm")),
    ]


def _verdict(tested: pl.DataFrame) -> str:
    significant = tested.filter(pl.col("p_holm") < SIGNIFICANCE)
    n_for = int((significant["n_only_re_annotated_right"] > significant["n_only_original_right"]).sum())
    n_against, of = significant.height - n_for, f"of {_pairs(tested.height)}"
    if not significant.height:
        return "Whether re-annotation helps cannot be told from these test videos."
    if n_for and n_against:
        return f"Re-annotation helped in {n_for} and hurt in {n_against} {of}, beyond chance."
    return f"Re-annotation {'helped' if n_for else 'hurt'} in {significant.height} {of}, beyond chance."


def _sizes(effects: pl.DataFrame) -> str:
    """Return how many examples each side was trained on: undecided memes are left out, so sets may differ."""
    gaps = effects.with_columns(gap=(pl.col("n_train_original").cast(pl.Int64) - pl.col("n_train_re_annotated")).abs())
    differing = gaps.filter(pl.col("gap") > 0).sort("gap", "memes", "target", descending=[True, False, False])
    if differing.is_empty():
        return "Both sides were trained on equally many examples."
    widest = differing.row(0, named=True)
    sizes = f"{widest['n_train_re_annotated']:,} re-annotated against {widest['n_train_original']:,} original examples"
    if effects.height == 1:
        return f"The training sets differ in size too: {sizes}."
    return f"The training sets differ in size too, in {differing.height} of {_pairs(effects.height)}; at most {sizes}."


def _tested(effects: pl.DataFrame) -> str:
    """McNemar's test looks at correct answers, so its direction is theirs and not that of macro-F1."""
    if effects.is_empty():
        return "Whether the differences are more than chance was not tested."
    significant = effects.filter(pl.col("p_holm") < SIGNIFICANCE)
    if significant.is_empty():
        return f"McNemar's test, Holm-adjusted, tells none of {_pairs(effects.height)} from chance."
    n_for = int((significant["n_only_re_annotated_right"] > significant["n_only_original_right"]).sum())
    n_against = significant.height - n_for
    sides = [f"{n_for} for the re-annotated labels" * (n_for > 0), f"{n_against} for the original" * (n_against > 0)]
    rest = "; the rest may be chance" * (significant.height < effects.height)
    return (
        f"McNemar's test, Holm-adjusted, finds more correct answers on one side in {significant.height} of "
        f"{_pairs(effects.height)}: {', '.join(side for side in sides if side)}{rest}."
    )


def _pairs(n: int) -> str:
    return "1 pair of runs" if n == 1 else f"{n} pairs of runs"
