"""A training from its first step, or from where a killed one stopped, to the folder that holds its best epoch."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import TrainingArguments

from m2v.detectors.family import Task, Trained
from m2v.detectors.trainer import adapters, card, processes, states
from m2v.detectors.trainer.entry import Adapted
from m2v.detectors.trainer.trainer import Learner, LoraTrainer
from m2v.files import whole
from m2v.programs import progress

HISTORY = dict.fromkeys(("epoch", "loss", "learning_rate", "samples_per_s"), pl.Float64)
FILES = [adapters.ADAPTER, adapters.CONFIG, "history.parquet", "validation.parquet", card.NAME]


def fit(
    task: Task,
    entry: Adapted,
    learner: Learner,
    *,
    args: TrainingArguments,
    out: Path,
    report: progress.Report,
    keeps_last: bool = False,
    facts: Mapping[str, Any],
) -> Trained | None:
    """Train, select, and fill the folder: the adapter, ``history.parquet``, ``validation.parquet``, a draft of the
    model card. States to go on from are kept below ``state/`` meanwhile.

    Args:
        facts: For the manifest.

    Returns:
        None in every process but the first.
    """
    began = time.monotonic()
    trainer = LoraTrainer(entry, learner, args=args, best=out / "best", keeps_last=keeps_last, report=report)
    state = states.newest(out / "state", n_processes=processes.size())
    torch.distributed.barrier()
    if processes.is_first():
        states.discard(out / "state", but=state)
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if not processes.is_first():
        return None
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    known = {"n_processes": processes.size(), "zero_stage": entry.zero_stage, "gpu_bytes": memory, **facts}
    return _filled(task, out, log=trainer.state.log_history, facts=known, seconds=time.monotonic() - began)


def _filled(task: Task, out: Path, *, log: list[dict[str, Any]], facts: dict[str, Any], seconds: float) -> Trained:
    best = json.loads((out / "best" / states.BEST).read_text(encoding="utf-8"))
    for name in (adapters.ADAPTER, adapters.CONFIG):
        shutil.copyfile(out / "best" / name, out / name)
    steps = pl.DataFrame([row for row in log if "loss" in row], schema={"step": pl.UInt32, **HISTORY})
    steps.write_parquet(out / "history.parquet")
    probabilities = pl.DataFrame({"probability": best["probabilities"]}, schema={"probability": pl.Float64})
    probabilities.write_parquet(out / "validation.parquet")
    packages = ["torch", "transformers", "peft", "deepspeed"]
    threshold, selection = best["threshold"], best["selection"]
    text = card.draft(task, facts, threshold=threshold, selection=selection, seconds=seconds, packages=packages)
    whole.write(out / card.NAME, text.encode())
    # Gone before the manifest is written, so that a finished folder never holds a state.
    return Trained(FILES, packages, threshold, selection, facts, scratch=("state", "best"))
