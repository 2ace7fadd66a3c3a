"""Texts as a text encoder learns them: its adapter and head."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from m2v.detectors.family import Task, Trained
from m2v.detectors.text_lora import classifier
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.trainer import collate
from m2v.detectors.trainer.fit import fit
from m2v.detectors.trainer.trainer import arguments
from m2v.entries.pretrained import Encoder
from m2v.programs.progress import Report


def train(task: Task, *, out: Path, report: Report) -> Trained | None:
    """Train, select, and fill the folder."""
    assert isinstance(task.model, Lora)
    assert task.train
    rows = pl.read_parquet(task.train, columns=["text", "label"])
    args = arguments(
        task.model, n_examples=rows.height, seed=task.seed, save_steps=task.save_steps, folder=out / "state"
    )
    held_out = pl.read_parquet(task.validation, columns=["text", "label"]) if task.validation else None
    learner = Texts(task, rows=rows, held_out=held_out)
    return fit(task, task.model, learner, args=args, out=out, report=report, facts={"n_train": rows.height})


class Texts:
    """A learner of texts.

    Args:
        rows, held_out: Columns ``text`` and ``label``.
    """

    is_bfloat16 = False

    def __init__(self, task: Task, *, rows: pl.DataFrame, held_out: pl.DataFrame | None) -> None:
        entry, encoder = task.model, task.base
        assert isinstance(entry, Lora)
        assert isinstance(encoder, Encoder)
        self.entry = entry
        tokenizer = collate.tokenizer(encoder)
        self.pad_token_id = int(tokenizer.pad_token_id or 0)  # pyright: ignore[reportArgumentType]
        self.collate = collate.Collate(self.pad_token_id)

        def tokens(texts: pl.Series) -> list[list[int]]:
            return collate.tokenise(texts.to_list(), tokenizer=tokenizer, max_tokens=encoder.max_tokens)

        self.examples = collate.Examples(tokens(rows["text"]), rows["label"].to_numpy())
        self.order = collate.Order(self.examples.lengths, batch_size=entry.batch_size, seed=task.seed)
        self.held_out = tokens(held_out["text"]) if held_out is not None else []
        self.labels = held_out["label"].to_numpy() if held_out is not None else None
        n_positive = int(rows["label"].sum())
        balance = (rows.height - n_positive) / max(n_positive, 1)
        self.model = classifier.fresh(entry, encoder, positive_weight=balance, seed=task.seed)

    def groups(self) -> list[dict[str, Any]]:
        """Adapter and head."""
        return classifier.parameter_groups(self.model, self.entry)

    def loss(self, engine: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross entropy, the classes balanced."""
        return engine(**batch)["loss"]

    def probabilities(self, engine: torch.nn.Module) -> np.ndarray:
        """Of the validation split."""
        return collate.probabilities(engine, self.held_out, pad_token_id=self.pad_token_id).numpy()
