"""The module: modalities in one space, an embedding, and a logit of it."""

from collections.abc import Mapping

import torch
from torch import nn

from m2v.detectors.fitting.batches import Batch
from m2v.detectors.fitting.head import Seen
from m2v.detectors.retrieval.entry import Retrieval


class Embedding(nn.Module):
    """Projections of unit length, fused, then layers; the embedding is the last one's output before its ReLU."""

    def __init__(self, entry: Retrieval, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width, self.width, self.fusion = entry.width, entry.width, entry.fusion
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.Dropout(0.2)) for size in sizes.values()
        )
        n_fused = width if entry.fusion == "product" else width * len(sizes)
        self.fused = nn.Dropout(0.4)
        before = [
            layer
            for number in range(entry.n_layers - 1)
            for layer in (nn.Linear(n_fused if number == 0 else width, width), nn.ReLU(), nn.Dropout(0.1))
        ]
        self.layers = nn.Sequential(*before, nn.Linear(width if before else n_fused, width))
        self.classify = nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))

    def forward(self, batch: Batch) -> Seen:
        projected = [
            # Of unit length, then scaled so that its numbers are about 1, whatever the width.
            nn.functional.normalize(projection(mean), dim=1) * self.width**0.5
            for projection, mean in zip(self.projections, batch.means(), strict=True)
        ]
        present = batch.present
        if self.fusion == "product":
            fused = torch.ones_like(projected[0])
            for number, vectors in enumerate(projected):
                # What is not there changes nothing in a product.
                fused = fused * torch.where(present[:, number, None], vectors, 1.0)
        else:
            there = [vectors * present[:, number, None] for number, vectors in enumerate(projected)]
            fused = torch.cat(there, dim=1)
        embedding = self.layers(self.fused(fused))
        return Seen(self.classify(embedding), embedding=nn.functional.normalize(embedding, dim=1))
