"""An expert for each modality, and a router: the gated mixture of MoRE (WWW 2025), without its memory bank."""

from collections.abc import Mapping

import torch
from torch import nn

from m2v.detectors.fitting.batches import Batch
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion


class Mixture(nn.Module):
    """Experts' logits, weighed by a softmax that is read off all of them; what an item lacks has no share."""

    def __init__(self, entry: Fusion, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width = entry.width
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Dropout(entry.dropout)) for size in sizes.values()
        )
        self.logits = nn.ModuleList(nn.Linear(width, 2) for _ in sizes)
        n_inputs = len(sizes) * (width + 1)
        self.router = nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, len(sizes)))

    def forward(self, batch: Batch) -> Seen:
        present = batch.present
        hidden = [expert(mean) for expert, mean in zip(self.experts, batch.means(), strict=True)]
        weighed = self.router(torch.cat([*hidden, present.float()], dim=1))
        # Of an item without any modality every expert is asked alike.
        known = present | ~present.any(dim=1, keepdim=True)
        shares = weighed.masked_fill(~known, -torch.inf).softmax(dim=1)
        said = torch.stack([logits(each) for logits, each in zip(self.logits, hidden, strict=True)], dim=1)
        return Seen((shares[..., None] * said).sum(dim=1), shares=shares)
