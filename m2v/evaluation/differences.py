"""By how much strategies and models differ on the items that both scored, and whether chance alone could do it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from m2v import schemas
from m2v.errors import UnknownName
from m2v.evaluation.intervals import RESAMPLES, ends, resampled_scores, resamples
from m2v.evaluation.predicted import Predicted, predicted, shared

SCORES = ("macro_f1", "auroc", "accuracy")
# Standard normal quantiles of a two-sided test at 5 % and of 80 % power: .975 and .8.
DETECTABLE = 1.959964 + 0.841621
SETTING = ["target", "split", "fold", "paper_mode"]
VARIES = ("strategy", "model", "memes")


@dataclass(frozen=True)
class Difference:
    """The difference of a score between two candidates, b less a; None where it cannot be estimated.

    Attributes:
        low, high: Ends of its 95 % interval.
        smallest: The smallest true difference that these items would show in four of five studies.
    """

    value_a: float | None
    value_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    smallest: float | None


def paired(
    a: Sequence[Predicted], b: Sequence[Predicted], *, seed: int = 0, n_resamples: int = RESAMPLES
) -> dict[str, Difference]:
    """Return the difference of each score of ``SCORES`` with its paired bootstrap interval.

    Items are drawn again, the same ones for both (Efron and Tibshirani 1993, chapter 16); where a candidate was trained
    with several seeds its score is their mean, and seeds are drawn again too, on their own (Multi-Bootstrap, Sellam et
    al. 2022, ICLR). With three seeds a bootstrap shows two thirds of the variance between seeds. The smallest
    difference is Bloom's minimum detectable effect (1995, Evaluation Review 19:547-556): 2.80 standard errors, for a
    two-sided test at 5 % with 80 % power; the standard error is the bootstrap's.

    Args:
        a, b: One entry for each seed, all with the same items in the same order.
        seed: Of the resampling.
        n_resamples: How often items and seeds are drawn again.
    """
    generator = np.random.default_rng([seed, 1])  # items are drawn by a generator of their own
    sides = [_over_seeds(side, generator, seed=seed, n_resamples=n_resamples) for side in (a, b)]
    return {score: _difference(*(side[score] for side in sides)) for score in SCORES}


def _over_seeds(
    side: Sequence[Predicted], generator: np.random.Generator, *, seed: int, n_resamples: int
) -> dict[str, np.ndarray]:
    """Return each score's mean over seeds, (1 + resamples,): as they are, then over drawn items and drawn seeds."""
    drawn = generator.multinomial(len(side), np.full(len(side), 1 / len(side)), n_resamples)
    weights = np.concatenate([np.ones((1, len(side))), drawn]) / len(side)  # (1 + resamples, seeds)
    by_seed = [_resampled(run, seed=seed, n_resamples=n_resamples) for run in side]
    return {score: (np.stack([scores[score] for scores in by_seed], axis=1) * weights).sum(axis=1) for score in SCORES}


# A run stands in as many pairs as there are others like it; one of 2,000 resamples takes 48 kB.
@lru_cache(maxsize=256)
def _resampled(run: Predicted, *, seed: int, n_resamples: int) -> dict[str, np.ndarray]:
    """Return each score, (1 + resamples,): of the items as they are, then of each resample."""
    n_items = len(run.ids)
    blocks = [
        resampled_scores(run.labels, run.probabilities, threshold=run.threshold, counts=counts)
        for counts in (np.ones((1, n_items)), *resamples(n_items, n_resamples=n_resamples, seed=seed))
    ]
    return {score: np.concatenate([block[score] for block in blocks]) for score in SCORES}


def _difference(of_a: np.ndarray, of_b: np.ndarray) -> Difference:
    value_a, value_b = float(of_a[0]), float(of_b[0])
    if np.isnan(value_a):  # one label only, in both: their items are the same
        return Difference(None, None, None, None, None, None)
    drawn = (of_b - of_a)[1:]
    low, high = ends(drawn)
    error = float(np.nanstd(drawn, ddof=1))
    # Without any spread nothing was learned of the error: the two never differ.
    return Difference(value_a, value_b, value_b - value_a, low, high, DETECTABLE * error if error > 0 else None)


def differences(results: pl.DataFrame, *, test_predictions: Mapping[str, pl.DataFrame], seed: int = 0) -> pl.DataFrame:
    """Compare every two candidates of one target and split that differ in their strategy, model or memes alone.

    A candidate is what was trained, over all of its seeds. ``no_ft`` and ``vid_ft`` have no memes and stand beside each
    meme dataset's strategies.

    Args:
        results: Rows of ``results``; those without a threshold (the majority class) are passed over.
        test_predictions: Rows of ``test_predictions`` by run.
        seed: Of the bootstrap.

    Returns:
        Rows of ``differences``, sorted by target, split, fold, a, b and score.

    Raises:
        UnknownName: For a run with results and no test predictions.
    """
    runs = candidates(results)
    said = {run: _said(run, test_predictions) for run in results.drop_nulls("threshold")["run"]}
    rows = []
    for pair in _pairs(runs).to_dicts():
        aligned = shared([said[run] for run in (*pair["runs"], *pair["runs_b"])])
        a, b = aligned[: len(pair["runs"])], aligned[len(pair["runs"]) :]
        about = {
            **{name: pair[name] for name in SETTING},
            "varies": pair["varies"],
            "a": pair["candidate"],
            "b": pair["candidate_b"],
            "n_items": len(a[0].ids),
            "n_seeds_a": len(a),
            "n_seeds_b": len(b),
        }
        for score, found in paired(a, b, seed=seed).items():
            rows.append({**about, "score": score, **vars(found)})
    frame = pl.DataFrame(rows, schema=dict(schemas.DIFFERENCES.columns))
    return schemas.DIFFERENCES.validate(frame.sort("target", "split", "fold", "a", "b", "score"))


def candidates(results: pl.DataFrame) -> pl.DataFrame:
    """Return what was trained, over seeds: ``candidate`` (a run's name without its seed) and ``runs``, by seed."""
    named = results.drop_nulls("threshold").with_columns(candidate=candidate())
    by = ["candidate", *SETTING, "model", "strategy", "memes"]
    return named.sort("seed").group_by(by, maintain_order=True).agg(runs="run").sort("candidate")


def candidate() -> pl.Expr:
    """Return the name of a run without its seed."""
    return pl.col("run").str.strip_suffix(pl.format("_s{}", "seed"))


def _said(run: str, test_predictions: Mapping[str, pl.DataFrame]) -> Predicted:
    if run not in test_predictions:
        raise UnknownName("run with test predictions", run, test_predictions)
    return predicted(test_predictions[run], run=run)


def _pairs(runs: pl.DataFrame) -> pl.DataFrame:
    """Return pairs with the one thing in which they differ, the first in the alphabet as ``candidate``."""
    both = runs.join(runs, on=SETTING, suffix="_b", nulls_equal=True).filter(
        pl.col("candidate") < pl.col("candidate_b")
    )
    same_model = pl.col("model") == pl.col("model_b")
    same_strategy = pl.col("strategy") == pl.col("strategy_b")
    same_memes = pl.col("memes").eq_missing(pl.col("memes_b"))
    share_memes = (pl.col("memes") == pl.col("memes_b")).fill_null(value=True)
    varies = (
        pl.when(same_model & ~same_strategy & share_memes)
        .then(pl.lit("strategy"))
        .when(~same_model & same_strategy & same_memes)
        .then(pl.lit("model"))
        .when(same_model & same_strategy & ~same_memes)
        .then(pl.lit("memes"))
    )
    return both.with_columns(varies=varies).drop_nulls("varies").sort("target", "split", "fold", "candidate")
