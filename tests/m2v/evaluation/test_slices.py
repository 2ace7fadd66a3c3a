from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from sklearn import metrics as sklearn_metrics

from m2v.evaluation.facets import by_length
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.slices import compared, slices


def said(n: int = 60, *, seed: int = 0) -> Predicted:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    probabilities = np.clip(generator.uniform(0, 0.8, n) + 0.3 * labels, 0, 1)
    return Predicted("radish", tuple(f"v{i:03}" for i in range(n)), labels, probabilities, 0.5)


def facets(**members: list[int]) -> pl.DataFrame:
    rows = [(f"v{item:03}", "bed", name) for name, items in members.items() for item in items]
    return pl.DataFrame(rows, schema=["item_id", "facet", "value"], orient="row")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=9))
def test_the_test_is_that_of_every_slice_that_could_have_been(items: list[tuple[bool, bool, bool]]):
    labels, is_right, inside = (np.array(column) for column in zip(*items, strict=True))
    found = compared(labels, is_right, inside)

    # Every other choice of as many videos of either label is as likely.
    strata = [np.flatnonzero(labels == label) for label in (False, True)]
    sizes = [int(inside[stratum].sum()) for stratum in strata]
    if all(size in {0, len(stratum)} for size, stratum in zip(sizes, strata, strict=True)):
        assert found == (None, None)
        return
    counts: dict[int, int] = {}
    for negatives in combinations(strata[0], sizes[0]):
        for positives in combinations(strata[1], sizes[1]):
            n_right = int(is_right[[*negatives, *positives]].sum())
            counts[n_right] = counts.get(n_right, 0) + 1
    total = comb(len(strata[0]), sizes[0]) * comb(len(strata[1]), sizes[1])
    seen = counts[int((is_right & inside).sum())]
    assert found[0] == pytest.approx(sum(n * count for n, count in counts.items()) / total)
    assert found[1] == pytest.approx(sum(count for count in counts.values() if count <= seen) / total)


def test_a_slice_of_one_label_is_tested_as_fisher_does():
    labels = np.ones(30, dtype=bool)
    is_right, inside = np.arange(30) < 20, np.arange(30) >= 15  # of 15 inside 5 are right, of 15 outside all

    assert compared(labels, is_right, inside) == (10.0, pytest.approx(fisher_exact([[5, 10], [15, 0]]).pvalue))


def test_scores_are_those_of_the_slices_own_videos():
    test, inside = said(), list(range(0, 60, 2))

    [row] = slices({"radish": test}, facets={"radish": facets(sunny=inside)}).to_dicts()

    labels, called = test.labels[inside], test.called[inside]
    assert (row["facet"], row["value"], row["n_items"], row["n_positive"]) == ("bed", "sunny", 30, int(labels.sum()))
    assert row["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(labels, called, average="macro"))
    assert row["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, test.probabilities[inside]))
    assert row["false_positive_rate"] == pytest.approx(1 - sklearn_metrics.recall_score(~labels, ~called))
    for score in ("accuracy", "macro_f1", "recall", "precision", "false_positive_rate", "auroc"):
        assert row[f"{score}_low"] <= row[score] <= row[f"{score}_high"]
    assert row["p_holm"] == row["p_value"]


def test_scores_of_one_label_say_only_what_they_can():
    members = {"positives": list(range(0, 60, 3)), "negatives": [i for i in range(60) if i % 3]}
    table = slices({"radish": said()}, facets={"radish": facets(**members)})

    of = {row["value"]: {name for name, value in row.items() if value is not None} for row in table.to_dicts()}
    assert of["positives"] & set(table.columns[5:26:3]) == {"accuracy", "recall"}
    assert of["negatives"] & set(table.columns[5:26:3]) == {"accuracy", "false_positive_rate"}
    assert table["p_value"].null_count() == 2  # nobody outside has their label


def test_of_few_videos_nothing_is_said_and_of_none_there_is_no_slice():
    members = {"nine": list(range(9)), "ten": list(range(10))}
    elsewhere = pl.DataFrame({"item_id": ["w1"], "facet": ["bed"], "value": ["elsewhere"]})

    table = slices({"radish": said()}, facets={"radish": pl.concat([facets(**members), elsewhere])})

    assert table["value"].to_list() == ["nine", "ten"]
    assert table["accuracy"].is_null().to_list() == [True, False]
    assert table["p_holm"].is_null().to_list() == [True, False]
    assert table["n_right"].null_count() == 0


def test_holm_runs_over_the_slices_of_a_run():
    test = said()
    worst = [i for i in range(60) if not test.is_right[i]][:12]
    members = {"wrong": worst, "first": list(range(20)), "rest": list(range(20, 60))}

    table = slices({"radish": test}, facets={"radish": facets(**members)})

    by_value = {row["value"]: row for row in table.to_dicts()}
    assert by_value["wrong"]["p_holm"] == pytest.approx(3 * by_value["wrong"]["p_value"])
    assert by_value["wrong"]["n_right"] == 0 < by_value["wrong"]["n_right_expected"]
    assert (
        by_value["first"]["p_holm"]
        == by_value["rest"]["p_holm"]
        == pytest.approx(min(1.0, 2 * by_value["first"]["p_value"]))
    )


def test_lengths_are_counted_in_words():
    texts = ["", "   ", "leek", "leek " * 49, "leek\n" * 50, "leek " * 199, "leek " * 200]
    videos = pl.DataFrame({"video_id": list("abcdefg"), "text": texts})

    values = by_length(videos)["value"].to_list()

    assert values == ["none", "none", "1 to 49", "1 to 49", "50 to 199", "50 to 199", "200 or more"]


def test_no_runs_no_slices():
    assert slices({}, facets={}).is_empty()
