"""What a training keeps while it runs: states to go on from after a kill, and the best epoch so far.

States hold pickles of torch and DeepSpeed. They are written and read on this machine only, and removed at the end.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel

from m2v.detectors import selection
from m2v.detectors.trainer import adapters
from m2v.files.whole import write

# Written into a state last of all; says how many processes it belongs to.
COMPLETE = "complete"
BEST = "best.json"


def mark_complete(state: Path, *, n_processes: int) -> None:
    """Say that every process has written its part."""
    write(state / COMPLETE, str(n_processes).encode())


def newest(folder: Path, *, n_processes: int) -> Path | None:
    """Return the last state that as many processes wrote whole: DeepSpeed cannot share another number's shards."""
    states = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    return next((state for state in states if _belongs(state, n_processes)), None)


def discard(folder: Path, *, but: Path | None) -> None:
    """Remove every state but one: what a killed training did not finish writing, and what is not needed any more."""
    for state in folder.glob("checkpoint-*"):
        if state != but:
            shutil.rmtree(state)


def _step(state: Path) -> int:
    return int(state.name.rpartition("-")[2])


def _belongs(state: Path, n_processes: int) -> bool:
    path = state / COMPLETE
    return path.is_file() and path.read_text(encoding="utf-8") == str(n_processes)


def keep_best(
    folder: Path,
    *,
    epoch: int,
    model: PeftModel,
    trained: dict[str, torch.Tensor],
    labels: np.ndarray | None,
    probabilities: np.ndarray | None,
    keeps_last: bool = False,
) -> None:
    """Keep this epoch's adapter if its validation AUROC is the highest so far; without a split, keep the last epoch's.

    Args:
        trained: The trainable parameters, whole.
        labels, probabilities: Of the validation split, (videos,).
        keeps_last: Keep the last epoch's, and 0.5 as the threshold, all the same.
    """
    path = folder / BEST
    chosen = {"selection": {"epoch": epoch}, "threshold": 0.5, "probabilities": []}
    if labels is not None and probabilities is not None:
        score = selection.auroc(labels, probabilities)
        before = json.loads(path.read_text(encoding="utf-8"))["selection"] if path.is_file() else {"epoch": epoch}
        # An epoch that was scored before a kill is scored again, with the same outcome.
        is_worse = before["epoch"] < epoch and (before["validation_auroc"] or 0) >= (score or 0)
        if is_worse and not keeps_last:
            return
        chosen = {
            "selection": {"epoch": epoch, "validation_auroc": score},
            "threshold": 0.5 if keeps_last else selection.threshold(labels, probabilities),
            "probabilities": probabilities.tolist(),
        }
    adapters.save(model, folder, state=trained)
    write(path, json.dumps(chosen).encode())
