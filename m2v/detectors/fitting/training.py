"""From a task to a trained head and back: what families of heads on frozen features share."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from torch import nn

from m2v import schemas
from m2v.detectors.family import Task, Trained
from m2v.detectors.fitting import head, loop, states
from m2v.detectors.fitting.batches import Standardised
from m2v.detectors.fitting.entry import Fitted
from m2v.detectors.fitting.head import Classifier
from m2v.detectors.fitting.inputs import dimensions, read
from m2v.detectors.fitting.loop import Examples, Objective, Scored
from m2v.errors import InvalidRows
from m2v.files import whole
from m2v.programs import checkpoints
from m2v.programs.progress import Report

WEIGHTS, SIZES = "head.safetensors", "inputs.json"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a head is trained and selected on.

    Attributes:
        items: Columns of the training set, without those that have no feature.
        n_left_out: Of items to train on that have no feature.
        sizes: Dimensions of each modality, in the order of the inputs.
    """

    items: pl.DataFrame
    train: Examples
    validation: Examples | None
    n_left_out: int
    sizes: Mapping[str, int]


def prepared(task: Task) -> Prepared:
    """Read what the task names.

    Raises:
        InvalidRows: As ``inputs.read`` does; or no item to train on has any feature.
    """
    assert task.train
    rows = pl.read_parquet(task.train)
    sizes = dimensions(task, rows)
    inputs = read(task, rows, sizes=sizes)
    known = np.flatnonzero(inputs.present.any(axis=1))
    if not len(known):
        raise InvalidRows(f"{task.model.name}: none of {rows.height:,} items to train on has a feature.")
    items = rows[known]
    validation = None
    if task.validation:
        held_out = pl.read_parquet(task.validation)
        validation = Examples(read(task, held_out, sizes=sizes), held_out["label"].to_numpy())
    train = Examples(inputs.of(known), items["label"].to_numpy())
    return Prepared(items, train, validation, rows.height - items.height, sizes)


def train(
    task: Task,
    given: Prepared,
    *,
    build: Callable[[Standardised], nn.Module],
    out: Path,
    report: Report,
    objective: Objective | None = None,
) -> tuple[Classifier, Trained]:
    """Train a head, or go on where a killed training stopped; leave its weights and what it sees in the folder.

    Args:
        build: Makes the head with its first weights; given what standardises its inputs.
    """
    assert isinstance(task.model, Fitted)
    standardised = Standardised(list(given.sizes.values()))
    if task.model.standardise:
        standardised.learn(given.train.inputs)
    with loop.drawn_from(task.seed, 0):
        classifier = Classifier(standardised, build(standardised)).to(head.device())
    fit = loop.fit(
        classifier,
        task.model,
        given.train,
        validation=given.validation,
        seed=task.seed,
        out=out,
        save_steps=task.save_steps,
        report=report,
        objective=objective,
    )
    head.save(classifier, out / WEIGHTS)
    whole.write(out / SIZES, json.dumps(given.sizes).encode())
    lacking = dict(zip(given.sizes, (~given.train.inputs.present).sum(axis=0).tolist(), strict=True))
    return classifier, Trained(
        files=[WEIGHTS, SIZES],
        packages=["torch", "numpy"],
        threshold=fit.threshold,
        selection=fit.selection,
        facts={
            "n_train": given.items.height,
            "n_left_out": given.n_left_out,
            "n_lacking": lacking,
            "n_parameters": classifier.n_trainable,
            "fit_seconds": fit.seconds,
        },
        scratch=(states.FOLDER,),
    )


def restored(
    task: Task, checkpoint: Path, *, build: Callable[[Mapping[str, int]], nn.Module]
) -> tuple[Classifier, dict[str, int]]:
    """Return a checkpoint's classifier, and the dimensions of each modality that it sees.

    Args:
        build: Makes the head for these dimensions; its first weights are replaced.

    Raises:
        StoreError: The checkpoint is missing or damaged.
        PartialWeights: Its file does not hold this head.
    """
    checkpoints.verified(checkpoint, weights=WEIGHTS)
    sizes = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
    with loop.drawn_from(0):
        classifier = Classifier(Standardised(list(sizes.values())), build(sizes))
    head.load(classifier, checkpoint / WEIGHTS)
    return classifier.to(head.device()), sizes


def scored(task: Task, classifier: Classifier, items: pl.DataFrame, sizes: Mapping[str, int]) -> Scored:
    """Return what a classifier says of items."""
    return loop.score_all(classifier, read(task, items, sizes=sizes))


def shares(items: pl.DataFrame, names: list[str], weighed: np.ndarray) -> pl.DataFrame:
    """Return how much each modality weighed as rows of ``explanations``.

    Args:
        items: Column ``item_id``.
        weighed: (items, modalities), float.
    """
    columns = schemas.EXPLANATIONS.columns
    weights = pl.Series("weight", list(weighed.astype(np.float64)), dtype=pl.List(pl.Float64))
    rows = items.select("item_id", weight=weights)
    named = rows.with_columns(name=pl.lit(names, pl.List(pl.String))).explode("weight", "name")
    ranked = named.sort("item_id", "weight", "name", descending=[False, True, False])
    return ranked.select(
        item_id="item_id",
        kind=pl.lit("modality").cast(columns["kind"]),
        rank=pl.int_range(1, pl.len() + 1).over("item_id").cast(pl.UInt32),
        name="name",
        dataset=pl.lit(None, pl.String),
        label=pl.lit(None, pl.Boolean),
        weight="weight",
    )
