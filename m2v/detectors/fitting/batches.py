"""Items as tensors: vectors of each modality, padded to the longest item of a batch, and a mask of what is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from m2v.detectors.fitting.inputs import HeadInputs, Sequences


@dataclass(frozen=True, eq=False)
class Batch:
    """Items, one entry per modality in the order of ``HeadInputs.modalities``.

    Attributes:
        vectors: (items, longest, dimensions), float32; longest differs by modality, is at least 1, and is 1 of means.
        masks: (items, longest), bool: whether a vector is there; the others are zeros.
    """

    vectors: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    @property
    def present(self) -> Tensor:
        """Which item has which modality, (items, modalities), bool."""
        return torch.stack([mask.any(dim=1) for mask in self.masks], dim=1)

    def means(self) -> list[Tensor]:
        """Return each modality's mean vector, (items, dimensions); zeros where an item lacks it."""
        return [mean(vectors, mask) for vectors, mask in zip(self.vectors, self.masks, strict=True)]


def mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over what is there, (items, dimensions), of vectors (items, longest, dimensions)."""
    n_there = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return (vectors * mask[..., None]).sum(dim=1) / n_there


def collate(inputs: HeadInputs, places: np.ndarray, *, device: str = "cpu") -> Batch:
    """Return some of the items as a batch."""
    padded = [_padded(modality.of(places)) for modality in inputs.modalities.values()]
    return Batch(
        tuple(torch.from_numpy(vectors).to(device) for vectors, _ in padded),
        tuple(torch.from_numpy(mask).to(device) for _, mask in padded),
    )


def _padded(modality: Sequences) -> tuple[np.ndarray, np.ndarray]:
    counts = np.diff(modality.starts)
    longest = max(1, int(counts.max(initial=1)))
    mask = np.arange(longest) < counts[:, None]
    vectors = np.zeros((len(counts), longest, modality.vectors.shape[1]), np.float32)
    vectors[mask] = modality.vectors
    return vectors, mask


class Standardised(nn.Module):
    """Brings every dimension of a modality to mean 0 and deviation 1; what is not there stays zero."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        for number, size in enumerate(sizes):
            self.register_buffer(f"mean_{number}", torch.zeros(size))
            self.register_buffer(f"deviation_{number}", torch.ones(size))

    def learn(self, inputs: HeadInputs) -> None:
        """Take means and deviations, (dimensions,), over all vectors of the training items."""
        for number, modality in enumerate(inputs.modalities.values()):
            if not len(modality.vectors):
                continue
            seen = modality.vectors.astype(np.float64)
            deviation = seen.std(axis=0)
            self.get_buffer(f"mean_{number}").copy_(torch.from_numpy(seen.mean(axis=0)))
            # A dimension that never varies says nothing.
            self.get_buffer(f"deviation_{number}").copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))

    def forward(self, batch: Batch) -> Batch:
        """Return the batch with its vectors standardised."""
        vectors = tuple(
            (given - self.get_buffer(f"mean_{number}")) / self.get_buffer(f"deviation_{number}") * mask[..., None]
            for number, (given, mask) in enumerate(zip(batch.vectors, batch.masks, strict=True))
        )
        return Batch(vectors, batch.masks)
