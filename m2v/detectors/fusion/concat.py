"""The simplest head that fuses modalities: features side by side, one hidden layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from m2v.detectors import selection
from m2v.detectors.fusion.entry import Fusion
from m2v.detectors.fusion.inputs import FusionInputs
from m2v.programs.progress import Report


@dataclass(frozen=True, eq=False)
class Concat:
    """A trained head.

    Attributes:
        tensors: ``mean:<name>`` and ``deviation:<name>`` of each modality; weights ``w1`` (inputs, hidden), ``b1``,
            ``w2`` (hidden, 1), ``b2``; float32.
        threshold, selection: As they were selected on the validation split.
    """

    tensors: Mapping[str, np.ndarray]
    threshold: float
    selection: Mapping[str, float | int | None]

    def probabilities(self, inputs: FusionInputs) -> np.ndarray:
        """Return the positive label's probability, (items,), float64."""
        w1, b1, w2, b2 = (self.tensors[name].astype(np.float64) for name in ("w1", "b1", "w2", "b2"))
        hidden = np.maximum(_matrix(inputs, self.tensors) @ w1 + b1, 0)
        return 1 / (1 + np.exp(-(hidden @ w2 + b2)[:, 0]))


def fit(
    entry: Fusion,
    train: FusionInputs,
    labels: np.ndarray,
    *,
    validation: tuple[FusionInputs, np.ndarray] | None,
    seed: int,
    report: Report,
) -> Concat:
    """Train by scikit-learn's multilayer perceptron with balanced classes; keep the epoch with the best AUROC.

    Each modality is standardised by the training items that have it. Of an item that lacks one the head is told so, by
    an input of its own, and the modality's own inputs are at their means: nothing is taken for a feature that is none.

    Args:
        labels: (items,), bool, of both classes.
        validation: The same two for the validation split; None keeps the last epoch.
    """
    from sklearn.neural_network import MLPClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    scale = _scale(train)
    matrix, weights = _matrix(train, scale), compute_sample_weight("balanced", labels)
    network = MLPClassifier(
        (entry.hidden,),
        alpha=entry.alpha,
        batch_size=min(entry.batch_size, len(labels)),  # pyright: ignore[reportArgumentType] (its default is a word)
        learning_rate_init=entry.learning_rate,
        random_state=seed,
    )
    best: Concat | None = None
    since = 0
    for epoch in range(1, entry.epochs + 1):
        network.partial_fit(matrix, labels, classes=[False, True], sample_weight=weights)
        report.step(epoch, entry.epochs, unit="epochs", loss=network.loss_)
        head = Concat({**scale, **_weights(network)}, 0.5, {"epoch": epoch})
        if validation is None:
            best = head
            continue
        probabilities = head.probabilities(validation[0])
        auroc = selection.auroc(validation[1], probabilities)
        if best is None or (auroc or 0) > (best.selection["validation_auroc"] or 0):
            threshold = selection.threshold(validation[1], probabilities)
            best, since = Concat(head.tensors, threshold, {"epoch": epoch, "validation_auroc": auroc}), 0
        else:
            since += 1
            if since >= entry.patience:
                break
    assert best
    return best


def _scale(train: FusionInputs) -> dict[str, np.ndarray]:
    """Return mean and deviation of each modality, over the items that have it."""
    scale = {}
    for number, (name, values) in enumerate(train.values.items()):
        seen = values[train.present[:, number]].astype(np.float64)
        deviation = seen.std(0)
        scale[f"mean:{name}"] = seen.mean(0).astype(np.float32)
        # A dimension that never varies says nothing.
        scale[f"deviation:{name}"] = np.where(deviation > 0, deviation, 1).astype(np.float32)
    return scale


def _matrix(inputs: FusionInputs, scale: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return standardised features side by side, then which modalities are there: (items, inputs), float64."""
    parts = []
    for number, (name, values) in enumerate(inputs.values.items()):
        scaled = (values.astype(np.float64) - scale[f"mean:{name}"]) / scale[f"deviation:{name}"]
        parts.append(np.where(inputs.present[:, number, None], scaled, 0.0))
    return np.concatenate([*parts, inputs.present.astype(np.float64)], axis=1)


def _weights(network: Any) -> dict[str, np.ndarray]:
    """Return the layers of scikit-learn's network."""
    names = [("w1", network.coefs_[0]), ("b1", network.intercepts_[0])]
    names += [("w2", network.coefs_[1]), ("b2", network.intercepts_[1])]
    return {name: values.astype(np.float32) for name, values in names}
