"""Texts as a text encoder learns them: its adapter and head."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from m2v.detectors.trainer import adapters, collate
from m2v.detectors.trainer.fit import fit
from m2v.detectors.trainer.trainer import arguments
from m2v.programs import progress

if TYPE_CHECKING:
    from m2v.detectors.text_lora.finetune import Task


def train(task: "Task", *, out: Path, report: progress.Report) -> None:
    """Train, select, and write the folder."""
    rows = pl.read_parquet(task.train, columns=["text", "label"])
    args = arguments(
        task.model, n_examples=rows.height, seed=task.seed, save_steps=task.save_steps, folder=out / "state"
    )
    held_out = pl.read_parquet(task.validation, columns=["text", "label"]) if task.validation else None
    facts = {
        "program": "m2v.detectors.text_lora.finetune",
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

    def __init__(self, task: "Task", *, rows: pl.DataFrame, held_out: pl.DataFrame | None) -> None:
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
