"""How many positives there are where labels shift, and what scores are worth there."""

import numpy as np
import pytest

from m2v.evaluation import checks, prevalence
from m2v.evaluation.predicted import Predicted


def said(n_hit: int, n_missed: int, n_alarm: int, n_spared: int) -> Predicted:
    """A run that calls so many positives and negatives positive, and so many not."""
    labels = np.repeat([True, True, False, False], [n_hit, n_missed, n_alarm, n_spared])
    called = np.repeat([0.9, 0.1, 0.9, 0.1], [n_hit, n_missed, n_alarm, n_spared])
    ids = tuple(f"v{number:04}" for number in range(len(labels)))
    return Predicted("radish", ids, labels, called, 0.5)


def test_what_is_called_positive_is_corrected_by_the_errors_on_validation() -> None:
    # Recall .8 and false alarms .1 on validation; of 1,000 test videos 170 are called, so (.17 - .1) / (.8 - .1) = .1.
    [row] = prevalence.estimates({"radish": (said(80, 20, 10, 90), said(80, 20, 90, 810))}).to_dicts()
    assert (row["called"], row["observed"]) == (pytest.approx(0.17), pytest.approx(0.1))
    assert row["estimate"] == pytest.approx(0.1)
    assert row["estimate_low"] < 0.1 < row["estimate_high"]


def test_intervals_cover_the_share_under_label_shift() -> None:
    generator = np.random.default_rng(7)
    shares, covered = (0.02, 0.1, 0.3), []
    for share in np.repeat(shares, 100):
        hit, alarm = generator.binomial(40, 0.85), generator.binomial(60, 0.15)
        n_positive = generator.binomial(500, share)
        test_hit, test_alarm = generator.binomial(n_positive, 0.85), generator.binomial(500 - n_positive, 0.15)
        test = said(test_hit, n_positive - test_hit, test_alarm, 500 - n_positive - test_alarm)
        runs = {"radish": (said(hit, 40 - hit, alarm, 60 - alarm), test)}
        [row] = prevalence.estimates(runs, seed=int(generator.integers(1_000_000))).to_dicts()
        covered.append(row["estimate_low"] <= share <= row["estimate_high"])
    # 95 % are promised; 300 draws scatter by 1.3 points.
    assert np.mean(covered) >= 0.91


@pytest.mark.parametrize(
    "validation",
    [said(0, 0, 3, 9), said(5, 1, 0, 0), said(1, 9, 9, 1), said(2, 2, 2, 2)],
    ids=["no-positives", "no-negatives", "worse-than-chance", "chance"],
)
def test_a_run_that_tells_nothing_has_no_estimate(validation: Predicted) -> None:
    rows = prevalence.estimates({"radish": (validation, said(3, 1, 1, 3))})
    assert rows.select("estimate", "estimate_low", "estimate_high").row(0) == (None, None, None)
    [found] = checks.prevalence_estimates(rows, variant="vegetables")
    assert not found.is_fine
    assert found.summary.startswith("0 of 1 runs can say")


def test_precision_falls_where_positives_are_rarer_as_bayes_says() -> None:
    test = said(45, 5, 10, 90)  # recall .9, false alarms .1
    rows = prevalence.scores({"radish": (test, test)}, prevalence=0.03)
    at = {row["prevalence"]: row for row in rows.to_dicts()}
    assert list(at) == [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5]
    assert at[0.02]["precision"] == pytest.approx(0.018 / (0.018 + 0.098))
    assert at[0.5]["precision"] == pytest.approx(0.9)
    assert at[0.5]["macro_f1"] == pytest.approx(0.9)
    for row in at.values():
        assert row["precision_low"] < row["precision"] < row["precision_high"]


def test_without_a_flag_there_is_no_precision_and_without_a_label_no_score() -> None:
    silent, onesided = said(0, 10, 0, 10), said(5, 5, 0, 0)
    rows = prevalence.scores({"silent": (silent, silent), "onesided": (onesided, onesided)})
    assert set(rows["run"]) == {"silent"}
    assert rows["precision"].null_count() == rows.height
    assert not rows["macro_f1"].is_nan().any()
