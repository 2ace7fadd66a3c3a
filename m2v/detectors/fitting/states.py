"""A training's state after an epoch: what a killed training goes on from, to the same bits."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from m2v.files import whole

FOLDER, FILE = "state", "state.safetensors"


@dataclass(frozen=True)
class Standing:
    """How far a training is.

    Attributes:
        epoch: The last that was done; 0 before the first.
        n_steps: Of the optimiser.
        best_epoch: The one whose weights are kept; 0 of none.
        best_score: On the validation split.
        seconds: In training so far, over all starts.
    """

    epoch: int = 0
    n_steps: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    seconds: float = 0.0


def save(
    out: Path,
    standing: Standing,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
) -> None:
    """Write all that decides the next epoch; random numbers are drawn anew from seed and epoch."""
    from safetensors.torch import save as serialise

    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    whole.write(out / FOLDER / FILE, serialise(copies, metadata={"standing": json.dumps(asdict(standing))}))


def restore(
    out: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Standing, dict[str, Tensor]] | None:
    """Bring model and optimiser to where a killed training was; return how far that is, and its best weights."""
    from safetensors import safe_open

    path = out / FOLDER / FILE
    if not path.is_file():
        return None
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    with safe_open(path, framework="pt") as file:
        standing = Standing(**json.loads(file.metadata()["standing"]))
        for key in file.keys():  # noqa: SIM118 (it is no mapping)
            part, _, name = key.partition(".")
            parts[part][name] = file.get_tensor(key)
    model.load_state_dict(parts["model"])
    state = optimizer.state_dict()
    for key, tensor in parts["optimizer"].items():
        number, _, name = key.partition(".")
        state["state"].setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict(state)
    return standing, parts["best"]
