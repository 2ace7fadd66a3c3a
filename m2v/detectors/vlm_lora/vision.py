"""What a frozen vision tower makes of pictures: computed in the first epoch, kept for the others."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

PIXELS = ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")


class VisionCache:
    """Mllama's states of pictures, in the machine's memory: up to half of what is free, shared by its processes.

    Its vision tower does more work for a picture than the rest of it does for a short conversation. Each picture is
    computed alone, so that a resumed training, which meets others first, has the same losses.

    Args:
        model: The model itself. Its vision tower must not be trained, nor be sharded: processes of ZeRO-3 have to
            compute every module together.
        budget: Bytes, instead of that half.
    """

    def __init__(self, model: Any, *, budget: int | None = None) -> None:
        self.tower, self.projector = model.model.vision_model, model.model.multi_modal_projector
        n_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.left = free_bytes() // 2 // n_processes if budget is None else budget
        self.known: dict[int, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: dict[str, torch.Tensor], pictures: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return a batch with its pictures' states, (tiles, patches, dimensions) of each, in the place of their pixels.

        Args:
            pictures: Which picture each row has, as a number of the caller's.
        """
        rows = [{name: batch[name][row : row + 1] for name in PIXELS} for row in range(len(pictures))]
        states = [self._states(picture, pixels) for picture, pixels in zip(pictures, rows, strict=True)]
        rest = {name: values for name, values in batch.items() if name not in PIXELS}
        return {**rest, "cross_attention_states": torch.cat(states)}

    def _states(self, picture: int, pixels: dict[str, torch.Tensor]) -> torch.Tensor:
        if picture in self.known:
            return self.known[picture].to(pixels["pixel_values"].device)
        seen = self.tower(**pixels).last_hidden_state
        states = self.projector(seen)
        states = states.reshape(-1, seen.shape[-2], states.shape[-1])
        if states.nbytes <= self.left:
            self.known[picture] = states.cpu()
            self.left -= states.nbytes
        return states


def free_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that may still be taken: the machine's, or its container's where that has less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = ((cgroup / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current"))
    except OSError:
        # No container, or one of the first kind of cgroups, which few machines have any more.
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - int(used)))
