"""Random numbers of an item: equal for equal seeds and ids, whatever other items stand beside it."""

import hashlib
from random import Random

import numpy as np


def generator(seed: int, item_id: str, *more: str) -> np.random.Generator:
    """Return numpy's random numbers of an item.

    Args:
        more: What else tells draws of one item apart, for example the extractor.
    """
    return np.random.default_rng([seed, *_words("\0".join([item_id, *more]))])


def draw(seed: int, item_id: str, *more: str) -> Random:
    """Return Python's random numbers of an item, as changes of texts and pictures take them."""
    return Random("\0".join([str(seed), item_id, *more]))  # noqa: S311


def _words(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[start : start + 4], "big") for start in range(0, 16, 4)]
