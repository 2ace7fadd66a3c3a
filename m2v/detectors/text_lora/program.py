"""A text encoder's LoRA adapter and head, trained by the Hugging Face Trainer under DeepSpeed ZeRO.

After each epoch the validation split is scored; the epoch with the best AUROC is kept. The folder gets the adapter,
``history.parquet``, ``validation.parquet`` and a draft of a model card. A training that was killed goes on from its
last complete state below ``state/``, with the same losses.
"""

from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors.family import Task, Trained
from m2v.models import lean
from m2v.programs.progress import Report


def train(task: Task, *, out: Path, report: Report) -> Trained | None:
    """Train on texts, in as many processes as were started."""
    with lean.imports():
        from m2v.detectors.text_lora import texts
        from m2v.detectors.trainer import processes
    with processes.joined(out):
        return texts.train(task, out=out, report=report)


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the probabilities that a trained adapter gives to texts."""
    with lean.imports():
        from m2v.detectors.text_lora import scoring
    return scoring.probabilities(task, checkpoint, texts=items["text"].to_list(), report=report)
