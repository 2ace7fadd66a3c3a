"""How many positives there are where nobody labelled, and what scores are worth where they are rarer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation.predicted import Predicted

# Shares of positives at which scores are told, unless a study says its own: rare as in a stream, and as in a test set.
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
N_DRAWS = 10_000
QUANTILES = (0.025, 0.975)


def estimates(runs: Mapping[str, tuple[Predicted, Predicted]], *, seed: int = 0) -> pl.DataFrame:
    """Return which share of the test videos each run says is positive, had nobody labelled them.

    What a run calls positive is corrected by how often it is wrong on validation videos of each label, which holds
    where labels shift and what videos of a label look like does not (Rogan & Gladen 1978, American Journal of
    Epidemiology 107:71-76; of two classes the black-box shift estimate of Lipton et al. 2018, ICML). Intervals are
    those of draws from the Jeffreys posteriors of all three shares, so that an error that was never seen among few
    videos is not taken for impossible.

    Args:
        runs: Validation and test videos of each run, with its threshold.

    Returns:
        Rows of ``prevalence_estimates``; without an estimate where a run has no validation videos of both labels, or
        flags their positives no more often than their negatives.
    """
    rows = []
    for name, (validation, test) in runs.items():
        estimate, low, high = _estimate(validation, test, seed=seed)
        rows.append(
            {
                "run": name,
                "n_validation": len(validation.labels),
                "n_test": len(test.labels),
                "called": float(test.called.mean()) if len(test.labels) else None,
                "estimate": estimate,
                "estimate_low": low,
                "estimate_high": high,
                "observed": float(test.labels.mean()) if len(test.labels) else None,
            }
        )
    return _frame(schemas.PREVALENCE_ESTIMATES, rows)


def scores(
    runs: Mapping[str, tuple[Predicted, Predicted]], *, prevalence: float | None = None, seed: int = 0
) -> pl.DataFrame:
    """Return what each run's precision and macro-F1 would be at other shares of positives, at its threshold.

    Recall and false-positive rate are those of the test videos; how often either label comes is stated. Intervals are
    those of draws from the Jeffreys posteriors of both rates.

    Args:
        runs: Validation and test videos of each run, with its threshold.
        prevalence: A study's own share of positives; told besides ``SHARES``.

    Returns:
        Rows of ``prevalence_scores``; none for a run whose test videos are of one label. ``precision`` is null where
        the run flags no test video.
    """
    shares: list[float] = sorted({*SHARES, *([prevalence] if prevalence is not None else [])})
    rows = []
    for name, (_, test) in runs.items():
        n_positive, n_negative = _sizes(test)
        if not n_positive or not n_negative:
            continue
        hit, alarm = _counts(test)
        recalls = np.append(hit / n_positive, _draws(hit, n_positive, seed))
        alarms = np.append(alarm / n_negative, _draws(alarm, n_negative, seed + 1))
        for share in shares:
            row = {"run": name, "prevalence": share}
            for metric, values in _at(share, recall=recalls, false_positive_rate=alarms).items():
                found = (values[0], *np.quantile(values[1:], QUANTILES))
                is_known = metric != "precision" or hit + alarm > 0
                names = (metric, f"{metric}_low", f"{metric}_high")
                row |= {end: float(value) if is_known else None for end, value in zip(names, found, strict=True)}
            rows.append(row)
    return _frame(schemas.PREVALENCE_SCORES, rows)


def _estimate(validation: Predicted, test: Predicted, *, seed: int) -> tuple[float | None, float | None, float | None]:
    """Return the corrected share of positives and its interval; None where validation does not show the errors."""
    nothing = (None, None, None)
    n_positive, n_negative = _sizes(validation)
    if not n_positive or not n_negative or not len(test.labels):
        return nothing
    hit, alarm = _counts(validation)
    informed = hit / n_positive - alarm / n_negative
    if informed <= 0:
        return nothing
    called = int(test.called.sum())
    low, high = _corrected(
        _draws(called, len(test.labels), seed),
        recall=_draws(hit, n_positive, seed + 1),
        false_positive_rate=_draws(alarm, n_negative, seed + 2),
    )
    return float(np.clip((called / len(test.labels) - alarm / n_negative) / informed, 0, 1)), low, high


def _at(share: float, *, recall: np.ndarray, false_positive_rate: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision and macro-F1 at a share of positives, each of the shape of the rates."""
    true, false = share * recall, (1 - share) * false_positive_rate
    missed, spared = share - true, 1 - share - false
    with np.errstate(invalid="ignore"):  # a run that flags nothing has no precision
        precision = true / (true + false)
    macro_f1 = (2 * true / (2 * true + false + missed) + 2 * spared / (2 * spared + false + missed)) / 2
    return {"precision": precision, "macro_f1": macro_f1}


def _corrected(called: np.ndarray, *, recall: np.ndarray, false_positive_rate: np.ndarray) -> tuple[float, float]:
    """Return the interval of corrected shares; a draw in which the run tells nothing allows every share."""
    informed = recall - false_positive_rate
    tells = informed > 0
    with np.errstate(divide="ignore"):
        share = np.clip((called - false_positive_rate) / np.where(tells, informed, np.inf), 0, 1)
    low, high = np.where(tells, share, 0.0), np.where(tells, share, 1.0)
    return float(np.quantile(low, QUANTILES[0])), float(np.quantile(high, QUANTILES[1]))


def _draws(k: int, n: int, seed: int) -> np.ndarray:
    """Return draws of a share's Jeffreys posterior, (draws,), float64."""
    return np.random.default_rng(seed).beta(k + 0.5, n - k + 0.5, N_DRAWS)


def _frame(table: schemas.Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(table.columns)).sort(table.key)


def _sizes(run: Predicted) -> tuple[int, int]:
    n_positive = int(run.labels.sum())
    return n_positive, len(run.labels) - n_positive


def _counts(run: Predicted) -> tuple[int, int]:
    """Return how many positives and how many negatives the run calls positive."""
    return int((run.called & run.labels).sum()), int((run.called & ~run.labels).sum())
