"""A probe is trained and scores, within the asset: a linear head on features that are there."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors.family import Task, Trained
from m2v.detectors.probe import regression
from m2v.detectors.probe.entry import Probe
from m2v.detectors.probe.regression import Head
from m2v.errors import PartialWeights
from m2v.features import rows as featured
from m2v.files import whole
from m2v.programs import checkpoints
from m2v.programs.progress import Report

WEIGHTS = "head.safetensors"


def train(task: Task, *, out: Path, report: Report) -> Trained:
    """Fit a head; without a training split read it off the label's two definitions."""
    assert isinstance(task.model, Probe)
    features = _features(task.features)
    held_out = pl.read_parquet(task.validation) if task.validation else None
    selection = None
    if held_out is not None:
        selection = featured.matrix(held_out, features=features), held_out["label"].to_numpy()
    if task.train:
        rows = pl.read_parquet(task.train)
        matrix, labels = featured.matrix(rows, features=features), rows["label"].to_numpy()
        head = regression.fit(matrix, labels, probe=task.model, validation=selection)
    else:
        rows = pl.DataFrame()
        head = regression.zero_shot(*featured.definitions(features), validation=selection)
    save(head, out)
    return Trained(
        files=[WEIGHTS],
        packages=["scikit-learn", "numpy"],
        threshold=head.threshold,
        selection=head.selection,
        facts={"n_train": rows.height},
    )


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the head's probabilities of items, by the features of their texts."""
    return load(checkpoint).probabilities(featured.matrix(items, features=_features(task.features)))


def save(head: Head, folder: Path) -> None:
    """Write the head as safetensors."""
    from safetensors.numpy import save as serialise

    whole.write(folder / WEIGHTS, serialise({"weights": head.weights, "bias": np.array([head.bias])}))


def load(folder: Path) -> Head:
    """Return the head of a checkpoint.

    Raises:
        StoreError: A file is missing or is not the one in the manifest.
        PartialWeights: Its file does not hold a head.
    """
    from safetensors.numpy import load as deserialise

    manifest = checkpoints.verified(folder, weights=WEIGHTS)
    tensors = deserialise((folder / WEIGHTS).read_bytes())
    wanted = {"weights", "bias"}
    if tensors.keys() != wanted:
        raise PartialWeights(folder / WEIGHTS, missing=wanted - tensors.keys(), unused=tensors.keys() - wanted)
    return Head(tensors["weights"], float(tensors["bias"][0]), manifest["threshold"], manifest["selection"])


def _features(by_extractor: Mapping[str, Mapping[str, Path]]) -> pl.DataFrame:
    """Return the one extractor's rows of all datasets."""
    [by_dataset] = by_extractor.values()
    return pl.concat([pl.read_parquet(path) for path in by_dataset.values()])
