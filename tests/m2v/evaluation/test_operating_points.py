import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from m2v.errors import M2VError
from m2v.evaluation import operating_points as choosing
from m2v.evaluation.operating_points import Choice, Wish
from m2v.evaluation.predicted import Predicted


def said(labels: str, probabilities: list[float]) -> Predicted:
    """Videos in the order of ``labels``, where + is positive."""
    ids = tuple(f"v{i:04}" for i in range(len(labels)))
    return Predicted(
        "radish", ids, np.array([mark == "+" for mark in labels], dtype=bool), np.array(probabilities), 0.5
    )


def drawn(seed: int, *, n: int = 400, share: float = 0.4, gain: float = 2.0) -> Predicted:
    generator = np.random.default_rng(seed)
    labels = generator.random(n) < share
    logits = generator.normal(0, 1, n) + gain * labels - gain / 2
    return Predicted("radish", tuple(f"v{i:04}" for i in range(n)), labels, 1 / (1 + np.exp(-logits)), 0.5)


EIGHT = said("++-+--+-", [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish("precision", 0.9), (0.75, "not_promised")),  # the two highest are positive, the third is not
        (Wish("precision", 0.7), (0.55, "not_promised")),  # 3 of 4, which is more than 2 of 2
        (Wish("recall", 0.7), (0.55, "not_promised")),  # 3 of 4 positives, with one false alarm
        (Wish("recall", 0.9), (0.25, "not_promised")),  # all four
        (Wish("false_positive_rate", 0.3), (0.55, "not_promised")),  # 1 of 4 negatives
        (Wish("cost_ratio", 1.0), (0.75, "not_asked")),  # two misses; no other threshold costs less than 2
        (Wish("cost_ratio", 5.0), (0.25, "not_asked")),  # three false alarms cost less than one miss
    ],
)
def test_thresholds_by_hand(wish: Wish, expected: tuple[float, str]):
    found = choosing.chosen(EIGHT, wish)

    assert (found.threshold, found.promise) == (pytest.approx(expected[0]), expected[1])


def test_what_no_threshold_does_is_out_of_reach():
    worst = said("-+", [0.9, 0.1])

    assert choosing.chosen(worst, Wish("precision", 0.9)) == Choice(None, "out_of_reach")
    assert choosing.chosen(worst, Wish("cost_ratio", 0.1)) == Choice(None, "out_of_reach")  # cheapest: flag nothing
    for one_label in (said("++", [0.9, 0.1]), said("--", [0.9, 0.1]), said("", [])):
        assert choosing.chosen(one_label, Wish("recall", 0.9)) == Choice(None, "out_of_reach")


@pytest.mark.parametrize("goal", ["recall", "false_positive_rate", "precision"])
def test_promises_are_kept_by_nineteen_of_twenty_validation_sets(goal: str):
    truth = drawn(0, n=200_000)
    wish = {"recall": Wish(goal, 0.8), "false_positive_rate": Wish(goal, 0.2), "precision": Wish(goal, 0.7)}[goal]
    choices = [choosing.chosen(drawn(seed, n=300), wish) for seed in range(1, 201)]
    promised = [choice.threshold for choice in choices if choice.promise == "promised"]
    assert len(promised) > 100

    values = [choosing.verified(truth, threshold, prevalence=None)[goal] for threshold in promised]
    n_broken = sum(value > wish.value if goal == "false_positive_rate" else value < wish.value for value in values)

    # Were 5 % of them broken, fewer than 1 in 10,000 such tests would see as many.
    assert n_broken <= binom.ppf(0.9999, len(values), 0.05)


def test_a_promise_takes_as_many_videos_as_is_said():
    assert choosing.needed(Wish("recall", 0.9)).startswith("29 positive videos")  # .9 ** 29 < .05 <= .9 ** 28
    assert choosing.needed(Wish("false_positive_rate", 0.05)).startswith("59 negative videos")
    assert choosing.needed(Wish("precision", 0.9)).startswith("51 videos called positive")  # a tenth of the risk
    for n, promise in ((28, "not_promised"), (29, "promised")):
        validation = said("+" * n + "-", [*np.linspace(0.9, 0.5, n), 0.1])
        choice = choosing.chosen(validation, Wish("recall", 0.9))
        assert choice.promise == promise
        said_of_it = choosing.sentence(Wish("recall", 0.9), choice, validation)
        assert said_of_it.startswith("Promised" if n == 29 else "Cannot be promised with 29 validation videos (28 pos")


def test_a_prevalence_changes_precision_and_load_and_no_other_rate():
    # Of 100 positives 80 are flagged, of 100 negatives 10.
    test = said("+" * 100 + "-" * 100, [0.9] * 80 + [0.1] * 20 + [0.9] * 10 + [0.1] * 90)

    own, rare = (choosing.verified(test, 0.5, prevalence=prevalence) for prevalence in (None, 0.02))

    assert own["precision"] == pytest.approx(80 / 90)
    assert own["flagged_per_10000"] == pytest.approx(4500)
    assert rare["precision"] == pytest.approx(0.02 * 0.8 / (0.02 * 0.8 + 0.98 * 0.1))  # Bayes
    assert rare["flagged_per_10000"] == pytest.approx(10_000 * (0.02 * 0.8 + 0.98 * 0.1))
    for name in ("recall", "false_positive_rate"):
        assert [rare[f"{name}{end}"] for end in ("", "_low", "_high")] == [
            own[f"{name}{end}"] for end in ("", "_low", "_high")
        ]
    same = choosing.verified(test, 0.5, prevalence=0.5)
    assert same["precision"] == pytest.approx(own["precision"])
    assert same["precision_low"] < own["precision_low"] < own["precision_high"] < same["precision_high"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.floats(0.001, 0.999))
def test_intervals_hold_their_point(n_positive: int, n_negative: int, n_true: int, n_false: int, prevalence: float):
    n_true, n_false = min(n_true, n_positive), min(n_false, n_negative)
    for at in (None, prevalence):
        point, low, high = choosing.load(n_true, n_false, n_positive, n_negative, prevalence=at)
        assert 0 <= low <= point + 1e-9
        assert point <= high + 1e-9 <= 10_000 + 1e-6
        if n_true + n_false:
            values = choosing.precision(n_true, n_false, n_positive, n_negative, prevalence=at)
            assert 0 <= values[1] <= values[0] + 1e-12
            assert values[0] <= values[2] + 1e-12 <= 1 + 1e-9


def test_a_test_set_without_positives_says_what_it_can():
    test = said("----", [0.9, 0.1, 0.2, 0.3])

    row = choosing.verified(test, 0.5, prevalence=None)
    assert (row["recall"], row["false_positive_rate"], row["precision"]) == (None, 0.25, 0.0)
    row = choosing.verified(test, 0.5, prevalence=0.02)
    assert (row["precision"], row["flagged_per_10000"]) == (None, None)
    assert choosing.verified(test, 0.95, prevalence=None)["precision"] is None  # nothing is flagged
    bands = choosing.review_bands({"radish": (EIGHT, test)}, error=0.4, prevalence=0.02)
    assert bands["per_10000"].null_count() == 3


def test_bands_leave_and_act_on_at_most_the_error_on_average():
    rng = np.random.default_rng(3)
    left, acted = [], []
    for seed in range(400):
        # Nine positives can bound an error of .1, eight could not.
        validation, new = drawn(seed, n=40, gain=rng.uniform(0, 3)), drawn(seed + 10_000, n=40, gain=0)
        pooled = np.concatenate([validation.probabilities, new.probabilities])
        shuffled = rng.permutation(len(pooled))
        labels = rng.random(len(pooled)) < 0.4
        halves = [
            Predicted("radish", tuple(map(str, half)), labels[half], pooled[half], 0.5)
            for half in (shuffled[:40], shuffled[40:])
        ]
        low, high = choosing.conformal(halves[0], error=0.1)
        assert low <= high
        new = halves[1]
        left.append((new.probabilities[new.labels] < low).mean())
        acted.append((new.probabilities[~new.labels] >= high).mean())

    assert np.mean(left) < 0.1
    assert np.mean(acted) < 0.1


def test_bands_by_hand():
    validation = said("++++" + "----", [0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.2, 0.1])
    # An error of .2 leaves one positive of four below, and one negative of four from there on.
    low, high = choosing.conformal(validation, error=0.2)
    assert low == pytest.approx(0.2)
    assert high == pytest.approx(0.6)
    assert high > 0.6

    rows = choosing.review_bands({"radish": (validation, EIGHT)}, error=0.2).to_dicts()
    assert [(row["band"], row["n_positive"], row["n_negative"]) for row in rows] == [
        ("leave", 0, 0),
        ("review", 2, 3),
        ("act", 2, 1),
    ]
    assert sum(row["per_10000"] for row in rows) == pytest.approx(10_000)


def test_too_few_videos_bound_nothing():
    validation = said("++++" + "----", [0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.2, 0.1])

    rows = choosing.review_bands({"radish": (validation, EIGHT)}, error=0.1).to_dicts()

    assert {(row["leave_below"], row["act_from"]) for row in rows} == {(None, None)}
    assert [row["per_10000"] for row in rows] == [0, 10_000, 0]


@pytest.mark.parametrize(("goal", "value"), [("precision", 1.0), ("recall", 0.0), ("cost_ratio", 0.0), ("recall", 90)])
def test_a_wish_that_means_nothing_is_refused(goal: str, value: float):
    with pytest.raises(M2VError, match=goal.replace("_", " ")):
        Wish(goal, value)


def test_an_error_that_means_nothing_is_refused():
    with pytest.raises(M2VError, match="between 0 and 1"):
        choosing.conformal(EIGHT, error=1.0)


def test_without_validation_every_wish_is_out_of_reach():
    table = choosing.operating_points({"radish": (said("", []), EIGHT)})

    assert table["promise"].unique().to_list() == ["out_of_reach"]
    assert table["threshold"].null_count() == 4
    choice = Choice(None, "out_of_reach")
    assert "no validation videos" in choosing.sentence(Wish("recall", 0.9), choice, said("", []))
