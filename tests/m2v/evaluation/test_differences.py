import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from m2v import schemas
from m2v.errors import InvalidRows, UnknownName
from m2v.evaluation.differences import SCORES, differences, paired
from m2v.evaluation.intervals import resamples
from m2v.evaluation.predicted import Predicted, predicted, shared
from tests.m2v.evaluation import rows

N = 60


def said(seed: int, *, shift: float = 0.3, labels: np.ndarray | None = None, run: str = "radish") -> Predicted:
    """Probabilities that are higher for positives, by ``shift``, rounded so that some are equal."""
    generator = np.random.default_rng(seed)
    labels = np.arange(N) % 3 == 0 if labels is None else labels
    probabilities = np.clip(generator.uniform(0, 0.7, len(labels)) + shift * labels, 0, 1).round(2)
    return Predicted(run, tuple(f"v{i:03}" for i in range(len(labels))), labels, probabilities, 0.5)


def by_sklearn(run: Predicted, items: np.ndarray) -> dict[str, float]:
    labels, probabilities = run.labels[items], run.probabilities[items]
    called = probabilities >= run.threshold
    return {
        "macro_f1": float(sklearn_metrics.f1_score(labels, called, average="macro", labels=[False, True])),
        "auroc": float(sklearn_metrics.roc_auc_score(labels, probabilities)),
        "accuracy": float(sklearn_metrics.accuracy_score(labels, called)),
    }


def test_intervals_are_those_of_scikit_learn_on_items_drawn_one_by_one():
    a, b = said(1), said(2, shift=0.5)
    [counts] = resamples(N, n_resamples=200, seed=7)
    drawn = [np.repeat(np.arange(N), each.astype(int)) for each in counts]

    found = paired([a], [b], seed=7, n_resamples=200)

    for score in SCORES:
        expected = [by_sklearn(b, items)[score] - by_sklearn(a, items)[score] for items in drawn]
        whole = [by_sklearn(run, np.arange(N))[score] for run in (a, b)]
        assert (found[score].value_a, found[score].value_b) == pytest.approx(tuple(whole))
        assert found[score].difference == pytest.approx(whole[1] - whole[0])
        assert (found[score].low, found[score].high) == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))
        assert found[score].smallest == pytest.approx(2.8016 * np.std(expected, ddof=1), rel=1e-4)


def test_the_smallest_accuracy_is_that_of_connors_formula():
    a, b = said(1), said(2, shift=0.5)
    discordant, gain = (a.is_right != b.is_right).mean(), b.is_right.mean() - a.is_right.mean()

    # Connor 1987, Biometrics 43:207-211: the variance of a paired difference of shares.
    expected = (1.959964 + 0.841621) * np.sqrt((discordant - gain**2) / N)
    assert paired([a], [b])["accuracy"].smallest == pytest.approx(expected, rel=0.05)


def test_over_seeds_scores_are_means_and_seeds_are_drawn_too():
    seeds = [said(seed) for seed in (1, 2, 3)]
    one = said(4, shift=0.5)

    found = paired(seeds, [one], n_resamples=500)["macro_f1"]

    expected = np.mean([by_sklearn(run, np.arange(N))["macro_f1"] for run in seeds])
    assert found.value_a == pytest.approx(expected)
    # Equal trainings have no variance between seeds, so what is drawn for them changes nothing.
    equal = paired([seeds[0]] * 3, [one], n_resamples=500)["macro_f1"]
    assert equal.low == pytest.approx(paired([seeds[0]], [one], n_resamples=500)["macro_f1"].low)
    # Two seeds of which one is always right and one always wrong: seeds decide, whatever is drawn of the items.
    labels = np.arange(N) % 3 == 0
    ids = one.ids
    right, wrong = (Predicted("swede", ids, labels, x.astype(float), 0.5) for x in (labels, ~labels))
    split = paired([right, wrong], [right], n_resamples=500)["accuracy"]
    assert (split.difference, split.low, split.high) == pytest.approx((0.5, 0.0, 1.0))


def test_what_never_differs_says_nothing_of_the_error():
    found = paired([said(1)], [said(1)])["macro_f1"]

    assert (found.difference, found.low, found.high, found.smallest) == (0.0, 0.0, 0.0, None)


def test_one_label_has_no_auroc():
    labels = np.ones(9, dtype=bool)

    found = paired([said(1, labels=labels)], [said(2, labels=labels)], n_resamples=50)

    assert found["auroc"].difference is None
    assert found["auroc"].low is None
    assert found["accuracy"].difference is not None


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_other_way_round_every_difference_has_the_other_sign(one: int, other: int):
    a, b = said(one), said(other)

    there, back = paired([a], [b], n_resamples=40), paired([b], [a], n_resamples=40)

    for score in SCORES:
        assert there[score].difference == pytest.approx(-(back[score].difference or 0.0))
        assert there[score].low == pytest.approx(-(back[score].high or 0.0))
        assert there[score].smallest == pytest.approx(back[score].smallest)


def frame(run: Predicted) -> pl.DataFrame:
    """Rows of ``test_predictions``, in no order."""
    known = {
        "video_id": list(run.ids),
        "label": run.labels,
        "true_label": run.labels,
        "predicted": run.called,
        "probability": run.probabilities,
        "threshold": [run.threshold] * len(run.ids),
    }
    names = list(schemas.TEST_PREDICTIONS.columns)
    return pl.DataFrame({name: known[name] for name in names}).sample(fraction=1, shuffle=True, seed=1)


def test_only_videos_that_both_scored_count_each_under_one_label():
    a, b = said(1), said(2)
    more = Predicted(
        "leek", (*b.ids[10:], "v999"), np.append(b.labels[10:], True), np.append(b.probabilities[10:], 1), 0.5
    )

    aligned = shared([a, more])

    assert [run.ids for run in aligned] == [a.ids[10:]] * 2
    assert (aligned[1].probabilities == b.probabilities[10:]).all()
    with pytest.raises(InvalidRows, match="radish and leek share no test video"):
        shared([a, Predicted("leek", ("x1",), np.array([True]), np.array([1.0]), 0.5)])
    with pytest.raises(InvalidRows, match="60 of 60 videos have another label"):
        shared([a, Predicted("leek", a.ids, ~a.labels, a.probabilities, 0.5)])


def test_rows_of_both_names_of_the_label_are_read():
    run = said(1)
    for name in ("label", "true_label"):
        plain = pl.DataFrame({"video_id": run.ids, name: run.labels, "probability": run.probabilities})
        assert (predicted(plain.reverse(), run="radish", threshold=0.5).labels == run.labels).all()


def pairs(results: pl.DataFrame) -> list[tuple[str, str, str]]:
    scored = {run: frame(said(place)) for place, run in enumerate(results["run"])}
    found = differences(results, test_predictions=scored)
    assert found["score"].unique().sort().to_list() == sorted(SCORES)
    return found.filter(score="auroc").select("varies", "a", "b").rows()


def test_candidates_that_differ_in_one_thing_are_paired_over_their_seeds():
    results = rows.results(
        rows.majority("garden", 0.4),
        rows.result("vid_ft", None, 0.7),
        *(rows.result("rm_ft", "leeks", 0.7, seed=seed) for seed in (0, 1)),
        rows.result("rm_ft", "roots", 0.7),
        rows.result("rm_ft", "leeks", 0.7, model="beetroot"),
        rows.result("om_ft", "roots", 0.6, target="market"),
    )

    assert pairs(results) == [
        ("model", "beetroot_rm_ft_leeks_garden", "radish_rm_ft_leeks_garden"),
        ("memes", "radish_rm_ft_leeks_garden", "radish_rm_ft_roots_garden"),
        ("strategy", "radish_rm_ft_leeks_garden", "radish_vid_ft_garden"),
        ("strategy", "radish_rm_ft_roots_garden", "radish_vid_ft_garden"),
    ]


def test_seeds_are_counted_and_folds_stay_apart():
    results = rows.results(
        *(rows.result("rm_ft", "leeks", 0.7, seed=seed, split="five", fold=1) for seed in (0, 1, 2)),
        rows.result("om_ft", "leeks", 0.7, split="five", fold=1, run="om_1_s0"),
        rows.result("om_ft", "leeks", 0.7, split="five", fold=2, run="om_2_s0"),
    )
    scored = {run: frame(said(place)) for place, run in enumerate(results["run"])}

    found = differences(results, test_predictions=scored)

    assert found.select("a", "fold", "n_items", "n_seeds_a", "n_seeds_b").unique().rows() == [("om_1", 1, N, 1, 3)]


def test_a_run_without_test_predictions_is_named():
    results = rows.results(rows.result("om_ft", "leeks", 0.6), rows.result("rm_ft", "leeks", 0.6))

    with pytest.raises(UnknownName, match="radish_om_ft_leeks_garden_s0"):
        differences(results, test_predictions={})


def test_no_runs_no_differences():
    assert differences(schemas.RESULTS.empty(), test_predictions={}).equals(schemas.DIFFERENCES.empty())
