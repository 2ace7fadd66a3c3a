"""A head on features of several modalities is trained, scores, and says which of them weighed how much."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from m2v.detectors.family import Task, Trained
from m2v.detectors.fitting import inputs, training
from m2v.detectors.fitting.batches import Batch, Standardised
from m2v.detectors.fitting.loop import Scored
from m2v.detectors.fusion import heads
from m2v.detectors.fusion.entry import Fusion
from m2v.programs.progress import Report


def train(task: Task, *, out: Path, report: Report) -> Trained:
    """Train the head on every item that has a feature, those too that lack modalities."""
    assert isinstance(task.model, Fusion)
    given = training.prepared(task)
    known = inputs.definitions(task) if task.model.head == "product" else {}
    build = partial(_built, task.model, given.sizes, known)
    return training.train(task, given, build=build, out=out, report=report)[1]


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the head's probabilities of items, of those too that lack modalities.

    Raises:
        StoreError: The checkpoint is missing or damaged.
        PartialWeights: Its file does not hold this head.
    """
    return _scored(task, checkpoint, items)[0].probabilities


def explain(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> pl.DataFrame:
    """Return each modality's share in each item, as rows of ``explanations``."""
    scored, names = _scored(task, checkpoint, items)
    assert scored.shares is not None
    return training.shares(items, names, scored.shares)


def _scored(task: Task, checkpoint: Path, items: pl.DataFrame) -> tuple[Scored, list[str]]:
    assert isinstance(task.model, Fusion)
    classifier, sizes = training.restored(task, checkpoint, build=partial(heads.build, task.model))
    return training.scored(task, classifier, items, sizes), list(sizes)


def _built(
    entry: Fusion,
    sizes: Mapping[str, int],
    definitions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    standardised: Standardised,
) -> torch.nn.Module:
    """Return the head; one that starts from texts is shown the definitions as it will be shown items."""
    shown = {}
    for number, name in enumerate(sizes):
        if name in definitions and len(definitions[name][0]) == sizes[name]:
            both = torch.from_numpy(np.stack(definitions[name])).float()[:, None]
            there = torch.ones(2, 1, dtype=torch.bool)
            nothing = [torch.zeros(2, 1, size) for size in sizes.values()]
            nothing[number] = both
            shown[name] = standardised(Batch(tuple(nothing), (there,) * len(sizes))).vectors[number][:, 0].numpy()
    return heads.build(entry, sizes, definitions=shown)
