"""The most similar items of an index, never the item itself nor an exact duplicate of it."""

import hashlib
from dataclasses import dataclass

import numpy as np

from m2v.detectors.fitting.inputs import HeadInputs

# Items compared with the index at once: with 8,500 of them, 35 MB of cosines.
BATCH = 1024


@dataclass(frozen=True, eq=False)
class Index:
    """Items that others are compared with.

    Attributes:
        embeddings: (items, dimensions), float32, of unit length.
        labels: (items,), bool.
        contents: (items,), uint64, equal where all features are.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    contents: np.ndarray


@dataclass(frozen=True, eq=False)
class Nearest:
    """The most similar items of an index, the nearest first.

    Attributes:
        places: Of them in the index, (items, k), int64; -1 where there are fewer.
        cosines: (items, k), float32; NaN where there are fewer.
    """

    places: np.ndarray
    cosines: np.ndarray


def contents(inputs: HeadInputs) -> np.ndarray:
    """Return a number for what each item is, (items,), uint64: equal where every vector of every modality is."""
    digests = [hashlib.blake2b(digest_size=8) for _ in range(inputs.n_items)]
    for modality in inputs.modalities.values():
        for place, digest in enumerate(digests):
            vectors = modality.vectors[modality.starts[place] : modality.starts[place + 1]]
            digest.update(len(vectors).to_bytes(4, "big") + vectors.tobytes())
    return np.array([int.from_bytes(digest.digest(), "big") for digest in digests], dtype=np.uint64)


def nearest(
    index: Index, embeddings: np.ndarray, own: np.ndarray, *, k: int, labels: np.ndarray | None = None
) -> Nearest:
    """Return the k items of the index with the highest cosine; whoever has equal contents is none of them.

    Args:
        embeddings: (items, dimensions), float32, of unit length.
        own: Contents of the items, (items,), uint64: what has the same is passed over.
        labels: Look only among items of this label, (items,), bool; None looks among all.
    """
    k = min(k, len(index.labels))
    places, cosines = np.full((len(own), k), -1), np.full((len(own), k), np.nan, np.float32)
    for start in range(0, len(own), BATCH):
        part = slice(start, start + BATCH)
        similar = embeddings[part] @ index.embeddings.T
        hidden = own[part, None] == index.contents
        if labels is not None:
            hidden |= labels[part, None] != index.labels
        similar[hidden] = -np.inf
        # The best k in any order first: sorting whole rows would take longer than the product.
        best = _best(similar, k)
        found = np.take_along_axis(similar, best, axis=1)
        order = np.lexsort((best, -found), axis=1)
        best, found = (np.take_along_axis(each, order, axis=1) for each in (best, found))
        there = np.isfinite(found)
        places[part] = np.where(there, best, -1)
        cosines[part] = np.where(there, found, np.nan)
    return Nearest(places, cosines)


def vote(index: Index, found: Nearest) -> np.ndarray:
    """Return the neighbours' vote as a probability, (items,), float64; 0.5 where an item has none.

    RGCL's: cosines, with the sign of the label and a weight of k for the nearest down to 1, over the weights' sum;
    that lies between -1 and 1 and is brought to 0-1.
    """
    there = found.places >= 0
    weights = there * np.arange(found.places.shape[1], 0, -1)
    signs = np.where(index.labels[found.places], 1.0, -1.0)
    total = (np.where(there, found.cosines, 0.0).astype(np.float64) * signs * weights).sum(axis=1)
    return (1 + total / np.maximum(weights.sum(axis=1), 1)) / 2


def _best(similar: np.ndarray, k: int) -> np.ndarray:
    """Return the places of each row's k largest, (items, k), in any order."""
    if k == 1:
        return similar.argmax(axis=1)[:, None]
    if k == similar.shape[1]:
        return np.tile(np.arange(k), (len(similar), 1))
    return np.argpartition(similar, -k, axis=1)[:, -k:]
