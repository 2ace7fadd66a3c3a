"""Exact intervals of shares."""

import numpy as np


def exact(n_hits: np.ndarray | int, n: np.ndarray | int, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the exact binomial interval of a share (Clopper and Pearson 1934, Biometrika 26:404-413).

    Args:
        n_hits: How many of ``n`` are counted.
        n: At least 1.
        level: Share of samples whose interval holds the true share, at least; 0.9 gives one-sided bounds of 95 %.
    """
    from scipy.stats import beta

    n_hits, n = np.asarray(n_hits, dtype=float), np.asarray(n, dtype=float)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(n_hits == 0, 0.0, beta.ppf(tail, n_hits, n - n_hits + 1))
        high = np.where(n_hits == n, 1.0, beta.ppf(1 - tail, n_hits + 1, n - n_hits))
    return low, high
