"""Each modality's tokens look at the others': DORA (BHM, ACL 2024), with what its released code leaves out.

There a picture is one vector copied fifty times, so that one of the two directions is a constant; padding is attended
to; and a sigmoid stands before the cross entropy. Here values are real tokens, padding is masked, logits are logits.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from m2v.detectors.fitting.batches import Batch, mean
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion


class CoAttention(nn.Module):
    """For each modality its own mean and the mean of what its tokens found in the others, then a hidden layer."""

    def __init__(self, entry: Fusion, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width = entry.width
        self.project = nn.ModuleList(nn.Linear(size, width) for size in sizes.values())
        self.types = nn.Parameter(torch.zeros(len(sizes), width))
        nn.init.normal_(self.types, std=0.02)
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(width, entry.n_attention_heads, dropout=entry.dropout, batch_first=True)
            for _ in sizes
        )
        self.classify = nn.Sequential(
            *(nn.Linear(2 * len(sizes) * width, 32), nn.ReLU(), nn.Dropout(entry.dropout), nn.Linear(32, 2))
        )

    def forward(self, batch: Batch) -> Seen:
        tokens = [
            project(vectors) + kind
            for project, vectors, kind in zip(self.project, batch.vectors, self.types, strict=True)
        ]
        parts = [mean(each, mask) for each, mask in zip(tokens, batch.masks, strict=True)]
        for number, attention in enumerate(self.attention):
            others = [other for other in range(len(tokens)) if other != number]
            if not others:
                parts.append(torch.zeros_like(parts[number]))
                continue
            looked_at = torch.cat([tokens[other] for other in others], dim=1)
            there = torch.cat([batch.masks[other] for other in others], dim=1)
            found = _attended(attention, tokens[number], looked_at, there)
            parts.append(mean(found, batch.masks[number]))
        return Seen(self.classify(torch.cat(parts, dim=1)))


def _attended(attention: nn.Module, asking: Tensor, looked_at: Tensor, there: Tensor) -> Tensor:
    """Return what each token finds, (items, tokens, width); zeros in an item with nothing to look at."""
    is_bare = ~there.any(dim=1)
    # Attention over nothing is not a number: such items look at the padding, and what they find is dropped.
    mask = ~there & ~is_bare[:, None]
    found, _ = attention(asking, looked_at, looked_at, key_padding_mask=mask, need_weights=False)
    return found.masked_fill(is_bare[:, None, None], 0.0)
