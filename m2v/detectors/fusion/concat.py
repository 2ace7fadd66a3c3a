"""Features side by side, one hidden layer: EE-559's and HateMM's fusion, for any number of modalities."""

from collections.abc import Mapping

import torch
from torch import nn

from m2v.detectors.fitting.batches import Batch
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion


class Concat(nn.Module):
    """Means of modalities and which of them are there, a hidden layer, two logits; without a layer it is linear.

    Of an item that lacks a modality the head is told so, by an input of its own, and the modality's own inputs are at
    their means: nothing is taken for a feature that is none.
    """

    def __init__(self, entry: Fusion, sizes: Mapping[str, int]) -> None:
        super().__init__()
        n_inputs = sum(sizes.values()) + len(sizes)
        hidden = [nn.Linear(n_inputs, entry.width), nn.ReLU(), nn.Dropout(entry.dropout)] if entry.width else []
        self.layers = nn.Sequential(*hidden, nn.Linear(entry.width or n_inputs, 2))

    def forward(self, batch: Batch) -> Seen:
        return Seen(self.layers(torch.cat([*batch.means(), batch.present.float()], dim=1)))
