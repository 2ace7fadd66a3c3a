"""95 % intervals of scores, also where so few test items have a label that resampling them says too little.

The percentile bootstrap cannot give a score that no resample has: four positive items that are all found make it say
[1, 1]. Where a label has few items, or every resample has the same score, intervals come from formulas instead.
"""

import math

import numpy as np

from m2v.evaluation import intervals as bootstrap

# Up to some 40 items, Brown, Cai and DasGupta (2001, Statistical Science 16:101-133) recommend Wilson's interval.
FEW = 40
Z = 1.959963984540054  # of a normal distribution, 2.5 % lie above it
TINY = 1e-9

Ends = tuple[float, float]
NOTHING_KNOWN: Ends = (0.0, 1.0)


def is_few(n_positive: int, n_items: int) -> bool:
    """Return whether one of the labels has too few test items for the bootstrap."""
    return min(n_positive, n_items - n_positive) <= FEW


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, *, threshold: float, seed: int
) -> dict[str, tuple[float | None, float | None]]:
    """Return lower and upper end of every score's interval.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float64, of the positive label.
        threshold: From this probability on, an item is called positive.
        seed: Of the bootstrap.

    Returns:
        By score, as in ``schemas.SCORES``; AUROC's is (None, None) unless both labels occur.
    """
    by_formula = formulas(labels, probabilities, threshold=threshold)
    if is_few(int(labels.sum()), len(labels)):
        return by_formula
    resampled = bootstrap.intervals(labels, probabilities, threshold=threshold, seed=seed)
    return {score: by_formula[score] if low == high else (low, high) for score, (low, high) in resampled.items()}


def formulas(
    labels: np.ndarray, probabilities: np.ndarray, *, threshold: float
) -> dict[str, tuple[float | None, float | None]]:
    """Return intervals that need no resampling.

    Accuracy, recall and precision are shares: Wilson's interval. F1 follows from the share TP / (TP + FP + FN) and has
    that share's interval (Lam, Gopal and Qian 2023, arXiv:2309.14621). Macro-F1's ends are the means of both labels'
    ends. AUROC's are by Newcombe (2006, Statistics in Medicine 25:559-573, method 5).

    Args:
        labels: (items,), bool.
        probabilities: (items,), float64, of the positive label.
        threshold: From this probability on, an item is called positive.

    Returns:
        By score, as in ``schemas.SCORES``; a share of nothing is between 0 and 1, AUROC's ends are None unless both
        labels occur.
    """
    predicted = probabilities >= threshold
    n_true_positive, n_true_negative = int((labels & predicted).sum()), int((~labels & ~predicted).sum())
    n_right = n_true_positive + n_true_negative
    n_wrong = len(labels) - n_right
    positive, negative = f1(n_true_positive, n_wrong), f1(n_true_negative, n_wrong)
    return {
        "accuracy": wilson(n_right, len(labels)),
        "macro_f1": ((positive[0] + negative[0]) / 2, (positive[1] + negative[1]) / 2),
        "f1": positive,
        "recall": wilson(n_true_positive, int(labels.sum())),
        "precision": wilson(n_true_positive, int(predicted.sum())),
        "auroc": auroc(labels, probabilities),
    }


def share(name: str, n_hits: int, n_items: int) -> dict[str, int | float | None]:
    """Return columns that say how many items are hit, as ``n_<name>``, and their ``<name>_share`` with its ends.

    The share and Wilson's interval are None where there are no items.
    """
    low, high = wilson(n_hits, n_items) if n_items else (None, None)
    value = n_hits / n_items if n_items else None
    return {f"n_{name}": n_hits, f"{name}_share": value, f"{name}_share_low": low, f"{name}_share_high": high}


def wilson(n_hits: int, n_items: int) -> Ends:
    """Return Wilson's score interval of a share (1927, JASA 22:209-212)."""
    from scipy.stats import binomtest

    if not n_items:
        return NOTHING_KNOWN
    ends = binomtest(n_hits, n_items).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def f1(n_hits: int, n_wrong: int) -> Ends:
    """Return the interval of a label's F1.

    Args:
        n_hits: Items of the label that were called so.
        n_wrong: Items of either label that were called wrongly.
    """
    low, high = wilson(n_hits, n_hits + n_wrong)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def auroc(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float | None, float | None]:
    """Return Newcombe's interval of the area under the ROC curve, which does not vanish at 0 and 1.

    Its ends are the areas t that are Z standard errors from the area a of the sample, where the error is that of t:
    |a - t| = Z sqrt(t (1 - t) (1 + (n - 1) ((1 - t) / (2 - t) + t / (1 + t))) / (n+ n-)), n the mean of n+ and n-.
    """
    from scipy.optimize import root_scalar
    from sklearn.metrics import roc_auc_score

    n_positive = int(labels.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return None, None
    if len(np.unique(probabilities)) == 1:
        return 0.5, 0.5  # by definition, whatever the items
    area = float(roc_auc_score(labels, probabilities))
    mean = (n_positive + n_negative) / 2

    def excess(value: float) -> float:
        spread = 1 + (mean - 1) * ((1 - value) / (2 - value) + value / (1 + value))
        return abs(area - value) - Z * math.sqrt(value * (1 - value) * spread / (n_positive * n_negative))

    # At 0 and 1 the error vanishes, and so does the excess of an area of 0 or 1: the other end lies beside.
    low = root_scalar(excess, bracket=(0.0, min(area, 1 - TINY))).root if area > 0 else 0.0
    high = root_scalar(excess, bracket=(max(area, TINY), 1.0)).root if area < 1 else 1.0
    return low, high
