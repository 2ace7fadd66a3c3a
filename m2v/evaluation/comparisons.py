"""Which strategies can be told apart on the test videos that both scored."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from m2v import schemas
from m2v.errors import UnknownName

SETTING = ["target", "split", "model", "seed", "paper_mode"]


def comparisons(results: pl.DataFrame, *, test_predictions: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """McNemar's exact test between every two strategies that share target, split, model, seed, mode and memes.

    ``no_ft`` and ``vid_ft`` have no memes and stand beside each meme dataset's strategies. The test (McNemar 1947,
    Psychometrika 12:153-157) asks of the videos that exactly one of the two got right, each at its own threshold,
    whether a fair coin would divide them as unevenly; Holm's adjustment (1979, Scandinavian Journal of Statistics
    6:65-70) runs over all comparisons of one target.

    Args:
        results: Rows of ``results``; those without a threshold (the majority class) are passed over.
        test_predictions: Rows of ``test_predictions`` by run.

    Returns:
        Rows of ``comparisons``, sorted by target, run_a and run_b; run_a's strategy comes first in the alphabet.

    Raises:
        UnknownName: For a run with results and no test predictions.
    """
    runs = results.drop_nulls("threshold")["run"]
    correct = {run: _correct(run, test_predictions) for run in runs}
    rows = [{**pair, **_mcnemar(correct[pair["run_a"]], correct[pair["run_b"]])} for pair in _pairs(results).to_dicts()]
    schema = {name: dtype for name, dtype in schemas.COMPARISONS.columns.items() if name != "p_holm"}
    tested = pl.DataFrame(rows, schema=schema)
    adjusted = [_holm(of_target) for _, of_target in tested.group_by("target", maintain_order=True)]
    return schemas.COMPARISONS.validate(pl.concat([schemas.COMPARISONS.empty(), *adjusted]))


def _correct(run: str, test_predictions: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Columns ``video_id``, ``is_correct``."""
    if run not in test_predictions:
        raise UnknownName("run with test predictions", run, test_predictions)
    return test_predictions[run].select("video_id", is_correct=pl.col("predicted") == pl.col("true_label"))


def _pairs(results: pl.DataFrame) -> pl.DataFrame:
    """Columns ``target``, ``run_a``, ``run_b``."""
    runs = results.drop_nulls("threshold").select(*SETTING, "fold", "memes", "strategy", "run")
    share_memes = (pl.col("memes") == pl.col("memes_b")).fill_null(value=True)
    share_fold = pl.col("fold").eq_missing(pl.col("fold_b"))
    return (
        runs.join(runs, on=SETTING, suffix="_b")
        .filter((pl.col("strategy") < pl.col("strategy_b")) & share_memes & share_fold)
        .select("target", run_a="run", run_b="run_b")
        .sort("target", "run_a", "run_b")
    )


def _mcnemar(a: pl.DataFrame, b: pl.DataFrame) -> dict[str, int | float]:
    both = a.join(b, on="video_id", suffix="_b")
    return mcnemar(both["is_correct"].to_numpy(), both["is_correct_b"].to_numpy())


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, int | float]:
    """Return ``n_both``, ``n_only_a_right``, ``n_only_b_right`` and the exact test's ``p_value``.

    Args:
        right_a, right_b: Whether each item is called rightly, (items,), bool.
    """
    from statsmodels.stats.contingency_tables import mcnemar as tested

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    agreed = len(right_a) - only_a - only_b  # the test does not look at them
    test = tested([[agreed, only_a], [only_b, 0]], exact=True)
    p_value = float(test.pvalue)  # pyright: ignore[reportAttributeAccessIssue] (a Bunch names its fields at run time)
    return {"n_both": len(right_a), "n_only_a_right": only_a, "n_only_b_right": only_b, "p_value": p_value}


def _holm(tested: pl.DataFrame) -> pl.DataFrame:
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(tested["p_value"].to_numpy(), method="holm")[1]
    return tested.with_columns(p_holm=pl.Series(adjusted, dtype=pl.Float64))
