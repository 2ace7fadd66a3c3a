"""Program: a LoRA adapter and a head, trained by the Hugging Face Trainer under DeepSpeed ZeRO.

The spec says ``model`` and ``encoder`` (catalog entries), ``train`` (parquet with ``text`` and ``label``),
``validation`` (the same, or null: then nothing is selected), ``seed``, ``content`` (copied into the manifest) and
optionally ``save_steps``. Started plainly, or by torchrun with as many processes as the entry says.

After each epoch the validation split is scored; the epoch with the best AUROC is kept. The folder gets the adapter,
``history.parquet``, ``validation.parquet`` and, last, ``manifest.json``. A run that was killed goes on from its last
complete state below ``state/``, with the same losses.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import BaseModel, ConfigDict

from m2v import programfiles, progress
from m2v.catalog.entries import Encoder, Lora
from m2v.training import adapters, collate, processes, states
from m2v.training.trainer import LoraTrainer, arguments

FILES = [adapters.ADAPTER, adapters.CONFIG, "history.parquet", "validation.parquet"]
HISTORY = dict.fromkeys(("epoch", "loss", "learning_rate", "samples_per_s"), pl.Float64)


class Task(BaseModel):
    """The spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Lora
    encoder: Encoder
    train: Path
    validation: Path | None
    seed: int
    content: dict[str, Any]
    save_steps: int = 50


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if not programfiles.complete(out):
        processes.join()
        with progress.reporting() as report:
            train(Task.model_validate(spec), out=out, report=report)
        torch.distributed.destroy_process_group()


def train(task: Task, *, out: Path, report: progress.Report) -> None:
    """Train, select, and write the folder."""
    began = time.monotonic()
    tokenizer = collate.tokenizer(task.encoder)
    examples = _read(task.train, encoder=task.encoder, tokenizer=tokenizer)
    trainer_arguments = arguments(
        task.model, n_examples=len(examples), seed=task.seed, save_steps=task.save_steps, folder=out / "state"
    )
    n_positive = int(examples.labels.sum())
    balance = (len(examples) - n_positive) / max(n_positive, 1)
    trainer = LoraTrainer(
        task.model,
        model=adapters.fresh(task.model, task.encoder, positive_weight=balance, seed=task.seed),
        args=trainer_arguments,
        train=examples,
        held_out=_read(task.validation, encoder=task.encoder, tokenizer=tokenizer) if task.validation else None,
        best=out / "best",
        report=report,
        pad_token_id=tokenizer.pad_token_id,  # pyright: ignore[reportArgumentType]
    )
    state = states.newest(out / "state", n_processes=processes.size())
    torch.distributed.barrier()
    if processes.is_first():
        states.discard(out / "state", but=state)
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if processes.is_first():
        _finish(task, out, log=trainer.state.log_history, n_train=len(examples), seconds=time.monotonic() - began)


def _read(path: Path, *, encoder: Encoder, tokenizer: Any) -> collate.Examples:
    rows = pl.read_parquet(path, columns=["text", "label"])
    tokens = collate.tokenise(rows["text"].to_list(), tokenizer=tokenizer, max_tokens=encoder.max_tokens)
    return collate.Examples(tokens, rows["label"].to_numpy())


def _finish(task: Task, out: Path, *, log: list[dict[str, Any]], n_train: int, seconds: float) -> None:
    best = json.loads((out / "best" / states.BEST).read_text(encoding="utf-8"))
    for name in (adapters.ADAPTER, adapters.CONFIG):
        shutil.copyfile(out / "best" / name, out / name)
    steps = pl.DataFrame([row for row in log if "loss" in row], schema={"step": pl.UInt32, **HISTORY})
    steps.write_parquet(out / "history.parquet")
    probabilities = pl.DataFrame({"probability": best["probabilities"]}, schema={"probability": pl.Float64})
    probabilities.write_parquet(out / "validation.parquet")
    # Before the manifest, so that a finished folder never holds a state.
    shutil.rmtree(out / "state", ignore_errors=True)
    shutil.rmtree(out / "best", ignore_errors=True)
    programfiles.finish(
        out,
        files=FILES,
        packages=["torch", "transformers", "peft", "deepspeed"],
        program="m2v.training.finetune",
        model=task.model.model_dump(mode="json"),
        encoder=task.encoder.model_dump(mode="json"),
        seed=task.seed,
        n_processes=processes.size(),
        zero_stage=task.model.zero_stage,
        threshold=best["threshold"],
        selection=best["selection"],
        n_train=n_train,
        seconds=seconds,
        content=task.content,
    )


if __name__ == "__main__":
    main()
