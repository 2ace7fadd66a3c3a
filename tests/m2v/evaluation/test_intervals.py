import numpy as np
import pytest

from m2v import schemas
from m2v.evaluation.intervals import intervals, resampled_scores, resamples
from m2v.evaluation.scores import scores

THRESHOLD = 0.4


def items(n_items: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that go with them somewhat; rounded, so that some are equal."""
    generator = np.random.default_rng(seed)
    labels = generator.random(n_items) < 0.35
    return labels, (0.3 * labels + 0.7 * generator.random(n_items)).round(2)


@pytest.mark.parametrize("n_items", [2, 5, 60])  # of two or five items, many resamples hold one label only
def test_scores_of_resamples_are_those_of_a_loop_with_scikit_learn(n_items):
    labels, probabilities = items(n_items, seed=1)
    labels[:2] = True, False
    (counts,) = resamples(n_items, n_resamples=200, seed=2)

    fast = resampled_scores(labels, probabilities, threshold=THRESHOLD, counts=counts)

    drawn = [np.repeat(np.arange(n_items), row.astype(int)) for row in counts]
    slow = [scores(labels[chosen], probabilities[chosen], threshold=THRESHOLD) for chosen in drawn]
    for score in schemas.SCORES:
        expected = [np.nan if each[score] is None else each[score] for each in slow]
        np.testing.assert_allclose(fast[score], expected, atol=1e-12, err_msg=score)


def test_every_resample_draws_as_many_items_as_there_are():
    (counts,) = resamples(30, n_resamples=500, seed=0)

    assert counts.shape == (500, 30)
    assert set(counts.sum(axis=1)) == {30.0}
    assert counts.mean(axis=0) == pytest.approx(np.ones(30), abs=0.2)


def test_an_interval_is_the_middle_95_percent_of_the_resamples():
    labels, probabilities = items(60, seed=3)
    (counts,) = resamples(60, n_resamples=1000, seed=4)
    values = resampled_scores(labels, probabilities, threshold=THRESHOLD, counts=counts)["macro_f1"]

    low, high = intervals(labels, probabilities, threshold=THRESHOLD, seed=4, n_resamples=1000)["macro_f1"]

    assert low is not None
    assert high is not None
    assert ((values < low).sum(), (values > high).sum()) == pytest.approx((25, 25), abs=2)  # some are equal


def test_an_interval_of_accuracy_agrees_with_the_normal_approximation():
    labels = np.arange(220) % 2 == 0
    probabilities = np.where(np.arange(220) % 5 == 0, ~labels, labels).astype(float)  # four in five are right

    low, high = intervals(labels, probabilities, threshold=0.5, seed=0)["accuracy"]

    half_width = 1.96 * np.sqrt(0.8 * 0.2 / 220)
    assert (low, high) == pytest.approx((0.8 - half_width, 0.8 + half_width), abs=0.008)


def test_resamples_with_one_label_are_left_out_of_the_area_under_the_curve():
    # One positive item, above all negatives: whenever it is drawn the area is 1, and in 35 % it is not drawn.
    labels, probabilities = np.array([True, False, False, False]), np.array([0.9, 0.1, 0.2, 0.3])

    assert intervals(labels, probabilities, threshold=0.5, seed=0)["auroc"] == (1.0, 1.0)


def test_one_label_has_no_area_under_the_curve():
    ends = intervals(np.array([True, True]), np.array([0.9, 0.1]), threshold=0.5, seed=0)

    assert ends["auroc"] == (None, None)
    assert ends["accuracy"] == (0.0, 1.0)


def test_blocks_change_nothing():
    (whole,) = resamples(40, n_resamples=50, seed=6)
    blocks = list(resamples(40, n_resamples=50, seed=6, counts_at_once=40 * 7))

    assert [len(block) for block in blocks] == [7] * 7 + [1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
