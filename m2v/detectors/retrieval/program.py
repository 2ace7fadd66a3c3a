"""A head that compares is trained, scores by its logit or by its neighbours, and names them."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from m2v import schemas
from m2v.detectors import selection
from m2v.detectors.family import Task, Trained
from m2v.detectors.fitting import training
from m2v.detectors.fitting.inputs import HeadInputs, read
from m2v.detectors.fitting.loop import score_all
from m2v.detectors.retrieval import neighbours
from m2v.detectors.retrieval.embedding import Embedding
from m2v.detectors.retrieval.entry import Retrieval
from m2v.detectors.retrieval.guided import Guided
from m2v.detectors.retrieval.neighbours import Index, Nearest
from m2v.files import whole
from m2v.programs.progress import Report

INDEX, ITEMS = "index.safetensors", "index.parquet"


def train(task: Task, *, out: Path, report: Report) -> Trained:
    """Train the head, and leave an index of what it was trained on beside it."""
    assert isinstance(task.model, Retrieval)
    entry, given = task.model, training.prepared(task)
    objective = Guided(entry, given.train)
    classifier, trained = training.train(
        task,
        given,
        build=lambda standardised: Embedding(entry, given.sizes),
        out=out,
        report=report,
        objective=objective,
    )
    embeddings = score_all(classifier, given.train.inputs).embeddings
    assert embeddings is not None
    index = Index(embeddings, given.train.labels, objective.contents)
    _save(index, given.items, out)
    threshold, chosen = trained.threshold, dict(trained.selection)
    if entry.readout == "knn" and given.validation:
        scored = score_all(classifier, given.validation.inputs)
        assert scored.embeddings is not None
        found = neighbours.nearest(index, scored.embeddings, neighbours.contents(given.validation.inputs), k=entry.k)
        voted, labels = neighbours.vote(index, found), given.validation.labels
        threshold = selection.threshold(labels, voted)
        chosen |= {"validation_auroc": selection.auroc(labels, voted)}
    files = [*trained.files, INDEX, ITEMS]
    return Trained(files, trained.packages, threshold, chosen, trained.facts, trained.scratch)


def score(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> np.ndarray:
    """Return the classifier's probabilities, or the neighbours' vote.

    Raises:
        StoreError: The checkpoint is missing or damaged.
        PartialWeights: Its file does not hold this head.
    """
    assert isinstance(task.model, Retrieval)
    probabilities, index, found = _compared(task, checkpoint, items)
    return probabilities if task.model.readout == "logit" else neighbours.vote(index, found)


def explain(task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> pl.DataFrame:
    """Return each item's neighbours, the nearest first, as rows of ``explanations``."""
    _, _, found = _compared(task, checkpoint, items)
    known = pl.read_parquet(checkpoint / ITEMS).with_row_index("place").cast({"place": pl.Int64})
    n_items, k = found.places.shape
    rows = pl.DataFrame(
        {
            "item_id": np.repeat(items["item_id"].to_numpy(), k).tolist(),
            "rank": np.tile(np.arange(1, k + 1), n_items).tolist(),
            "place": found.places.ravel().tolist(),
            "weight": found.cosines.ravel().astype(np.float64).tolist(),
        },
        schema={"item_id": pl.String, "rank": pl.UInt32, "place": pl.Int64, "weight": pl.Float64},
    )
    named = rows.join(known, on="place", how="inner", suffix="_neighbour")
    kind = pl.lit("neighbour").cast(schemas.EXPLANATIONS.columns["kind"])
    told = named.select(
        "item_id", kind.alias("kind"), "rank", pl.col("item_id_neighbour").alias("name"), "dataset", "label", "weight"
    )
    return told.sort("item_id", "rank")


def _compared(task: Task, checkpoint: Path, items: pl.DataFrame) -> tuple[np.ndarray, Index, Nearest]:
    """Return the classifier's probabilities, the index, and each item's neighbours in it."""
    from safetensors.numpy import load_file

    assert isinstance(task.model, Retrieval)
    classifier, sizes = training.restored(task, checkpoint, build=partial(Embedding, task.model))
    inputs: HeadInputs = read(task, items, sizes=sizes)
    scored = score_all(classifier, inputs)
    index = Index(**load_file(checkpoint / INDEX))
    assert scored.embeddings is not None
    return (
        scored.probabilities,
        index,
        neighbours.nearest(index, scored.embeddings, neighbours.contents(inputs), k=task.model.k),
    )


def _save(index: Index, items: pl.DataFrame, out: Path) -> None:
    from safetensors.numpy import save

    whole.write(out / INDEX, save({"embeddings": index.embeddings, "labels": index.labels, "contents": index.contents}))
    with whole.replacing(out / ITEMS) as scratch:
        items.select("dataset", "item_id", "label").write_parquet(scratch)
