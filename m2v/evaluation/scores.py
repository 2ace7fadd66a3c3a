"""How well a run separates its target's test videos."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.datasets import splits
from m2v.entries.datasets import VideoDataset
from m2v.entries.variants import TargetSplit, variant
from m2v.errors import InvalidRows
from m2v.evaluation.small_samples import intervals


def scores(labels: np.ndarray, probabilities: np.ndarray, *, threshold: float) -> dict[str, float | None]:
    """Every score of ``schemas.SCORES``.

    Args:
        labels: (items,), bool.
        probabilities: (items,), float64, of the positive label.
        threshold: From this probability on, an item is called positive.

    Returns:
        Shares 0-1. F1, recall and precision are the positive label's and 0 where nothing would be divided by nothing;
        macro-F1 is the mean over both labels, whether or not they occur; AUROC is None unless both do.
    """
    from sklearn import metrics as sklearn_metrics

    predicted = probabilities >= threshold
    by_label = sklearn_metrics.precision_recall_fscore_support(
        labels,
        predicted,
        labels=[False, True],
        zero_division=0,  # pyright: ignore[reportArgumentType] (scikit-learn allows it, its default hides it)
    )
    precision, recall, f1 = np.asarray(by_label)[:3]  # each (labels,)
    has_both_labels = bool(labels.any() and not labels.all())
    return {
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(np.mean(f1)),
        "f1": float(f1[1]),
        "recall": float(recall[1]),
        "precision": float(precision[1]),
        "auroc": float(sklearn_metrics.roc_auc_score(labels, probabilities)) if has_both_labels else None,
    }


def thresholded(videos: pl.DataFrame, *, probabilities: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Return each scored video's true label beside what it is called at the run's threshold.

    Args:
        videos: Columns ``video_id``, ``label`` (bool).
        probabilities: Columns ``video_id``, ``probability`` (f64, of the positive label).
        threshold: From this probability on, a video is called positive.

    Returns:
        Rows of ``test_predictions``, sorted by ``video_id``; videos without a probability have none.
    """
    scored = videos.select("video_id", true_label="label").join(probabilities, on="video_id")
    predicted = scored.with_columns(predicted=pl.col("probability") >= threshold, threshold=pl.lit(threshold))
    return predicted.select(list(schemas.TEST_PREDICTIONS.columns)).sort("video_id")


def metrics(
    run: Run, *, test_predictions: pl.DataFrame, videos: pl.DataFrame, checkpoint: Mapping[str, Any], seed: int = 0
) -> pl.DataFrame:
    """Return the run's scores with their intervals.

    Args:
        run: What was trained, on what.
        test_predictions: Rows of ``test_predictions``.
        videos: Rows of ``videos`` in the run's split; those of its test part are scored or not.
        checkpoint: The run's row of ``checkpoints``: its threshold and what it was selected by.
        seed: Of the bootstrap. Runs that share it are resampled alike.

    Returns:
        One row of ``metrics``.

    Raises:
        InvalidRows: Where nothing was scored, or a probability is not one.
    """
    training_set = run.training_set
    description = {
        "run": run.name,
        "model": run.model.name,
        "strategy": training_set.strategy,
        "memes": training_set.memes.name if training_set.memes else None,
        "target": run.target.name,
        **_split(run.split, videos),
        "seed": run.seed,
        "paper_mode": training_set.paper_mode,
        "n_train": checkpoint["n_train"],
        "validation_auroc": json.loads(checkpoint["selection"]).get("validation_auroc"),
        "threshold": checkpoint["threshold"],
    }
    n_listed = videos.filter(split="test").height
    return _row(description, test_predictions, n_listed=n_listed, threshold=checkpoint["threshold"], seed=seed)


def _split(split: TargetSplit, videos: pl.DataFrame) -> dict[str, object]:
    return {"split": split.split, "fold": split.fold, "split_digest": splits.digest(videos)}


def majority(target: VideoDataset, split: TargetSplit, *, videos: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return what calling every test video by the training split's more frequent label scores; negative on a tie.

    Args:
        target: Whose videos they are.
        split: Which of its splits they are in.
        videos: Rows of ``videos`` in it.
        seed: Of the bootstrap.

    Returns:
        One row of ``metrics``: run ``majority_<target>``, model ``majority-class``, strategy ``majority``.

    Raises:
        InvalidRows: Where the training or the test split is empty.
    """
    labels = videos.filter(pl.col("split") == "train")["label"]
    if labels.is_empty():
        raise InvalidRows(f"videos of {target.name}: the training split is empty, so it has no majority class.")
    is_positive = 2 * int(labels.sum()) > len(labels)
    test = videos.filter(pl.col("split") == "test")
    probabilities = test.select("video_id", probability=pl.lit(float(is_positive)))
    constant = thresholded(test, probabilities=probabilities, threshold=0.5)
    description = {
        "run": variant("majority", target.name, *split.names),
        "model": "majority-class",
        "strategy": "majority",
        "memes": None,
        "target": target.name,
        **_split(split, videos),
        "seed": 0,
        "paper_mode": False,
        "n_train": None,
        "validation_auroc": None,
        "threshold": None,
    }
    return _row(description, constant, n_listed=constant.height, threshold=0.5, seed=seed)


def _row(
    description: dict[str, object], predictions: pl.DataFrame, *, n_listed: int, threshold: float, seed: int
) -> pl.DataFrame:
    if predictions.is_empty():
        raise InvalidRows(f"test_predictions of {description['run']}: no test video was scored.")
    outside = predictions.filter(~pl.col("probability").is_between(0, 1))["video_id"]
    if len(outside):
        raise InvalidRows(
            f"test_predictions of {description['run']}: the probability of video {outside[0]!r} is not between 0 and 1."
        )
    labels, probabilities = predictions["true_label"].to_numpy(), predictions["probability"].to_numpy()
    points = scores(labels, probabilities, threshold=threshold)
    ranges = intervals(labels, probabilities, threshold=threshold, seed=seed)
    row = {
        **description,
        "n_listed": n_listed,
        "n_scored": predictions.height,
        "n_positive": int(labels.sum()),
        "coverage_share": predictions.height / n_listed,
        **points,
        **{f"{score}_low": low for score, (low, _) in ranges.items()},
        **{f"{score}_high": high for score, (_, high) in ranges.items()},
    }
    return schemas.METRICS.validate(pl.DataFrame([row], schema=dict(schemas.METRICS.columns)))
