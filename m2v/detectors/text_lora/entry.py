"""What the catalog says of a text encoder with an adapter."""

from typing import Literal

from m2v.detectors.trainer.entry import Adapted
from m2v.entries.base import Name


class Lora(Adapted):
    """A text encoder with a LoRA adapter and a linear head.

    Attributes:
        targets: Regular expression over module names that get an adapter.
    """

    kind: Literal["lora"]
    encoder: Name
    targets: str
    head_learning_rate: float = 1e-3

    @property
    def base_named(self) -> tuple[str, str]:
        """Its encoder."""
        return "encoder", self.encoder
