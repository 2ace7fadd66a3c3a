"""The one training loop of heads on frozen features."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from m2v.detectors import selection
from m2v.detectors.fitting import batches, states
from m2v.detectors.fitting.entry import Fitted
from m2v.detectors.fitting.head import Classifier, Seen
from m2v.detectors.fitting.inputs import HeadInputs
from m2v.detectors.fitting.states import Standing
from m2v.errors import InvalidRows
from m2v.programs.progress import Report

# Items that are scored at once.
BATCH = 512
SCORES: Mapping[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "auroc": selection.auroc,
    "average_precision": selection.average_precision,
}


@dataclass(frozen=True, eq=False)
class Examples:
    """Items with their labels.

    Attributes:
        labels: (items,), bool.
    """

    inputs: HeadInputs
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Scored:
    """What a head says of items, in their order.

    Attributes:
        probabilities: Of the positive label, (items,), float64.
        shares: (items, modalities), float32, if the head says so.
        embeddings: (items, dimensions), float32, if it has any.
    """

    probabilities: np.ndarray
    shares: np.ndarray | None = None
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Fit:
    """A finished training, whose weights the classifier has.

    Attributes:
        threshold: With the best macro-F1 on the validation split; 0.5 where nothing is selected.
        selection: The epoch, and how well it did on the validation split.
        seconds: In training, over all starts.
    """

    threshold: float
    selection: dict[str, float | int | None]
    seconds: float


class Objective(Protocol):
    """What is made small."""

    def begin(self, classifier: Classifier) -> None:
        """Look at the whole training split before an epoch."""
        ...

    def loss(self, seen: Seen, labels: Tensor, places: np.ndarray) -> Tensor:
        """Return a scalar, the mean over the batch's items.

        Args:
            labels: (items,), int64.
            places: Of the batch's items among those to train on, (items,).
        """
        ...


class CrossEntropy:
    """Cross entropy, by weights of the two classes, and the head's own penalty."""

    def __init__(self, entry: Fitted, labels: np.ndarray) -> None:
        self.weights = torch.ones(2)
        if entry.class_weights == "balanced":
            counts = np.bincount(labels, minlength=2)
            self.weights = torch.from_numpy(len(labels) / (2 * counts)).float()

    def begin(self, classifier: Classifier) -> None:
        """Do nothing: each item is its own."""

    def loss(self, seen: Seen, labels: Tensor, places: np.ndarray) -> Tensor:
        """Return the weighted mean, as scikit-learn's ``balanced`` has it."""
        loss = nn.functional.cross_entropy(seen.logits, labels, weight=self.weights.to(labels.device))
        return loss if seen.penalty is None else loss + seen.penalty


def fit(
    classifier: Classifier,
    entry: Fitted,
    train: Examples,
    *,
    validation: Examples | None,
    seed: int,
    out: Path,
    save_steps: int,
    report: Report,
    objective: Objective | None = None,
) -> Fit:
    """Train by AdamW; keep the epoch with the best score on the validation split, without one the last.

    The state is kept after the epoch in which ``save_steps`` steps are reached. What goes on from it ends with the
    same bits on the same kind of machine: orders and dropout are drawn from seed and epoch.

    Args:
        classifier: With its first weights; has the chosen ones afterwards.
        out: Where states are kept.

    Raises:
        InvalidRows: A class has no example to train on.
    """
    _refuse_one_class(entry, train.labels)
    began = time.monotonic()
    objective = objective or CrossEntropy(entry, train.labels)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=entry.learning_rate, weight_decay=entry.weight_decay)
    standing, best = states.restore(out, model=classifier, optimizer=optimizer) or (Standing(), {})
    before, n_saved = standing.seconds, standing.n_steps
    selects = validation is not None and len(np.unique(validation.labels)) == 2
    while standing.epoch < entry.epochs:
        if selects and standing.best_epoch and standing.epoch - standing.best_epoch >= entry.patience:
            break
        epoch = standing.epoch + 1
        loss = _epoch(classifier, entry, train, objective, optimizer, epoch=epoch, seed=seed, n_steps=standing.n_steps)
        n_steps = standing.n_steps + math.ceil(len(train.labels) / entry.batch_size)
        standing = replace(standing, epoch=epoch, n_steps=n_steps, seconds=before + time.monotonic() - began)
        score = 0.0
        if selects and validation:
            score = SCORES[entry.select_by](validation.labels, score_all(classifier, validation.inputs).probabilities)
            assert score is not None
        if not selects or score > standing.best_score:
            standing = replace(standing, best_epoch=epoch, best_score=score)
            best = {name: tensor.detach().clone() for name, tensor in classifier.state_dict().items()}
        if standing.n_steps - n_saved >= save_steps and epoch < entry.epochs:
            states.save(out, standing, model=classifier, optimizer=optimizer, best=best)
            n_saved = standing.n_steps
        report.step(epoch, entry.epochs, unit="epochs", loss=loss, **({entry.select_by: score} if selects else {}))
    classifier.load_state_dict(best)
    return _selected(classifier, standing, validation)


def score_all(classifier: Classifier, inputs: HeadInputs) -> Scored:
    """Return what the classifier says of every item."""
    device = next(classifier.parameters()).device.type
    classifier.eval()
    parts = []
    with torch.inference_mode(), one_thread():
        # Of no items at all one batch of none, which has the right shapes.
        for start in range(0, max(inputs.n_items, 1), BATCH):
            places = np.arange(start, min(start + BATCH, inputs.n_items))
            parts.append(classifier(batches.collate(inputs, places, device=device)))
    probabilities = torch.cat([part.logits for part in parts]).double().softmax(dim=1)[:, 1]
    shares, embeddings = (
        None if rows[0] is None else torch.cat(rows).cpu().numpy()
        for rows in ([part.shares for part in parts], [part.embedding for part in parts])
    )
    return Scored(probabilities.cpu().numpy(), shares, embeddings)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch work in one thread within the block.

    The last digits of a product depend on how many threads share it, and heads must not depend on a machine's cores.
    Matrices of heads are so small that a second thread gains little, and costs much where cores are busy.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def drawn_from(*seeds: int) -> Iterator[int]:
    """Draw torch's random numbers from these seeds within the block, and leave the others as they were."""
    [seed] = np.random.SeedSequence(seeds).generate_state(1).tolist()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield seed


def _epoch(
    classifier: Classifier,
    entry: Fitted,
    train: Examples,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    *,
    epoch: int,
    seed: int,
    n_steps: int,
) -> float:
    """Train on every item once; return the mean loss."""
    device = next(classifier.parameters()).device.type
    labels = torch.from_numpy(train.labels.astype(np.int64)).to(device)
    per_epoch = math.ceil(len(train.labels) / entry.batch_size)
    losses = []
    with drawn_from(seed, epoch) as drawn, one_thread():
        objective.begin(classifier)
        classifier.train()
        order = np.random.default_rng(drawn).permutation(len(train.labels))
        for number in range(per_epoch):
            places = order[number * entry.batch_size : (number + 1) * entry.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(entry, step=n_steps + number, per_epoch=per_epoch)
            seen = classifier(batches.collate(train.inputs, places, device=device))
            loss = objective.loss(seen, labels[torch.from_numpy(places).to(device)], places)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), entry.max_gradient_norm)
            optimizer.step()
            losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def learning_rate(entry: Fitted, *, step: int, per_epoch: int) -> float:
    """Return the rate of a step, counted from 0: rising through the warm-up, then constant, or a half cosine to 0."""
    n_warmup, n_steps = entry.warmup_epochs * per_epoch, entry.epochs * per_epoch
    if step < n_warmup:
        return entry.learning_rate * (step + 1) / n_warmup
    if entry.schedule == "constant":
        return entry.learning_rate
    share = (step - n_warmup) / max(1, n_steps - n_warmup)
    return entry.learning_rate * (1 + math.cos(math.pi * share)) / 2


def _selected(classifier: Classifier, standing: Standing, validation: Examples | None) -> Fit:
    chosen: dict[str, float | int | None] = {"epoch": standing.best_epoch}
    threshold = 0.5
    if validation is not None:
        probabilities = score_all(classifier, validation.inputs).probabilities
        threshold = selection.threshold(validation.labels, probabilities)
        chosen["validation_auroc"] = selection.auroc(validation.labels, probabilities)
    return Fit(threshold, chosen, standing.seconds)


def _refuse_one_class(entry: Fitted, labels: np.ndarray) -> None:
    n_positive = int(labels.sum())
    if n_positive in {0, len(labels)}:
        lacking = "negative" if n_positive else "positive"
        raise InvalidRows(
            f"{entry.name}: none of the {len(labels):,} items to train on is {lacking}, so that nothing can be told "
            "apart. Look at the label's mapping, the split and the rejects of this training set."
        )
