"""The threshold and the score that are chosen on the validation split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from m2v.detectors.selection import auroc, threshold


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9], 0.3),  # what separates the classes
        ([0, 1], [0.2, 0.6], 0.5),  # 0.4 and 0.5 are equally good: the nearer to 0.5
        ([0, 0, 1], [0.9, 0.92, 0.96], 0.94),  # above all negatives, far from 0.5
        ([1, 0], [0.2, 0.8], 0.5),  # nothing helps
        ([1, 1], [0.2, 0.8], 0.5),  # one class only
        ([0, 1, 1], [0.5, 0.5, 0.5], 0.5),  # one probability only
    ],
)
def test_threshold(labels: list[int], probabilities: list[float], expected: float) -> None:
    assert threshold(np.array(labels, dtype=bool), np.array(probabilities)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=30))
def test_no_other_threshold_does_better(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([number / 20 for _, number in rows])

    def macro_f1(at: float) -> float:
        return float(f1_score(labels, probabilities >= at, average="macro", labels=[False, True], zero_division=0))  # pyright: ignore[reportArgumentType]

    found = macro_f1(threshold(labels, probabilities))
    if labels.any() and not labels.all():
        inside = np.unique(probabilities)
        assert found >= max([macro_f1(0.5), *map(macro_f1, (inside[1:] + inside[:-1]) / 2)]) - 1e-9


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    labels = np.array([True, True, False, False])
    assert auroc(labels, np.array([0.9, 0.3, 0.5, 0.1])) == 0.75
    assert auroc(labels, np.array([0.9, 0.5, 0.5, 0.1])) == 0.875  # a tie is half a pair
    assert auroc(labels[:2], np.array([0.9, 0.3])) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60))
def test_auroc_is_scikit_learns_own(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([number / 20 for _, number in rows])
    if len(set(labels)) < 2:
        assert auroc(labels, probabilities) is None
    else:
        assert auroc(labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
