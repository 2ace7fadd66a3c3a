"""Whether a run's probabilities are the shares that they claim to be, as they are and after scaling on validation."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation.intervals import LEVEL, RESAMPLES, ends, resamples
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.proportions import exact

N_BINS = 10
SCALINGS = ("none", "temperature", "isotonic")
# A probability of 0 or 1 has no logit.
CLIP = 1e-6


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared difference of probability and label (Brier 1950, Monthly Weather Review 78:1-3)."""
    return float(np.mean((probabilities - labels) ** 2))


def ece(labels: np.ndarray, probabilities: np.ndarray, *, counts: np.ndarray | None = None) -> np.ndarray:
    """Return the expected calibration error of each resample, (resamples,), float64 (Naeini et al. 2015, AAAI).

    Over ten bins of equal width, the difference of the mean probability and the share of positives, weighted by the
    items in the bin.

    Args:
        labels: (items,), bool; or (resamples, items) where each resample has labels of its own.
        probabilities: (items,), float64, of the positive label.
        counts: How often each item is in each resample, (resamples, items); None: once.
    """
    gaps = np.atleast_2d((labels - probabilities) if counts is None else counts * (labels - probabilities))
    n = len(probabilities) if counts is None else counts.sum(axis=1)
    return np.abs(gaps @ _members(probabilities)).sum(axis=1) / n


def _members(probabilities: np.ndarray) -> np.ndarray:
    """Return which bin each probability is in, (items, bins), one-hot; 1 is in the last."""
    return np.eye(N_BINS)[np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)]


def by_chance(probabilities: np.ndarray, *, seed: int, n_resamples: int = RESAMPLES) -> float:
    """Return the calibration error that perfectly calibrated probabilities stay below in 95 of 100 test sets.

    Labels are drawn from the probabilities themselves (consistency resampling, Bröcker and Smith 2007, Weather and
    Forecasting 22:651-661): with 200 items even these have an error that is not zero.
    """
    drawn = np.random.default_rng(seed).random((n_resamples, len(probabilities))) < probabilities
    return float(np.quantile(ece(drawn, probabilities), LEVEL))


def temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature that fits best: logits are divided by it (Guo et al. 2017, ICML).

    Args:
        labels: (items,), bool, of both kinds.
        probabilities: (items,), float64.

    Returns:
        The minimum of the log loss between 0.05 and 20.
    """
    from scipy.optimize import minimize_scalar

    logits, signs = _logits(probabilities), np.where(labels, 1.0, -1.0)
    fitted = minimize_scalar(
        lambda scale: np.logaddexp(0, -signs * logits / np.exp(scale)).mean(),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(fitted.x))  # pyright: ignore[reportAttributeAccessIssue] (a Bunch names its fields at run time)


def tempered(probabilities: np.ndarray, *, temperature: float) -> np.ndarray:
    """Return probabilities whose logits are divided by a temperature, (items,), float64."""
    return 1 / (1 + np.exp(-_logits(probabilities) / temperature))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.log(clipped / (1 - clipped))


def scaled(test: np.ndarray, validation: Predicted) -> tuple[dict[str, np.ndarray], float | None]:
    """Return test probabilities by way of scaling, each fitted on validation alone, and the temperature.

    Where validation has not both labels nothing is fitted, and only ``none`` is there.
    """
    if len(set(validation.labels.tolist())) < 2:
        return {"none": test}, None
    from sklearn.isotonic import IsotonicRegression

    fitted = temperature(validation.labels, validation.probabilities)
    steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    steps.fit(validation.probabilities, validation.labels.astype(float))
    isotonic = np.clip(steps.predict(test), 0, 1)
    return {"none": test, "temperature": tempered(test, temperature=fitted), "isotonic": isotonic}, fitted


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float | int]]:
    """Return the reliability curve: for each bin that holds items its mean probability and its share of positives.

    Returns:
        ``bin`` (from 1), ``n``, ``mean_probability``, ``positive_share`` with its exact interval ``low``, ``high``.
    """
    members = _members(probabilities)
    n = members.sum(axis=0)
    n_positive, total = labels @ members, probabilities @ members
    at = np.flatnonzero(n)
    low, high = exact(n_positive[at], n[at])
    return [
        {
            "bin": int(place) + 1,
            "n": int(n[place]),
            "mean_probability": float(total[place] / n[place]),
            "positive_share": float(n_positive[place] / n[place]),
            "low": float(low[row]),
            "high": float(high[row]),
        }
        for row, place in enumerate(at)
    ]


def calibration(runs: Mapping[str, tuple[Predicted, Predicted]], *, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return how well each run's probabilities are calibrated on test, and its reliability curves.

    Args:
        runs: Validation and test predictions by run.
        seed: Of the bootstrap over test items.

    Returns:
        Rows of ``calibration`` and of ``reliability``, sorted by run.
    """
    scores, curves = [], []
    for run, (validation, test) in sorted(runs.items()):
        by_scaling, fitted = scaled(test.probabilities, validation)
        for scaling, probabilities in by_scaling.items():
            about = {"run": run, "scaling": scaling}
            scores.append(
                {
                    **about,
                    "temperature": fitted if scaling == "temperature" else None,
                    "n_validation": len(validation.ids),
                    "n_test": len(test.ids),
                    **_scored(test.labels, probabilities, before=by_scaling["none"], seed=seed),
                }
            )
            curves += [{**about, **point} for point in reliability(test.labels, probabilities)]
    tables = (schemas.CALIBRATION, scores), (schemas.RELIABILITY, curves)
    first, second = (table.validate(pl.DataFrame(rows, schema=dict(table.columns))) for table, rows in tables)
    return first, second


def _scored(labels: np.ndarray, probabilities: np.ndarray, *, before: np.ndarray, seed: int) -> dict[str, float | None]:
    """Return the scores of one way of scaling with their intervals, and the change of the Brier score by it."""
    drawn: Callable = lambda: resamples(len(labels), n_resamples=RESAMPLES, seed=seed)  # noqa: E731
    errors = np.concatenate([ece(labels, probabilities, counts=counts) for counts in drawn()])
    squares, change = (probabilities - labels) ** 2, (probabilities - labels) ** 2 - (before - labels) ** 2
    briers = np.concatenate([counts @ squares for counts in drawn()]) / len(labels)
    changes = np.concatenate([counts @ change for counts in drawn()]) / len(labels)
    point = float(ece(labels, probabilities)[0])
    low, high = ends(errors)
    assert low is not None
    assert high is not None
    brier_low, brier_high = ends(briers)
    change_low, change_high = ends(changes)
    return {
        "brier": brier(labels, probabilities),
        "brier_low": brier_low,
        "brier_high": brier_high,
        "brier_change": float(change.mean()),
        "brier_change_low": change_low,
        "brier_change_high": change_high,
        "ece": point,
        # A resample's error is larger than the sample's, as the sample's is than the truth: the basic interval turns
        # round (Davison and Hinkley 1997, Bootstrap Methods and their Application, 5.2).
        "ece_low": max(0.0, 2 * point - high),
        "ece_high": max(0.0, 2 * point - low),
        "ece_by_chance": by_chance(probabilities, seed=seed),
    }
