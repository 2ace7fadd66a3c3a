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

from m2v.detectors.trainer import adapters, card, processes, states
from m2v.detectors.trainer.entry import Adapted
from m2v.detectors.trainer.trainer import Learner, LoraTrainer
from m2v.files import whole
from m2v.programs import contract, progress

HISTORY = dict.fromkeys(("epoch", "loss", "learning_rate", "samples_per_s"), pl.Float64)
FILES = [adapters.ADAPTER, adapters.CONFIG, "history.parquet", "validation.parquet", card.NAME]


def fit(
    entry: Adapted,
    learner: Learner,
    *,
    args: TrainingArguments,
    out: Path,
    report: progress.Report,
    keeps_last: bool = False,
    facts: Mapping[str, Any],
) -> None:
    """Train, select, and write the folder: the adapter, ``history.parquet``, ``validation.parquet``, a draft of the
    model card, and last the manifest. States to go on from are kept below ``state/`` meanwhile.

    Args:
        facts: For the manifest.
    """
    began = time.monotonic()
    trainer = LoraTrainer(entry, learner, args=args, best=out / "best", keeps_last=keeps_last, report=report)
    state = states.newest(out / "state", n_processes=processes.size())
    torch.distributed.barrier()
    if processes.is_first():
        states.discard(out / "state", but=state)
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if processes.is_first():
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        seconds = time.monotonic() - began
        _finish(entry, out, log=trainer.state.log_history, facts={**facts, "seconds": seconds, "gpu_bytes": memory})


def _finish(entry: Adapted, out: Path, *, log: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    best = json.loads((out / "best" / states.BEST).read_text(encoding="utf-8"))
    for name in (adapters.ADAPTER, adapters.CONFIG):
        shutil.copyfile(out / "best" / name, out / name)
    steps = pl.DataFrame([row for row in log if "loss" in row], schema={"step": pl.UInt32, **HISTORY})
    steps.write_parquet(out / "history.parquet")
    probabilities = pl.DataFrame({"probability": best["probabilities"]}, schema={"probability": pl.Float64})
    probabilities.write_parquet(out / "validation.parquet")
    facts = {
        **facts,
        "model": entry.model_dump(mode="json"),
        "n_processes": processes.size(),
        "zero_stage": entry.zero_stage,
        "threshold": best["threshold"],
        "selection": best["selection"],
    }
    packages = ["torch", "transformers", "peft", "deepspeed"]
    whole.write(out / card.NAME, card.draft(facts, packages=packages).encode())
    # Before the manifest, so that a finished folder never holds a state.
    shutil.rmtree(out / "state", ignore_errors=True)
    shutil.rmtree(out / "best", ignore_errors=True)
    contract.finish(out, files=FILES, packages=packages, **facts)
