"""Every token, weighed by the other modalities, in a transformer: MemeFier (ICMR 2023) without faces and captions."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from m2v.detectors.fitting.batches import Batch, mean
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion


class Tokens(nn.Module):
    """Stage one (``aligns``): tokens of unit length times the others' mean. Stage two (``attends``): a transformer.

    Without stage two the tokens' mean is classified. The released code also trains a decoder of captions and reads
    attributes of faces; neither is here.
    """

    def __init__(self, entry: Fusion, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width, self.aligns, self.attends = entry.width, entry.aligns, entry.attends
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.Dropout(entry.dropout)) for size in sizes.values()
        )
        self.types = nn.Parameter(torch.zeros(len(sizes), width))
        nn.init.normal_(self.types, std=0.02)
        self.start = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.start, std=0.02)
        if entry.attends:
            layer = nn.TransformerEncoderLayer(
                *(width, entry.n_attention_heads, width), dropout=entry.dropout, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, entry.n_layers, enable_nested_tensor=False)
        self.classify = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, 2))

    def forward(self, batch: Batch) -> Seen:
        projected = [
            project(vectors) + kind
            for project, vectors, kind in zip(self.project, batch.vectors, self.types, strict=True)
        ]
        tokens = [nn.functional.normalize(each, dim=2) * each.shape[2] ** 0.5 for each in projected]
        if self.aligns:
            tokens = _aligned(tokens, batch)
        mask = torch.cat(batch.masks, dim=1)  # (items, tokens), bool
        if not self.attends:
            return Seen(self.classify(mean(torch.cat(tokens, dim=1), mask)))
        start = self.start.expand(len(mask), 1, -1)
        there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        encoded = self.encoder(torch.cat([start, *tokens], dim=1), src_key_padding_mask=~there)
        return Seen(self.classify(encoded[:, 0]))


def _aligned(tokens: list[Tensor], batch: Batch) -> list[Tensor]:
    """Return each modality's tokens times the mean of the others' means; unchanged where an item has no others."""
    means = torch.stack([mean(each, mask) for each, mask in zip(tokens, batch.masks, strict=True)], dim=1)
    present = batch.present.float()[..., None]  # (items, modalities, 1)
    aligned = []
    for number, each in enumerate(tokens):
        others = [other for other in range(len(tokens)) if other != number]
        n_others = present[:, others].sum(dim=1)
        total = (means[:, others] * present[:, others]).sum(dim=1) / n_others.clamp(min=1)
        factor = torch.where(n_others > 0, total, torch.ones_like(total))
        aligned.append(each * factor[:, None])
    return aligned
