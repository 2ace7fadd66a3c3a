"""Which labels of training examples are probably wrong: confident learning on probabilities out of fold."""

import numpy as np
import polars as pl

from m2v import schemas
from m2v.lineage.findings import Finding

# As cleanlab has it: what is this close counts as reached.
CLOSE = 1e-6


def suspects(examples: pl.DataFrame, *, probabilities: pl.DataFrame, model: str) -> pl.DataFrame:
    """Return training examples ranked by how little a detector that did not see them believes their label.

    Args:
        examples: Rows of ``training_examples``.
        probabilities: Columns ``dataset``, ``item_id``, ``split``, ``fold`` (u32) and ``probability`` (f64, of the
            positive label, by a detector that was trained on the other folds); nobody's where none could be.
        model: Whose probabilities they are.

    Returns:
        Rows of ``label_suspects``, the least likely label first.
    """
    key = ["dataset", "item_id", "split"]
    joined = examples.select(*key, "label", "label_source").join(probabilities, on=key)
    labels, positive = joined["label"].to_numpy().astype(bool), joined["probability"].to_numpy()
    rows = joined.with_columns(
        model=pl.lit(model),
        self_confidence=pl.when("label").then("probability").otherwise(1 - pl.col("probability")),
        is_suspect=pl.Series(confident_errors(labels, positive), dtype=pl.Boolean),
    ).sort("self_confidence", *key)
    ranked = rows.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32))
    return schemas.LABEL_SUSPECTS.validate(ranked.select(list(schemas.LABEL_SUSPECTS.columns)))


def confident_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return whether each label is a confident error, (examples,), bool.

    Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70:1373-1411): a label is reached when its probability is
    at least the mean over the examples that have it; an example is off the diagonal of the confident joint when the
    label that it reaches, or of both the likelier, is not its own. As in cleanlab the likelier label must be another
    than its own too.

    Args:
        labels: (examples,), bool.
        probabilities: (examples,), float64, of the positive label, out of fold.
    """
    if not len(labels):
        return np.zeros(0, dtype=bool)
    both = np.stack([1 - probabilities, probabilities], axis=1)  # (examples, labels)
    # A label that nobody has is never reached.
    limits = [
        both[labels == label, place].mean() if (labels == label).any() else 2 for place, label in enumerate((0, 1))
    ]
    reached = both >= np.array(limits) - CLOSE
    likelier = both.argmax(axis=1)
    guess = np.where(reached.all(axis=1), likelier, reached.argmax(axis=1))
    own = labels.astype(int)
    is_likely = both[np.arange(len(own)), own] + CLOSE >= both.max(axis=1)
    return reached.any(axis=1) & (guess != own) & ~is_likely


def counted(rows: pl.DataFrame, *, training_set: str) -> pl.DataFrame:
    """Return how many labels of a training set are suspects, in one row of ``suspect_counts``; none of no example.

    Args:
        rows: Rows of ``label_suspects``.
        training_set: Its name.
    """
    label, is_suspect = pl.col("label"), pl.col("is_suspect")
    counts = {
        "n_examples": pl.len(),
        "n_positive": label.sum(),
        "n_suspects": is_suspect.sum(),
        "n_positive_suspects": (label & is_suspect).sum(),
    }
    found = rows.group_by("model").agg(value.cast(pl.UInt32).alias(name) for name, value in counts.items())
    named = found.with_columns(training_set=pl.lit(training_set)).with_columns(
        suspect_share=pl.col("n_suspects") / pl.col("n_examples")
    )
    return named.select(list(COUNTS)).sort("model")


COUNTS = {
    "training_set": pl.String,
    "model": pl.String,
    "n_examples": pl.UInt32,
    "n_positive": pl.UInt32,
    "n_suspects": pl.UInt32,
    "n_positive_suspects": pl.UInt32,
    "suspect_share": pl.Float64,
}


def finding(rows: pl.DataFrame, *, n_examples: int, model: str, variant: str) -> Finding:
    """Return the check of a training set's labels.

    Args:
        rows: Rows of ``label_suspects``.
        n_examples: Of the training set.
        model: Whose probabilities they are.
    """
    found = rows.filter("is_suspect")
    summary = (
        f"{found.height} of {n_examples} labels are probably wrong, says {model} trained without them "
        f"({found['label'].sum()} positive, {found.filter(~pl.col('label')).height} negative)."
    )
    if rows.is_empty():
        summary = (
            f"None of {n_examples} labels could be looked at: a label has fewer than two different examples, so that "
            f"{model} cannot be trained without them."
        )
    return Finding(
        "labels_likely",
        "label_suspects",
        variant,
        is_fine=found.is_empty() and not rows.is_empty(),
        summary=summary,
        ids=tuple(found["item_id"]),
        figures={"n_examples": n_examples, "n_suspects": found.height},
    )
