"""Program: a text encoder's LoRA adapter and head, trained by the Hugging Face Trainer under DeepSpeed ZeRO.

The spec says ``model`` and ``base`` (catalog entries), ``train`` (parquet with ``text`` and ``label``), ``validation``
(the same, or null: then nothing is selected), ``seed``, ``content`` (copied into the manifest) and optionally
``save_steps``. Started plainly, or by torchrun with as many processes as the entry says.

After each epoch the validation split is scored; the epoch with the best AUROC is kept. The folder gets the adapter,
``history.parquet``, ``validation.parquet``, a draft of a model card and, last, ``manifest.json``. A run that was killed
goes on from its last complete state below ``state/``, with the same losses.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from pydantic import BaseModel, ConfigDict

from m2v import programfiles, progress
from m2v.catalog.entries import Encoder, Lora
from m2v.training import adapters, collate, processes
from m2v.training.fit import fit
from m2v.training.trainer import arguments


class Task(BaseModel):
    """The spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Lora
    base: Encoder
    train: Path
    validation: Path | None
    seed: int
    content: dict[str, Any]
    save_steps: int = 50


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if not programfiles.complete(out):
        with processes.joined(out), progress.reporting() as report:
            train(Task.model_validate(spec), out=out, report=report)


def train(task: Task, *, out: Path, report: progress.Report) -> None:
    """Train, select, and write the folder."""
    rows = pl.read_parquet(task.train, columns=["text", "label"])
    args = arguments(
        task.model, n_examples=rows.height, seed=task.seed, save_steps=task.save_steps, folder=out / "state"
    )
    held_out = pl.read_parquet(task.validation, columns=["text", "label"]) if task.validation else None
    facts = {
        "program": "m2v.training.finetune",
        "base": task.base.model_dump(mode="json"),
        "seed": task.seed,
        "n_train": rows.height,
        "content": task.content,
    }
    learner = Texts(task, rows=rows, held_out=held_out)
    fit(task.model, learner, args=args, out=out, report=report, facts=facts)


class Texts:
    """A learner of texts.

    Args:
        rows, held_out: Columns ``text`` and ``label``.
    """

    is_bfloat16 = False

    def __init__(self, task: Task, *, rows: pl.DataFrame, held_out: pl.DataFrame | None) -> None:
        self.entry = task.model
        tokenizer = collate.tokenizer(task.base)
        self.pad_token_id = int(tokenizer.pad_token_id or 0)  # pyright: ignore[reportArgumentType]
        self.collate = collate.Collate(self.pad_token_id)

        def tokens(texts: pl.Series) -> list[list[int]]:
            return collate.tokenise(texts.to_list(), tokenizer=tokenizer, max_tokens=task.base.max_tokens)

        self.examples = collate.Examples(tokens(rows["text"]), rows["label"].to_numpy())
        self.order = collate.Order(self.examples.lengths, batch_size=task.model.batch_size, seed=task.seed)
        self.held_out = tokens(held_out["text"]) if held_out is not None else []
        self.labels = held_out["label"].to_numpy() if held_out is not None else None
        n_positive = int(rows["label"].sum())
        balance = (rows.height - n_positive) / max(n_positive, 1)
        self.model = adapters.fresh(task.model, task.base, positive_weight=balance, seed=task.seed)

    def groups(self) -> list[dict[str, Any]]:
        """Adapter and head."""
        return adapters.parameter_groups(self.model, self.entry)

    def loss(self, engine: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross entropy, the classes balanced."""
        return engine(**batch)["loss"]

    def probabilities(self, engine: torch.nn.Module) -> np.ndarray:
        """Of the validation split."""
        return collate.probabilities(engine, self.held_out, pad_token_id=self.pad_token_id).numpy()


if __name__ == "__main__":
    main()
