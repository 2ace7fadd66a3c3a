import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression
from statsmodels.stats.proportion import proportion_confint

from m2v.evaluation import calibration
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.proportions import exact

N = 400


def drawn(seed: int, *, sharper: float = 1.0, n: int = N, run: str = "radish") -> Predicted:
    """Labels drawn from probabilities, which are then given with their logits ``sharper`` times as large."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, n)
    labels = generator.random(n) < 1 / (1 + np.exp(-logits))
    ids = tuple(f"v{i:04}" for i in range(n))
    return Predicted(run, ids, labels, 1 / (1 + np.exp(-sharper * logits)), 0.5)


def error_by_hand(labels: np.ndarray, probabilities: np.ndarray) -> float:
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (probabilities >= low) & ((probabilities < low + 0.1) | (low > 0.85))
        if inside.any():
            total += inside.mean() * abs(labels[inside].mean() - probabilities[inside].mean())
    return total


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 32)), min_size=1, max_size=40))
def test_errors_are_those_counted_bin_by_bin(items: list[tuple[bool, int]]):
    labels, probabilities = np.array([label for label, _ in items]), np.array([step / 32 for _, step in items])

    assert calibration.ece(labels, probabilities)[0] == pytest.approx(error_by_hand(labels, probabilities))
    assert calibration.brier(labels, probabilities) == pytest.approx(
        sklearn_metrics.brier_score_loss(labels, probabilities, pos_label=True)
    )
    counts = np.random.default_rng(0).multinomial(len(items), np.full(len(items), 1 / len(items)), size=3)
    for found, count in zip(calibration.ece(labels, probabilities, counts=counts), counts, strict=True):
        again = np.repeat(np.arange(len(items)), count)
        assert found == pytest.approx(error_by_hand(labels[again], probabilities[again]))


def test_the_temperature_is_the_one_of_a_logistic_regression_without_intercept():
    validation = drawn(1, sharper=3.0)
    logits = np.log(validation.probabilities / (1 - validation.probabilities))
    model = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-9).fit(logits[:, None], validation.labels)

    found = calibration.temperature(validation.labels, validation.probabilities)

    assert found == pytest.approx(1 / model.coef_[0, 0], rel=1e-3)
    assert found == pytest.approx(3.0, rel=0.3)
    assert calibration.tempered(np.array([0.0, 0.5, 1.0]), temperature=found)[1] == 0.5


def test_a_curve_has_the_mean_and_the_share_of_each_bin_with_an_exact_interval():
    labels = np.array([True, False, False, True])
    low, high = proportion_confint(np.array([1, 1]), np.array([3, 1]), method="beta")

    assert calibration.reliability(labels, np.array([0.21, 0.24, 0.27, 1.0])) == [
        pytest.approx(
            {"bin": 3, "n": 3, "mean_probability": 0.24, "positive_share": 1 / 3, "low": low[0], "high": high[0]}
        ),
        pytest.approx({"bin": 10, "n": 1, "mean_probability": 1.0, "positive_share": 1.0, "low": low[1], "high": 1.0}),
    ]


@given(st.integers(1, 60), st.integers(0, 60))
def test_exact_intervals_are_those_of_statsmodels(n: int, hits: int):
    hits = min(hits, n)
    low, high = proportion_confint(hits, n, alpha=0.1, method="beta")

    found = exact(hits, n, level=0.9)

    assert found == pytest.approx((0.0 if hits == 0 else low, 1.0 if hits == n else high))


def test_what_is_too_sharp_is_found_and_mended_and_what_is_right_is_left():
    runs = {
        "sharp": (drawn(1, sharper=3.0), drawn(2, sharper=3.0)),
        "right": (drawn(3, run="right"), drawn(4, run="right")),
    }

    scores, curves = calibration.calibration(runs)

    rows = {(row["run"], row["scaling"]): row for row in scores.to_dicts()}
    assert list(rows) == [(run, scaling) for run in ("right", "sharp") for scaling in calibration.SCALINGS]
    sharp, mended = rows["sharp", "none"], rows["sharp", "temperature"]
    assert sharp["ece"] > sharp["ece_by_chance"]
    assert sharp["ece_low"] > mended["ece"]
    assert mended["ece"] < mended["ece_by_chance"]
    assert mended["brier_change_high"] < 0
    assert rows["sharp", "isotonic"]["brier_change_high"] < 0
    assert mended["brier_change"] == pytest.approx(mended["brier"] - sharp["brier"])
    assert rows["right", "none"]["ece"] < rows["right", "none"]["ece_by_chance"]
    assert rows["right", "temperature"]["temperature"] == pytest.approx(1.0, abs=0.3)
    assert curves.filter(run="sharp", scaling="none")["n"].sum() == N


@pytest.mark.parametrize("n", [0, 5])
def test_without_both_labels_in_validation_nothing_is_fitted(n: int):
    ids = tuple(f"v{i}" for i in range(n))
    validation = Predicted("radish", ids, np.ones(n, dtype=bool), np.full(n, 0.7), 0.5)

    scores, _ = calibration.calibration({"radish": (validation, drawn(1))})

    assert scores.select("scaling", "n_validation", "temperature").rows() == [("none", n, None)]


def test_a_test_set_without_positives_has_a_curve_and_an_error():
    test = Predicted("radish", ("a", "b"), np.array([False, False]), np.array([0.1, 0.9]), 0.5)

    scores, curves = calibration.calibration({"radish": (drawn(1), test)})

    assert scores.filter(scaling="none").select("ece", "brier").row(0) == pytest.approx((0.5, 0.41))
    assert curves.filter(scaling="none")["positive_share"].to_list() == [0.0, 0.0]
