"""A linear head on frozen features: trained by logistic regression, or read off the label's two definitions."""

from dataclasses import dataclass

import numpy as np

from m2v.detectors.probe.entry import Probe
from m2v.detectors.selection import auroc, threshold

# Differences of cosines are small; the factor only spreads them over (0, 1) and changes no order. CLIP's logit scale
# ends at 100, which would put every probability of a text encoder at 0 or 1.
ZERO_SHOT_SCALE = 10.0


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier.

    Attributes:
        weights: (dimensions,), float64.
        selection: What was chosen on the validation split and how well it did there; empty in paper mode.
    """

    weights: np.ndarray
    bias: float
    threshold: float
    selection: dict[str, float | None]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the positive label's probability, (items,), float64, for features (items, dimensions)."""
        return 1 / (1 + np.exp(-(features.astype(np.float64) @ self.weights + self.bias)))


def fit(
    features: np.ndarray, labels: np.ndarray, *, probe: Probe, validation: tuple[np.ndarray, np.ndarray] | None
) -> Head:
    """Logistic regression with balanced classes; validation AUROC chooses C, validation macro-F1 the threshold.

    Args:
        features: (items, dimensions), float32.
        labels: (items,), bool.
        validation: The same two for the validation split; None for paper mode, where nothing is selected.
    """
    if validation is None:
        return _fitted(features, labels, c=probe.paper_c, selection={})
    heads = [_fitted(features, labels, c=c, selection={"c": c}) for c in sorted(probe.c_grid)]
    # max keeps the first of equals, which is the strongest regularisation.
    return max(
        (_selected(head, validation) for head in heads), key=lambda head: head.selection["validation_auroc"] or 0
    )


def zero_shot(positive: np.ndarray, negative: np.ndarray, *, validation: tuple[np.ndarray, np.ndarray] | None) -> Head:
    """Similarity to the positive definition less similarity to the negative one, as a head.

    Args:
        positive, negative: Embeddings of the two definitions, (dimensions,), unit length, as are the features.
        validation: Chooses the threshold; None leaves it at 0.5.
    """
    weights = ZERO_SHOT_SCALE * (positive.astype(np.float64) - negative.astype(np.float64))
    head = Head(weights, bias=0.0, threshold=0.5, selection={})
    return head if validation is None else _selected(head, validation)


def _fitted(features: np.ndarray, labels: np.ndarray, *, c: float, selection: dict[str, float | None]) -> Head:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, class_weight="balanced", max_iter=2000).fit(features, labels)
    return Head(model.coef_[0].astype(np.float64), float(model.intercept_[0]), threshold=0.5, selection=selection)


def _selected(head: Head, validation: tuple[np.ndarray, np.ndarray]) -> Head:
    features, labels = validation
    probabilities = head.probabilities(features)
    selection = {**head.selection, "validation_auroc": auroc(labels, probabilities)}
    return Head(head.weights, head.bias, threshold(labels, probabilities), selection)
