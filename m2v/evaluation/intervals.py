"""95 % percentile bootstrap intervals over test items (Efron and Tibshirani 1993, chapter 13), without a loop."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
COUNTS_AT_ONCE = 4_000_000  # 32 MB, however large the test split


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, *, threshold: float, seed: int, n_resamples: int = RESAMPLES
) -> dict[str, tuple[float | None, float | None]]:
    """Lower and upper end of every score's interval.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float64, of the positive label.
        threshold: From this probability on, an item is called positive.
        seed: Of the resampling; runs on the same items and with the same seed see the same resamples.
        n_resamples: How often the items are drawn again.

    Returns:
        By score, as in ``schemas.SCORES``. Resamples with one label have no AUROC and are left out of its interval,
        which is (None, None) where none is left.
    """
    blocks = [
        resampled_scores(labels, probabilities, threshold=threshold, counts=counts)
        for counts in resamples(len(labels), n_resamples=n_resamples, seed=seed)
    ]
    return {score: ends(np.concatenate([block[score] for block in blocks])) for score in blocks[0]}


def resamples(
    n_items: int, *, n_resamples: int, seed: int, counts_at_once: int = COUNTS_AT_ONCE
) -> Iterator[np.ndarray]:
    """How often each item is in each resample, in blocks of (resamples, items), float64.

    Drawing items with replacement is drawing their counts from a multinomial distribution.
    """
    generator = np.random.default_rng(seed)
    block = max(1, counts_at_once // n_items)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        yield generator.multinomial(n_items, np.full(n_items, 1 / n_items), size=size).astype(np.float64)


def resampled_scores(
    labels: np.ndarray, probabilities: np.ndarray, *, threshold: float, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Every score of ``schemas.SCORES`` for every resample, from its confusion counts; all (resamples,), float64.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float64.
        threshold: From this probability on, an item is called positive.
        counts: (resamples, items), float64.
    """
    predicted = probabilities >= threshold
    cells = np.stack([labels & predicted, ~labels & predicted, labels & ~predicted, ~labels & ~predicted], axis=1)
    true_positive, false_positive, false_negative, true_negative = (counts @ cells).T  # each (resamples,)
    wrong = false_positive + false_negative
    f1 = _share(2 * true_positive, 2 * true_positive + wrong)
    f1_negative = _share(2 * true_negative, 2 * true_negative + wrong)
    return {
        "accuracy": (true_positive + true_negative) / counts.sum(axis=1),
        "macro_f1": (f1 + f1_negative) / 2,
        "f1": f1,
        "recall": _share(true_positive, true_positive + false_negative),
        "precision": _share(true_positive, true_positive + false_positive),
        "auroc": _auroc(labels, probabilities, counts),
    }


def _auroc(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(resamples,), float64; NaN where a resample has one label.

    The area is the share of pairs of a positive and a negative item in which the positive one has the higher
    probability, equal ones counting half (Hanley and McNeil 1982, Radiology 143:29-36); an item drawn k times is in
    k times as many pairs.
    """
    order = np.argsort(probabilities, kind="stable")
    starts = np.unique(probabilities[order], return_index=True)[1]
    # (resamples, distinct probabilities)
    positives = np.add.reduceat((counts * labels)[:, order], starts, axis=1)
    negatives = np.add.reduceat((counts * ~labels)[:, order], starts, axis=1)
    below = negatives.cumsum(axis=1) - negatives / 2
    n_pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _share((positives * below).sum(axis=1), n_pairs, otherwise=np.nan)


def _share(part: np.ndarray, whole: np.ndarray, *, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), otherwise), where=whole > 0)


def ends(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % percentile interval of resampled values, NaN left out; None where none is left."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
