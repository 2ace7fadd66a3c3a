"""A head on features of several modalities is trained and scores, within the asset."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors.family import Task, Trained
from m2v.detectors.fusion import concat
from m2v.detectors.fusion.concat import Concat
from m2v.detectors.fusion.entry import Fusion
from m2v.detectors.fusion.inputs import dimensions, read
from m2v.errors import PartialWeights
from m2v.files import whole
from m2v.programs import checkpoints
from m2v.programs.progress import Report

WEIGHTS, SIZES = "head.safetensors", "inputs.json"
LAYERS = {"w1", "b1", "w2", "b2"}


def train(task: Task, *, out: Path, report: Report) -> Trained:
    """Train the head on every item, those too that lack modalities."""
    from safetensors.numpy import save

    assert isinstance(task.model, Fusion)
    assert task.train
    items = pl.read_parquet(task.train)
    held_out = pl.read_parquet(task.validation) if task.validation else None
    sizes = dimensions(task, items)
    inputs = read(task, items, sizes=sizes)
    selected = None
    if held_out is not None:
        selected = read(task, held_out, sizes=sizes), held_out["label"].to_numpy()
    labels = items["label"].to_numpy()
    head = concat.fit(task.model, inputs, labels, validation=selected, seed=task.seed, report=report)
    whole.write(out / WEIGHTS, save(dict(head.tensors)))
    whole.write(out / SIZES, json.dumps(sizes).encode())
    lacking = dict(zip(sizes, (~inputs.present).sum(axis=0).tolist(), strict=True))
    return Trained(
        files=[WEIGHTS, SIZES],
        packages=["scikit-learn", "numpy"],
        threshold=head.threshold,
        selection=head.selection,
        facts={"n_train": items.height, "n_lacking": lacking},
    )


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the head's probabilities of items, of those too that lack modalities.

    Raises:
        StoreError: The checkpoint is missing or damaged.
        PartialWeights: Its file does not hold this head.
    """
    from safetensors.numpy import load

    manifest = checkpoints.verified(checkpoint, weights=WEIGHTS)
    sizes = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
    tensors = load((checkpoint / WEIGHTS).read_bytes())
    wanted = {*LAYERS, *(f"{what}:{name}" for what in ("mean", "deviation") for name in sizes)}
    if tensors.keys() != wanted:
        raise PartialWeights(checkpoint / WEIGHTS, missing=wanted - tensors.keys(), unused=tensors.keys() - wanted)
    head = Concat(tensors, manifest["threshold"], manifest["selection"])
    return head.probabilities(read(task, items, sizes=sizes))
