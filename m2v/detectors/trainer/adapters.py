"""An adapter's files: safetensors and a config, as peft writes them."""

from pathlib import Path

import torch
from peft import PeftModel

ADAPTER = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def save(model: PeftModel, folder: Path, *, state: dict[str, torch.Tensor] | None = None) -> None:
    """Write what was trained, the adapter and a head where it has one, and nothing else.

    Args:
        state: The trainable parameters gathered from all processes, where they are sharded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Left to itself peft asks the Hub whether the base's vocabulary grew.
    model.save_pretrained(str(folder), safe_serialization=True, state_dict=state, save_embedding_layers=False)
