"""What a run said of items, as arrays: the one place that knows how ``test_predictions`` calls its columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from m2v.errors import InvalidRows

# What the label's column is called; versions of earlier code have the second.
LABELS = ("true_label", "label")


@dataclass(frozen=True, eq=False)
class Predicted:
    """Items that a run gave probabilities to.

    Attributes:
        ids: Of the items, sorted and unique.
        labels: (items,), bool.
        probabilities: (items,), float64, of the positive label.
        threshold: From this probability on, an item is called positive.
    """

    run: str
    ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    threshold: float

    @property
    def called(self) -> np.ndarray:
        """Whether each item is called positive, (items,), bool."""
        return self.probabilities >= self.threshold

    @property
    def is_right(self) -> np.ndarray:
        """Whether each item is called by its label, (items,), bool."""
        return self.called == self.labels

    def only(self, ids: Sequence[str]) -> "Predicted":
        """Return these of its items, in their order."""
        if tuple(ids) == self.ids:
            return self
        place = {item: index for index, item in enumerate(self.ids)}
        at = np.array([place[item] for item in ids], dtype=int)
        return Predicted(self.run, tuple(ids), self.labels[at], self.probabilities[at], self.threshold)


def predicted(rows: pl.DataFrame, *, run: str, threshold: float | None = None) -> Predicted:
    """Return rows of ``test_predictions`` or ``validation_predictions`` as arrays, in the order of their ids.

    Args:
        rows: Versions of earlier code have no ``threshold``.
        threshold: Of the run, where rows do not say it; without any, that of the untouched probability, 0.5.
    """
    rows = rows.sort("video_id")
    label = next(column for column in LABELS if column in rows.columns)
    stated = rows["threshold"].to_list() if "threshold" in rows.columns else []
    own = threshold if threshold is not None else next(iter(stated), 0.5)
    return Predicted(
        run,
        tuple(rows["video_id"]),
        rows[label].to_numpy().astype(bool),
        rows["probability"].to_numpy().astype(np.float64),
        own,
    )


def shared(runs: Sequence[Predicted]) -> list[Predicted]:
    """Return the runs with the items that all of them scored, in one order.

    Raises:
        InvalidRows: They share no item, or not all of them know an item under the same label.
    """
    ids = sorted(set(runs[0].ids).intersection(*(run.ids for run in runs[1:])))
    names = " and ".join(dict.fromkeys(run.run for run in runs))
    if not ids:
        raise InvalidRows(f"{names} share no test video. Compare runs on the same target and split.")
    aligned = [run.only(ids) for run in runs]
    differing = sum((run.labels != aligned[0].labels) for run in aligned[1:])
    n_differing = int(np.count_nonzero(differing))
    if n_differing:
        raise InvalidRows(
            f"{names}: {n_differing} of {len(ids)} videos have another label in one than in the other. Scores under "
            "different labels do not compare; recompute the older one with `m2v run`."
        )
    return aligned
