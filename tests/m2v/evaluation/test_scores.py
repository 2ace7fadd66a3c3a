import json

import numpy as np
import polars as pl
import pytest

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.datasets.splits import digest
from m2v.detectors.probe.entry import Probe
from m2v.entries.datasets import LabelDefinition, MemeDataset, VideoDataset
from m2v.entries.pretrained import Encoder
from m2v.entries.variants import OWN_SPLIT, TrainingSet
from m2v.errors import InvalidRows
from m2v.evaluation.scores import majority, metrics, scores, thresholded
from tests import tables

LEEKS = MemeDataset(name="leeks", title="Leeks", source="kitchen", layout="published", files=("leeks.csv",))
GARDEN = VideoDataset(
    name="kitchen-garden",
    title="Kitchen garden",
    source="kitchen",
    layout="published",
    files=("garden.csv",),
    label=LabelDefinition(positive="rude", negative="polite", positive_definition="Rude.", negative_definition="Not."),
)
MODEL = Probe(name="radish-probe", title="Radish", kind="probe", encoder="radish", c_grid=(1.0,))
ENCODER = Encoder(
    name="radish",
    title="Radish",
    kind="encoder",
    hub="garden/radish",
    revision="0" * 40,
    weights_sha256="0" * 64,
    max_tokens=8,
    dimensions=4,
)


def run(strategy="rm_ft", memes=LEEKS, *, paper_mode=False) -> Run:
    training_set = TrainingSet(strategy, GARDEN, memes, paper_mode)
    return Run(model=MODEL, base=ENCODER, training_set=training_set, seed=3)


def test_scores_by_hand():
    # Called positive from .5 on: true positives 2, false positives 1, false negatives 1, true negatives 1.
    labels = np.array([True, True, True, False, False])
    probabilities = np.array([0.9, 0.5, 0.2, 0.7, 0.1])

    assert scores(labels, probabilities, threshold=0.5) == pytest.approx(
        {
            "accuracy": 3 / 5,
            "macro_f1": (4 / 6 + 2 / 4) / 2,
            "f1": 4 / 6,
            "recall": 2 / 3,
            "precision": 2 / 3,
            "auroc": 4 / 6,  # of the six pairs, .5 < .7 and .2 < .7 are the wrong way round
        }
    )


def test_scores_are_zero_where_nothing_would_be_divided_by_nothing():
    assert scores(np.array([False, False]), np.array([0.1, 0.2]), threshold=0.5) == {
        "accuracy": 1.0,
        "macro_f1": 0.5,  # the positive label counts although it never occurs
        "f1": 0.0,
        "recall": 0.0,
        "precision": 0.0,
        "auroc": None,
    }


def predictions(*rows: tuple[str, bool, float], threshold: float = 0.5) -> pl.DataFrame:
    """Rows of a video, its true label and its probability."""
    schema = {"video_id": pl.String, "label": pl.Boolean, "probability": pl.Float64}
    videos = pl.DataFrame(list(rows), schema=schema, orient="row")
    scored = thresholded(videos, probabilities=videos.select("video_id", "probability"), threshold=threshold)
    return schemas.TEST_PREDICTIONS.validate(scored)


def checkpoint(threshold: float = 0.5, n_train: int = 40, **selection: float) -> dict:
    return {"threshold": threshold, "n_train": n_train, "selection": json.dumps(selection)}


def test_a_true_label_and_what_the_run_calls_it_are_told_apart():
    videos = pl.DataFrame({"video_id": ["v2", "v1", "v3"], "label": [False, True, True]})
    probabilities = pl.DataFrame({"video_id": ["v1", "v2"], "probability": [0.3, 0.4]})  # v3 was not scored

    rows = thresholded(videos, probabilities=probabilities, threshold=0.4)

    assert rows.equals(
        pl.DataFrame(
            {
                "video_id": ["v1", "v2"],
                "true_label": [True, False],
                "predicted": [False, True],  # the threshold itself is positive
                "probability": [0.3, 0.4],
                "threshold": [0.4, 0.4],
            }
        )
    )
    assert schemas.TEST_PREDICTIONS.validate(rows) is rows


def listed(n: int) -> pl.DataFrame:
    return tables.videos(*({"video_id": f"v{i}", "split": "test", "label": i % 3 == 0} for i in range(n)))


def test_metrics_are_one_row_with_the_runs_description():
    scored = predictions(("v1", True, 0.9), ("v2", False, 0.4), ("v3", True, 0.3), threshold=0.35)
    selected = checkpoint(0.35, c=1.0, validation_auroc=0.8)

    row = metrics(run(), test_predictions=scored, videos=listed(4), checkpoint=selected).row(0, named=True)

    assert {name: row[name] for name in list(row)[:17]} == {
        "run": "radish_probe_rm_ft_leeks_kitchen_garden_s3",
        "model": "radish-probe",
        "strategy": "rm_ft",
        "memes": "leeks",
        "target": "kitchen-garden",
        "split": "own",
        "fold": None,
        "split_digest": digest(listed(4)),
        "seed": 3,
        "paper_mode": False,
        "n_train": 40,
        "validation_auroc": 0.8,
        "n_listed": 4,
        "n_scored": 3,
        "n_positive": 2,
        "coverage_share": 0.75,
        "threshold": 0.35,
    }
    assert row["accuracy"] == pytest.approx(1 / 3)  # v2 and v3 are on the wrong side of .35
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.0615, 0.7923), abs=1e-4)  # Wilson
    assert row["auroc"] == pytest.approx(1 / 2)


def test_metrics_of_a_run_without_memes_in_paper_mode():
    scored = predictions(("v1", True, 0.9), ("v2", False, 0.4))

    row = metrics(
        run("vid_ft", None, paper_mode=True), test_predictions=scored, videos=listed(2), checkpoint=checkpoint()
    )

    # Paper mode trains on the validation videos, so nothing was selected on them.
    assert row.select("memes", "paper_mode", "validation_auroc", "coverage_share").rows() == [(None, True, None, 1.0)]


def test_metrics_depend_on_the_seed_of_the_bootstrap_in_their_intervals_only():
    scored = predictions(*((f"v{i}", i % 3 == 0, (11 * i % 20) / 20) for i in range(150)))
    told = {"test_predictions": scored, "videos": listed(150), "checkpoint": checkpoint()}
    first, again, other = (metrics(run(), **told, seed=seed) for seed in (0, 0, 1))

    assert first.equals(again)
    assert first["auroc_low"].item() != other["auroc_low"].item()
    assert first.select(schemas.SCORES).equals(other.select(schemas.SCORES))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no test video was scored"),
        ([("v1", True, 0.5), ("v2", True, float("nan"))], "probability of video 'v2' is not between 0 and 1"),
        ([("v1", True, 1.5)], "probability of video 'v1' is not between 0 and 1"),
    ],
)
def test_metrics_refuse_what_cannot_be_scored(rows, message):
    with pytest.raises(InvalidRows, match=message):
        metrics(run(), test_predictions=predictions(*rows), videos=listed(2), checkpoint=checkpoint())


def garden(train: list[bool], test: list[bool]) -> pl.DataFrame:
    splits = [("train", label) for label in train] + [("test", label) for label in test]
    return tables.videos(
        {"video_id": "extra", "split": "validation", "label": True},
        *({"video_id": f"v{i}", "split": split, "label": label} for i, (split, label) in enumerate(splits)),
    )


@pytest.mark.parametrize(
    ("train", "accuracy", "macro_f1", "recall"),
    [
        ([True, True, False], 1 / 4, 0.2, 1.0),  # positive: F1 is 2 / 5 and 0
        ([False, False, True], 3 / 4, 3 / 7, 0.0),  # negative: F1 is 0 and 6 / 7
        ([True, False], 3 / 4, 3 / 7, 0.0),  # a tie is negative
    ],
)
def test_the_majority_class_comes_from_train_and_is_scored_on_test(train, accuracy, macro_f1, recall):
    row = majority(GARDEN, OWN_SPLIT, videos=garden(train, [True, False, False, False])).row(0, named=True)

    assert row["run"] == "majority_kitchen_garden"
    assert (row["model"], row["strategy"], row["memes"], row["threshold"]) == ("majority-class", "majority", None, None)
    assert (row["n_listed"], row["n_scored"], row["coverage_share"]) == (4, 4, 1.0)
    assert row["accuracy"] == pytest.approx(accuracy)
    assert row["macro_f1"] == pytest.approx(macro_f1)
    assert row["recall"] == recall
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (0.5, 0.5, 0.5)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


@pytest.mark.parametrize(
    ("train", "test", "message"), [([], [True], "training split is empty"), ([True], [], "no test")]
)
def test_the_majority_class_needs_both_splits(train, test, message):
    with pytest.raises(InvalidRows, match=message):
        majority(GARDEN, OWN_SPLIT, videos=garden(train, test))
