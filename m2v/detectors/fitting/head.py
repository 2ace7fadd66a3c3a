"""What every head is: a module that takes a batch of standardised vectors and gives logits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m2v.detectors.fitting.batches import Batch, Standardised
from m2v.errors import PartialWeights
from m2v.files import whole


@dataclass(frozen=True, eq=False)
class Seen:
    """What a head makes of a batch.

    Attributes:
        logits: (items, classes), float32.
        shares: How much each modality weighed, (items, modalities), summing to 1; None of heads that do not say.
        embedding: (items, dimensions), of unit length, by which items are compared; None of heads that have none.
        penalty: A scalar beside the cross entropy, in training.
    """

    logits: Tensor
    shares: Tensor | None = None
    embedding: Tensor | None = None
    penalty: Tensor | None = None


class Classifier(nn.Module):
    """A head behind what standardises its inputs.

    Args:
        head: Takes a ``Batch`` and gives ``Seen``.
    """

    def __init__(self, standardised: Standardised, head: nn.Module) -> None:
        super().__init__()
        self.standardised, self.head = standardised, head

    def forward(self, batch: Batch) -> Seen:
        return self.head(self.standardised(batch))

    @property
    def n_trainable(self) -> int:
        """How many numbers are trained."""
        return sum(weights.numel() for weights in self.head.parameters() if weights.requires_grad)


def save(classifier: nn.Module, path: Path) -> None:
    """Write its weights as safetensors, whole or not at all."""
    from safetensors.torch import save as serialise

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    whole.write(path, serialise(weights))


def load(classifier: nn.Module, path: Path) -> None:
    """Read its weights.

    Raises:
        PartialWeights: The file does not hold exactly its weights.
    """
    from safetensors.torch import load as deserialise

    tensors: dict[str, Any] = deserialise(path.read_bytes())
    wanted = classifier.state_dict()
    odd = {name for name, tensor in tensors.items() if name in wanted and tensor.shape != wanted[name].shape}
    if tensors.keys() != wanted.keys() or odd:
        missing = (wanted.keys() - tensors.keys()) | odd
        raise PartialWeights(path, missing=missing, unused=tensors.keys() - wanted.keys())
    classifier.load_state_dict(tensors)


def device() -> str:
    """Return where heads work: an accelerator where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
