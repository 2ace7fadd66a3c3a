import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2v.evaluation import intervals as bootstrap
from m2v.evaluation import small_samples
from m2v.evaluation.scores import scores
from m2v.evaluation.small_samples import auroc, f1, formulas, intervals, is_few, wilson


def test_four_positives_that_were_all_found_are_no_certainty():
    labels = np.arange(40) < 4
    probabilities = np.where(labels, 0.9, 0.1)

    found = intervals(labels, probabilities, threshold=0.5, seed=0)

    assert bootstrap.intervals(labels, probabilities, threshold=0.5, seed=0)["recall"] == (1.0, 1.0)
    # Wilson's interval of 4 of 4 begins at 1 / (1 + z² / 4).
    assert found["recall"] == pytest.approx((1 / (1 + small_samples.Z**2 / 4), 1.0))
    assert all(high == 1.0 and low < 0.95 for low, high in found.values() if low is not None)


@pytest.mark.parametrize(("n_positive", "is_small"), [(40, True), (41, False), (159, False), (160, True)])
def test_forty_items_of_either_label_are_few(n_positive, is_small):
    assert is_few(n_positive, 200) == is_small


def test_many_items_are_resampled_unless_all_resamples_agree():
    labels = np.arange(200) % 2 == 0
    probabilities = np.where(labels, 0.9, 0.1)
    probabilities[1::10] = 0.8  # false alarms; no positive is missed

    found = intervals(labels, probabilities, threshold=0.5, seed=0)
    resampled = bootstrap.intervals(labels, probabilities, threshold=0.5, seed=0)

    assert resampled["recall"] == (1.0, 1.0)
    assert found["recall"] == wilson(100, 100)
    assert found["macro_f1"] == resampled["macro_f1"]


def test_f1_follows_from_its_share():
    low, high = wilson(6, 10)

    assert f1(6, 4) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_a_share_of_nothing_may_be_anything():
    labels = np.zeros(5, dtype=bool)

    found = formulas(labels, np.full(5, 0.1), threshold=0.5)

    assert (found["recall"], found["precision"], found["f1"]) == ((0.0, 1.0),) * 3
    assert found["auroc"] == (None, None)


def test_the_ends_of_auroc_are_z_standard_errors_away():
    labels = np.array([True] * 4 + [False] * 6)
    probabilities = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.5, 0.4, 0.2, 0.1, 0.0])
    area = 21 / 24  # the positive item at .3 lies below three negative ones

    for end in auroc(labels, probabilities):
        assert end is not None
        spread = 1 + 4 * ((1 - end) / (2 - end) + end / (1 + end))
        assert abs(area - end) == pytest.approx(small_samples.Z * np.sqrt(end * (1 - end) * spread / 24), abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])), min_size=1, max_size=60))
def test_an_interval_holds_its_score_and_lies_between_0_and_1(items):
    labels, probabilities = (np.array(values) for values in zip(*items, strict=True))

    points, ends = (of(labels, probabilities, threshold=0.5) for of in (scores, formulas))

    for score, (low, high) in ends.items():
        if points[score] is None:
            assert (low, high) == (None, None)
        else:
            assert -1e-12 <= low <= points[score] + 1e-12
            assert points[score] - 1e-12 <= high <= 1 + 1e-12


@pytest.mark.parametrize(("n_positive", "n_items", "shift"), [(4, 40, 2.5), (10, 60, 1.5)])
def test_the_interval_of_auroc_covers_as_often_as_it_says(n_positive, n_items, shift):
    generator = np.random.default_rng(0)
    labels = np.arange(n_items) < n_positive
    # Of two normal distributions, shift apart, a pair is in order with the chance Phi(shift / sqrt 2).
    true_area = {2.5: 0.961, 1.5: 0.856}[shift]

    ends = [auroc(labels, generator.normal(size=n_items) + shift * labels) for _ in range(300)]

    assert sum(low <= true_area <= high for low, high in ends) / 300 >= 0.92  # the bootstrap: .73 and .91
