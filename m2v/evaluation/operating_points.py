"""Thresholds for what somebody wishes of a detector: chosen on validation videos, verified on test videos."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from m2v import schemas
from m2v.errors import M2VError
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.proportions import exact

PRECISION, RECALL, FALSE_POSITIVE_RATE, COST_RATIO = GOALS = (
    "precision",
    "recall",
    "false_positive_rate",
    "cost_ratio",
)
# A promise may be broken by one validation set in twenty.
RISK = 0.05
# So many thresholds are tried for a precision, at equal steps of how much is called positive.
N_TRIED = 10
PER = 10_000
BANDS = ("leave", "review", "act")


@dataclass(frozen=True)
class Wish:
    """What a threshold is chosen for.

    Attributes:
        goal: One of ``GOALS``.
        value: A share; of a cost ratio, how many false alarms a miss costs.
    """

    goal: str
    value: float

    def __post_init__(self) -> None:
        is_fine = self.value > 0 if self.goal == COST_RATIO else 0 < self.value < 1
        if not is_fine:
            limits = "above 0" if self.goal == COST_RATIO else "between 0 and 1, for example 0.9"
            raise M2VError(f"The {self.goal.replace('_', ' ')} is {self.value:g}; it must be {limits}.")


WISHES = (Wish(PRECISION, 0.9), Wish(RECALL, 0.9), Wish(FALSE_POSITIVE_RATE, 0.05), Wish(COST_RATIO, 5.0))


@dataclass(frozen=True)
class Choice:
    """A threshold chosen on validation.

    Attributes:
        threshold: From this probability on a video is called positive; None where no threshold does what is wished.
        promise: "promised" where the wish holds for 19 of 20 validation sets like this one; "not_promised" where
            it holds on this one alone; "out_of_reach"; "not_asked" of costs, which nothing is promised about.
    """

    threshold: float | None
    promise: str


@dataclass(frozen=True, eq=False)
class Curve:
    """What every threshold does to labelled videos.

    Attributes:
        thresholds: (thresholds,), float64, falling; midpoints of neighbouring probabilities, all called last.
        n_true, n_false: Positive and negative videos that each calls positive, (thresholds,), int.
    """

    thresholds: np.ndarray
    n_true: np.ndarray
    n_false: np.ndarray
    n_positive: int
    n_negative: int


def curve(run: Predicted) -> Curve:
    """Return what every threshold that tells the run's videos apart does, but calling none of them positive."""
    values = np.unique(run.probabilities)[::-1]
    thresholds = np.append((values[:-1] + values[1:]) / 2, 0.0)
    called = run.probabilities >= thresholds[:, None]  # (thresholds, items)
    n_positive = int(run.labels.sum())
    return Curve(
        thresholds,
        (called & run.labels).sum(axis=1),
        (called & ~run.labels).sum(axis=1),
        n_positive,
        len(run.labels) - n_positive,
    )


def chosen(validation: Predicted, wish: Wish, *, prevalence: float | None = None) -> Choice:
    """Return the threshold for a wish that calls the most rightly, promised where it can be.

    A recall or a false-positive rate is promised by the exact one-sided bound of 95 % at an order statistic (Wilks
    1941, Annals of Mathematical Statistics 12:91-96). A precision neither rises nor falls with the threshold: ten
    thresholds are tried, each at a tenth of the risk (Bonferroni).

    Args:
        validation: Nobody trained on them.
        wish: What is wished.
        prevalence: Share of positives where the detector is to work; None: as among these videos.
    """
    of = curve(validation)
    if not of.n_positive or not of.n_negative:
        return Choice(None, "out_of_reach")
    if wish.goal == COST_RATIO:
        weight = 1.0 if prevalence is None else (1 - prevalence) / prevalence * of.n_positive / of.n_negative
        costs = wish.value * (of.n_positive - of.n_true) + weight * of.n_false
        none = wish.value * of.n_positive  # of calling nothing positive
        if none < costs.min():
            return Choice(None, "out_of_reach")
        return Choice(float(of.thresholds[np.argmin(costs)]), "not_asked")
    holds, promised = _holding(of, wish, prevalence)
    # Thresholds fall: the last calls the most, the first the least.
    place = 0 if wish.goal == RECALL else -1
    for allowed, promise in ((promised, "promised"), (holds, "not_promised")):
        if allowed.any():
            return Choice(float(of.thresholds[allowed][place]), promise)
    return Choice(None, "out_of_reach")


def _holding(of: Curve, wish: Wish, prevalence: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which thresholds do what is wished on validation, and which may be promised to, (thresholds,), bool."""
    one_sided = 1 - 2 * RISK
    if wish.goal == RECALL:
        low, _ = exact(of.n_true, of.n_positive, level=one_sided)
        return of.n_true / of.n_positive >= wish.value, low >= wish.value
    if wish.goal == FALSE_POSITIVE_RATE:
        _, high = exact(of.n_false, of.n_negative, level=one_sided)
        return of.n_false / of.n_negative <= wish.value, high <= wish.value
    n_called = of.n_true + of.n_false
    steps = np.ceil(n_called[-1] * np.arange(1, N_TRIED + 1) / N_TRIED)
    is_tried = np.isin(np.arange(len(n_called)), np.searchsorted(n_called, steps))
    level = 1 - 2 * RISK / N_TRIED
    return (
        precision(of.n_true, of.n_false, of.n_positive, of.n_negative, prevalence=prevalence)[0] >= wish.value,
        is_tried
        & (
            precision(of.n_true, of.n_false, of.n_positive, of.n_negative, prevalence=prevalence, level=level)[1]
            >= wish.value
        ),
    )


def precision(
    n_true: np.ndarray | int,
    n_false: np.ndarray | int,
    n_positive: int,
    n_negative: int,
    *,
    prevalence: float | None,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the precision at a prevalence and both ends of its interval, of at least one video called positive.

    At the videos' own prevalence the interval is exact. At another the precision follows from recall and
    false-positive rate, and its ends from theirs, each exact at half the risk (Bonferroni): it is wider than need be.

    Args:
        n_true, n_false: Positive and negative videos that are called positive.
        n_positive, n_negative: All of them, at least one of each where a prevalence is given.
    """
    n_true, n_false = np.asarray(n_true, dtype=float), np.asarray(n_false, dtype=float)
    if prevalence is None:
        return n_true / (n_true + n_false), *exact(n_true, n_true + n_false, level=level)
    (true_low, true_high), (false_low, false_high) = (
        exact(hits, n, level=(1 + level) / 2) for hits, n in ((n_true, n_positive), (n_false, n_negative))
    )

    def at(true_rate: np.ndarray, false_rate: np.ndarray) -> np.ndarray:
        right, wrong = prevalence * true_rate, (1 - prevalence) * false_rate
        return np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)

    return at(n_true / n_positive, n_false / n_negative), at(true_low, false_high), at(true_high, false_low)


def load(
    n_true: int, n_false: int, n_positive: int, n_negative: int, *, prevalence: float | None
) -> tuple[float, float, float]:
    """Return how many of 10,000 videos are in a band at a prevalence, and both ends of the 95 % interval.

    Args:
        n_true, n_false: Positive and negative test videos in it.
        n_positive, n_negative: All of them; at least one of each where a prevalence is given.
    """
    if prevalence is None:
        low, high = exact(n_true + n_false, n_positive + n_negative)
        return PER * (n_true + n_false) / (n_positive + n_negative), PER * float(low), PER * float(high)
    ends = [exact(hits, n, level=0.975) for hits, n in ((n_true, n_positive), (n_false, n_negative))]
    point, low, high = (
        PER * float(prevalence * of_positive + (1 - prevalence) * of_negative)
        for of_positive, of_negative in (
            (n_true / n_positive, n_false / n_negative),
            (ends[0][0], ends[1][0]),
            (ends[0][1], ends[1][1]),
        )
    )
    return point, low, high


def needed(wish: Wish) -> str:
    """Return how many validation videos a promise takes at the very least, in words."""
    n, kind = {
        PRECISION: (math.log(RISK / N_TRIED) / math.log(wish.value), "videos called positive, all of them rightly"),
        RECALL: (math.log(RISK) / math.log(wish.value), "positive videos, none of them missed"),
        FALSE_POSITIVE_RATE: (math.log(RISK) / math.log(1 - wish.value), "negative videos without a false alarm"),
    }[wish.goal]
    return f"{math.ceil(n)} {kind}"


def sentence(wish: Wish, choice: Choice, validation: Predicted) -> str:
    """Return what is promised of a wish, and why where nothing is."""
    n, n_positive = len(validation.ids), int(validation.labels.sum())
    held = f"{n} validation videos ({n_positive} positive)"
    if not n:
        return "The run has no validation videos, so no threshold can be chosen: paper mode trains on them."
    if choice.promise == "promised":
        return f"Promised: it holds for 19 of 20 sets of {held} like these."
    if choice.promise == "not_asked":
        return f"The cheapest threshold on {held}; nothing is promised about costs."
    if wish.goal == COST_RATIO:
        return f"On {held} it is cheapest to call nothing positive."
    beyond = f"Cannot be promised with {held}: a promise takes at least {needed(wish)}."
    return beyond if choice.promise == "not_promised" else f"No threshold reaches it on {held}. {beyond}"


def verified(test: Predicted, threshold: float | None, *, prevalence: float | None) -> dict[str, float | None]:
    """Return what a threshold does on test: precision, recall, false-positive rate and load, with 95 % intervals.

    Returns:
        ``precision``, ``recall``, ``false_positive_rate`` and ``flagged_per_10000``, each with ``…_low`` and
        ``…_high``; None where there is nothing to count.
    """
    names = (PRECISION, RECALL, FALSE_POSITIVE_RATE, "flagged_per_10000")
    row: dict[str, float | None] = {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
    if threshold is None:
        return row
    called = test.probabilities >= threshold
    n_positive = int(test.labels.sum())
    n_negative = len(test.labels) - n_positive
    n_true, n_false = int((called & test.labels).sum()), int((called & ~test.labels).sum())
    has_both = bool(n_positive and n_negative)
    found: dict[str, tuple] = {}
    if n_positive:
        found[RECALL] = (n_true / n_positive, *exact(n_true, n_positive))
    if n_negative:
        found[FALSE_POSITIVE_RATE] = (n_false / n_negative, *exact(n_false, n_negative))
    if n_true + n_false and (has_both or prevalence is None):
        found[PRECISION] = precision(n_true, n_false, n_positive, n_negative, prevalence=prevalence)
    if has_both or (prevalence is None and len(test.labels)):
        found["flagged_per_10000"] = load(n_true, n_false, n_positive, n_negative, prevalence=prevalence)
    for name, values in found.items():
        row |= {f"{name}{end}": float(value) for end, value in zip(("", "_low", "_high"), values, strict=True)}
    return row


def operating_points(
    runs: Mapping[str, tuple[Predicted, Predicted]],
    *,
    wishes: Sequence[Wish] = (),
    prevalence: float | None = None,
) -> pl.DataFrame:
    """Return a threshold for each run and wish.

    Args:
        runs: Validation and test predictions by run.
        wishes: What thresholds are chosen for; none: ``WISHES``.
        prevalence: Share of positives where the detectors are to work; None: as among the videos themselves.

    Returns:
        Rows of ``operating_points``, sorted by run.
    """
    rows = list(_rows(runs, wishes=wishes or WISHES, prevalence=prevalence))
    schema = schemas.OPERATING_POINTS
    return schema.validate(pl.DataFrame(rows, schema=dict(schema.columns)))


def _rows(
    runs: Mapping[str, tuple[Predicted, Predicted]], *, wishes: Sequence[Wish], prevalence: float | None
) -> Iterator[dict[str, object]]:
    for run, (validation, test) in sorted(runs.items()):
        for wish in wishes:
            choice = chosen(validation, wish, prevalence=prevalence)
            yield {
                "run": run,
                "goal": wish.goal,
                "wish": wish.value,
                "prevalence": prevalence,
                "n_validation": len(validation.ids),
                "n_validation_positive": int(validation.labels.sum()),
                "threshold": choice.threshold,
                "promise": choice.promise,
                "n_test": len(test.ids),
                "n_test_positive": int(test.labels.sum()),
                **verified(test, choice.threshold, prevalence=prevalence),
            }


def review_bands(
    runs: Mapping[str, tuple[Predicted, Predicted]], *, error: float = 0.1, prevalence: float | None = None
) -> pl.DataFrame:
    """Return three bands for each run: what is left alone, what people review, what is acted on.

    Split conformal prediction, each label on its own (Vovk 2012, ACML, Conditional validity): over validation sets like
    this one, at most ``error`` of all positive videos are left on average, and at most ``error`` of all negative ones
    acted on, whatever the probabilities are worth and whatever the prevalence. With fewer than 1 / error − 1 videos of
    a label its side cannot be bounded: then nothing is left, or nothing acted on.

    Args:
        runs: Validation and test predictions by run.
        error: The share, between 0 and 1.
        prevalence: Share of positives where the detectors are to work; None: as among the test videos.

    Returns:
        Rows of ``review_bands``, three for each run, sorted by run.
    """
    rows: list[dict[str, object]] = []
    for run, (validation, test) in sorted(runs.items()):
        leave_below, act_from = conformal(validation, error=error)
        n_positive = int(test.labels.sum())
        n_negative = len(test.labels) - n_positive
        for band in BANDS:
            inside = {
                "leave": test.probabilities < leave_below,
                "review": (test.probabilities >= leave_below) & (test.probabilities < act_from),
                "act": test.probabilities >= act_from,
            }[band]
            n_true, n_false = int((inside & test.labels).sum()), int((inside & ~test.labels).sum())
            counted = (n_positive and n_negative) or prevalence is None
            values = load(n_true, n_false, n_positive, n_negative, prevalence=prevalence) if counted else (None,) * 3
            rows.append(
                {
                    "run": run,
                    "band": band,
                    "error": error,
                    "prevalence": prevalence,
                    # A probability that none reaches: nothing is left, or nothing acted on.
                    "leave_below": leave_below if leave_below > 0 else None,
                    "act_from": act_from if act_from <= 1 else None,
                    "n_positive": n_true,
                    "n_negative": n_false,
                    **dict(zip(("per_10000", "per_10000_low", "per_10000_high"), values, strict=True)),
                }
            )
    schema = schemas.REVIEW_BANDS
    return schema.validate(pl.DataFrame(rows, schema=dict(schema.columns)))


def conformal(validation: Predicted, *, error: float) -> tuple[float, float]:
    """Return below which probability a video is left, and from which on it is acted on; 0 and 2 where never."""
    if not 0 < error < 1:
        raise M2VError(f"The review error is {error:g}; it must be between 0 and 1, for example 0.1.")
    positive = np.sort(validation.probabilities[validation.labels])
    negative = np.sort(validation.probabilities[~validation.labels])[::-1]
    left, acted = (math.floor(error * (len(side) + 1) + 1e-9) for side in (positive, negative))
    leave_below = float(positive[left - 1]) if left else 0.0
    act_from = float(np.nextafter(negative[acted - 1], 2)) if acted else 2.0
    # Where either would do, people look: both bounds hold on the smaller bands too.
    return min(leave_below, act_from), max(leave_below, act_from)
