"""Choosing on the validation split: scores that need no threshold, and the threshold."""

import numpy as np


def auroc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Return the area under the ROC curve, or None where only one class is there.

    By ranks (Mann and Whitney 1947): the share of pairs in which the positive item has the higher probability, ties
    counted half. scikit-learn gives the same and takes three seconds to import, in every training.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float.
    """
    n_positive = int(labels.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return None
    _, which, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[which]
    return float((ranks[labels].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Return the mean of precision over what recall gains from threshold to threshold; None where one class is there.

    As scikit-learn has it (Zhu 2004): equal probabilities are one threshold, nothing is interpolated.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float.
    """
    if labels.all() or not labels.any():
        return None
    order = np.argsort(-probabilities, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True))  # of each run of equals
    n_right = np.cumsum(labels[order])[ends]
    precision, gained = n_right / (ends + 1), np.diff(n_right, prepend=0) / n_right[-1]
    return float((precision * gained).sum())


def threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold with the best macro-F1 among midpoints of neighbouring probabilities; ties: nearest to 0.5.

    An item is called positive when its probability is at or above the threshold. 0.5 where only one class is there.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float.
    """
    if len(np.unique(labels)) < 2:
        return 0.5
    values = np.unique(probabilities)
    candidates = np.append((values[1:] + values[:-1]) / 2, 0.5)
    called = probabilities >= candidates[:, None]  # (candidates, items), bool
    scores = (_f1(called, labels) + _f1(~called, ~labels)) / 2
    best = candidates[np.isclose(scores, scores.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _f1(called: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """F1 of each row of ``called``, (candidates,); 0 where nothing is positive."""
    n_right = (called & labels).sum(axis=1)
    return 2 * n_right / np.maximum(called.sum(axis=1) + labels.sum(), 1)
