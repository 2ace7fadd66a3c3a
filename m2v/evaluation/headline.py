"""What a study found, in the few sentences that its rows bear out."""

import polars as pl

from m2v.evaluation import wording

SIGNIFICANCE = 0.05


def label_effects(results: pl.DataFrame, *, comparisons: pl.DataFrame) -> pl.DataFrame:
    """Re-annotated against original memes: pairs of runs that differ in their labels alone.

    Args:
        results: Rows of ``results``.
        comparisons: Rows of ``comparisons``.

    Returns:
        Columns ``target``, ``split``, ``fold``, ``memes``, ``model``, ``seed``, ``paper_mode``; ``original``,
        ``re_annotated`` (macro-F1) with ``…_low``, ``…_high``; ``difference``; ``is_overlapping`` (whether the
        intervals do); and from McNemar's test, null where it was not made, ``n_only_original_right``,
        ``n_only_re_annotated_right``, ``p_value``, ``p_holm``. Sorted by the first seven.
    """
    setting = ["target", "split", "fold", "memes", "model", "seed", "paper_mode"]

    def of_strategy(strategy: str, name: str) -> pl.DataFrame:
        ends = {f"{name}{end}": f"macro_f1{end}" for end in ("", "_low", "_high")}
        return results.filter(strategy=strategy).select(*setting, **ends, **{f"run_{name}": "run"})

    # In `comparisons` the strategy that comes first in the alphabet is a: om_ft before rm_ft.
    tests = comparisons.select(
        "run_a",
        "run_b",
        "p_value",
        "p_holm",
        n_only_original_right="n_only_a_right",
        n_only_re_annotated_right="n_only_b_right",
    )
    return (
        of_strategy("om_ft", "original")
        .join(of_strategy("rm_ft", "re_annotated"), on=setting, nulls_equal=True)
        .join(tests, left_on=["run_original", "run_re_annotated"], right_on=["run_a", "run_b"], how="left")
        .with_columns(
            difference=pl.col("re_annotated") - pl.col("original"),
            is_overlapping=(pl.col("re_annotated_low") <= pl.col("original_high"))
            & (pl.col("original_low") <= pl.col("re_annotated_high")),
        )
        .drop("run_original", "run_re_annotated")
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
    n_higher, n_overlapping = int((effects["difference"] > 0).sum()), int(effects["is_overlapping"].sum())
    ends = [wording.difference(value) for value in effects["difference"].sort().gather([0, -1])]
    return [
        f"Trained on re-annotated instead of original labels, and with nothing else changed, {n_higher} of {_pairs(n)} "
        f"scored a higher macro-F1 ({' to '.join(dict.fromkeys(ends))}).",
        f"The 95 % intervals overlap in {n_overlapping} of {_pairs(n)}.",
        _tested(effects.drop_nulls("p_holm")),
    ]


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
