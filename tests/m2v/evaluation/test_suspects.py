"""Labels that a detector which did not see them believes least."""

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation.suspects import confident_errors, counted, finding, suspects
from tests import tables

# As drawn by `numpy.random.default_rng(0)`, and what cleanlab 2.9.0 says of them:
# `find_label_issues(labels, pred_probs, filter_by="confident_learning", return_indices_ranked_by="self_confidence")`.
N = 60
CLEANLAB = [28, 41, 20, 57, 59, 36, 51, 2, 9, 48, 53, 32]


def drawn(n: int = N, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which one in six is wrong, and probabilities that lean to one side."""
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < 0.4
    labels = truth ^ (generator.random(n) < 1 / 6)
    return labels, np.clip(np.where(truth, 0.6, 0.2) + generator.normal(0, 0.2, n), 0.001, 0.999)


def examples(labels: np.ndarray) -> pl.DataFrame:
    return tables.frame(
        schemas.TRAINING_EXAMPLES,
        [
            {"item_id": f"m{number:02d}", "text_sha256": f"{number}", "label": bool(of)}
            for number, of in enumerate(labels)
        ],
        dataset="veggie",
        split="train",
        text="",
        label_source="voted",
    )


def out_of_fold(rows: pl.DataFrame, probabilities: np.ndarray) -> pl.DataFrame:
    return rows.select("dataset", "item_id", "split").with_columns(
        fold=pl.lit(0, pl.UInt32), probability=pl.Series(probabilities)
    )


def test_suspects_and_their_order_are_those_of_cleanlab() -> None:
    labels, probabilities = drawn()
    rows = examples(labels)
    found = suspects(rows, probabilities=out_of_fold(rows, probabilities), model="radish")

    assert found.filter("is_suspect")["item_id"].to_list() == [f"m{number:02d}" for number in CLEANLAB]
    assert found["rank"].to_list() == list(range(1, N + 1))
    assert found["self_confidence"].is_sorted()
    first = found.row(0, named=True)
    assert first["self_confidence"] == (probabilities[28] if labels[28] else 1 - probabilities[28])


def test_a_label_is_a_suspect_only_against_the_mean_of_those_that_have_the_other() -> None:
    labels = np.array([False, False, False, True, True, True])
    #           the negatives' mean is .8; the positives' .7
    negative = np.array([0.9, 0.9, 0.6, 0.1, 0.1, 0.7])

    # The last is likelier negative than positive, but less so than negatives are.
    assert not confident_errors(labels, 1 - negative).any()
    negative[5] = 0.85
    assert confident_errors(labels, 1 - negative).tolist() == [False] * 5 + [True]


def test_a_label_that_is_likelier_than_the_other_is_no_suspect() -> None:
    labels = np.array([False, False, False, True, True])
    #           the first reaches the positives' mean of .3, and not the negatives' of .8; its own label is likelier
    assert not confident_errors(labels, np.array([0.4, 0.1, 0.1, 0.3, 0.3])).any()


def test_one_label_and_no_example_have_no_suspects() -> None:
    assert not confident_errors(np.ones(3, dtype=bool), np.array([0.1, 0.5, 0.9])).any()
    assert confident_errors(np.zeros(0, dtype=bool), np.zeros(0)).tolist() == []


def test_suspects_are_counted_by_label_and_told() -> None:
    labels, probabilities = drawn()
    rows = examples(labels)
    found = suspects(rows, probabilities=out_of_fold(rows, probabilities), model="radish")
    n_positive = int(labels[CLEANLAB].sum())

    assert counted(found, training_set="rm_ft").row(0, named=True) == {
        "training_set": "rm_ft",
        "model": "radish",
        "n_examples": N,
        "n_positive": int(labels.sum()),
        "n_suspects": 12,
        "n_positive_suspects": n_positive,
        "suspect_share": 0.2,
    }
    told = finding(found, n_examples=N, model="radish", variant="radish_rm_ft")
    assert not told.is_fine
    assert told.summary == (
        f"12 of 60 labels are probably wrong, says radish trained without them ({n_positive} positive, "
        f"{12 - n_positive} negative)."
    )
    assert told.ids[0] == "m28"


def test_where_nothing_could_be_held_out_that_is_said() -> None:
    rows = examples(np.array([True, False, False]))
    none = suspects(rows, probabilities=out_of_fold(rows, np.zeros(3)).clear(), model="radish")

    assert none.is_empty()
    assert counted(none, training_set="rm_ft").is_empty()
    told = finding(none, n_examples=3, model="radish", variant="radish_rm_ft")
    assert not told.is_fine
    assert "fewer than two different examples" in told.summary
