"""What modalities have in common, against the classes' directions: MemeCLIP (EMNLP 2024)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from m2v.detectors.fitting.batches import Batch
from m2v.detectors.fitting.head import Seen
from m2v.detectors.fusion.entry import Fusion


class Projection(nn.Module):
    """A modality in the common space: a linear layer, then an adapter that adds its share (0.2 there)."""

    def __init__(self, size: int, width: int, *, share: float, dropout: float) -> None:
        super().__init__()
        self.share = share
        self.linear = nn.Sequential(nn.Linear(size, width), nn.Dropout(dropout))
        narrow = max(1, width // 4)
        self.adapter = nn.Sequential(
            nn.Linear(width, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, width, bias=False), nn.ReLU()
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Return unit vectors, (items, width), of (items, dimensions)."""
        projected = self.linear(vectors)
        adapted = self.share * self.adapter(projected) + (1 - self.share) * projected
        return nn.functional.normalize(adapted, dim=1)


class Product(nn.Module):
    """The product of the modalities that an item has, a hidden layer, and cosines with the two classes, scaled.

    Args:
        definitions: Standardised vectors of the negative and the positive definition, (2, dimensions), by modality:
            where one of the modalities is read from texts, classes start at its projections of them.
    """

    def __init__(self, entry: Fusion, sizes: Mapping[str, int], definitions: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.scale, self.width = entry.cosine_scale, entry.width
        self.projections = nn.ModuleList(
            Projection(size, entry.width, share=entry.adapter_share, dropout=entry.dropout) for size in sizes.values()
        )
        self.hidden = nn.Sequential(nn.Dropout(0.4), nn.Linear(entry.width, entry.width), nn.ReLU(), nn.Dropout(0.2))
        self.classes = nn.Parameter(torch.empty(2, entry.width))
        nn.init.xavier_uniform_(self.classes)
        for number, name in enumerate(sizes):
            if entry.starts_from_texts and name in definitions:
                self._start_from(torch.from_numpy(definitions[name]).float(), number)

    def _start_from(self, definitions: Tensor, number: int) -> None:
        projection = self.projections[number].eval()
        with torch.no_grad():
            self.classes.copy_(projection(definitions))
        projection.train()

    def forward(self, batch: Batch) -> Seen:
        projected = [projection(mean) for projection, mean in zip(self.projections, batch.means(), strict=True)]
        common = torch.ones_like(projected[0])
        for number, vectors in enumerate(projected):
            # What is not there changes nothing in a product.
            common = common * torch.where(batch.present[:, number, None], vectors * self.width**0.5, 1.0)
        hidden = nn.functional.normalize(self.hidden(common), dim=1)
        return Seen(self.scale * hidden @ nn.functional.normalize(self.classes, dim=1).T)
