"""A family of noise on vectors: numbers moved at random, or set to their mean."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Spread:
    """How a modality's vectors are spread over the items of the split.

    Attributes:
        mean, deviation: (dimensions,), float64.
    """

    mean: np.ndarray
    deviation: np.ndarray


def spread(vectors: np.ndarray) -> Spread:
    """Return mean and deviation of each dimension of vectors (vectors, dimensions)."""
    seen = vectors.astype(np.float64)
    return Spread(seen.mean(axis=0), seen.std(axis=0))


def noise(vectors: np.ndarray, *, strength: float, around: Spread, numbers: np.random.Generator) -> np.ndarray:
    """Return an item's vectors (vectors, dimensions), float32, with Gaussian noise.

    Args:
        strength: Its deviation, in deviations of each dimension.
    """
    moved = vectors + strength * around.deviation * numbers.standard_normal(vectors.shape)
    return moved.astype(np.float32)


def drop(vectors: np.ndarray, *, strength: float, around: Spread, numbers: np.random.Generator) -> np.ndarray:
    """Return an item's vectors (vectors, dimensions), float32, some dimensions of which say nothing any more.

    Args:
        strength: The share of dimensions that are set to their mean, the same ones in all vectors of the item.
    """
    is_dropped = numbers.random(vectors.shape[1]) < strength
    return np.where(is_dropped, around.mean, vectors).astype(np.float32)
