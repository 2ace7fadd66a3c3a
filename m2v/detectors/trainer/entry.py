"""What the catalog says of every adapter that the trainer trains."""

from typing import ClassVar, Literal

from pydantic import Field

from m2v.detectors.family import Detector


class Adapted(Detector):
    """A pretrained model with a LoRA adapter, trained by DeepSpeed ZeRO.

    Attributes:
        batch_size: Examples per step, over all processes.
        micro_batch_size: As many of them at a time in each process; absent: all of its share.
        schedule: Of the learning rate, after the warm-up.
        zero_stage: 2 or 3.
        offload: Keep what ZeRO shards (optimiser states, with stage 3 parameters too) in the machine's memory.
        n_processes: Started by torchrun; they share the batch.
    """

    is_adapter: ClassVar[bool] = True

    rank: int = Field(default=8, gt=0)
    alpha: int = 16
    dropout: float = Field(default=0.05, ge=0, lt=1)
    epochs: int = Field(default=3, gt=0)
    batch_size: int = Field(default=32, gt=0)
    micro_batch_size: int | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    max_gradient_norm: float = 1.0
    weight_decay: float = 0.01
    zero_stage: Literal[2, 3] = 2
    offload: bool = False
    n_processes: int = Field(default=1, gt=0)

    @property
    def processes(self) -> int:
        """How many processes torchrun starts to train it."""
        return self.n_processes
