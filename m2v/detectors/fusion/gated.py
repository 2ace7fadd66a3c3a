"""Two modalities and how much of either: GatedCLIP (arXiv 2602.20818, equations 3 to 6)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from m2v.detectors.fitting.batches import Batch
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion
from m2v.errors import InvalidRows


class Gated(nn.Module):
    """Each modality through two layers, then their mixture by a scalar that is read off both.

    The paper's loss adds the mean of 1 - cosine between the two (it aligns them; without negatives it is not
    contrastive). An item that lacks one modality is the other's alone.

    Raises:
        InvalidRows: There are not two modalities.
    """

    def __init__(self, entry: Fusion, sizes: Mapping[str, int]) -> None:
        super().__init__()
        if len(sizes) != 2:
            raise InvalidRows(
                f"{entry.name}: head gated weighs two modalities against each other, and its features are "
                f"{', '.join(sizes)}. Name two of them, or take head mixture, which weighs any number."
            )
        width, self.alignment = entry.width, entry.alignment
        self.towers = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(size, 2 * width), nn.ReLU(), nn.Dropout(entry.dropout)),
                *(nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(entry.dropout)),
            )
            for size in sizes.values()
        )
        self.gate = nn.Sequential(nn.Linear(2 * width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
        self.classify = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width // 2, 2)
        )

    def forward(self, batch: Batch) -> Seen:
        first, second = (tower(mean) for tower, mean in zip(self.towers, batch.means(), strict=True))
        present = batch.present
        both = present.all(dim=1)
        gate = torch.sigmoid(self.gate(torch.cat([first, second], dim=1)))[:, 0]
        gate = torch.where(both, gate, torch.where(present.any(dim=1), present[:, 0].float(), 0.5))
        mixed = gate[:, None] * first + (1 - gate[:, None]) * second
        return Seen(
            self.classify(mixed),
            shares=torch.stack([gate, 1 - gate], dim=1),
            penalty=self.alignment * _distance(first, second, both),
        )


def _distance(first: Tensor, second: Tensor, both: Tensor) -> Tensor:
    """Return the mean of 1 - cosine over items that have both, a scalar."""
    distances = 1 - nn.functional.cosine_similarity(first, second, dim=1)
    return (distances * both).sum() / both.sum().clamp(min=1)
