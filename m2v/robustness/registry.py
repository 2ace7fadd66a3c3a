"""Which function is which kind of operator, which items it changes, and how strong it may be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from m2v.entries.operators import Operator
from m2v.errors import InvalidCatalog
from m2v.robustness import noise

# An item's vectors (vectors, dimensions) become others, by strength, the split's spread and the item's random numbers.
Change: TypeAlias = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Operation:
    """A kind of operator.

    Attributes:
        parents: Which items it changes, by their label.
        takes: What a changed item has of the modality: another item's (``donor``), ``nothing``, or its ``own`` vectors,
            changed; or it is a new ``item`` with a text and frames of its own (m2v/robustness/items.py).
        change: Of its own vectors.
        strongest: The greatest strength.
        needs_frames: Whether it changes or shows frames, so that they must be decoded.
    """

    parents: Literal["positive", "negative", "all"]
    takes: Literal["donor", "nothing", "own", "item"]
    change: Change | None = None
    strongest: float = 1.0
    needs_frames: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "swap": Operation("positive", "donor"),
    "mirror": Operation("negative", "donor"),
    "mask": Operation("all", "nothing"),
    "noise": Operation("all", "own", noise.noise, strongest=10.0),
    "drop": Operation("all", "own", noise.drop),
    **{kind: Operation("all", "item") for kind in ("leetspeak", "homoglyphs", "spacing", "emoji", "harmless-around")},
    "counter-speech": Operation("positive", "item"),
    "neutral": Operation("positive", "item"),
    **{
        kind: Operation("positive", "item", needs_frames=True)
        for kind in ("text-in-picture", "half-and-half", "quotation")
    },
    **{
        kind: Operation("all", "item", needs_frames=True)
        for kind in ("blur", "low-contrast", "rotation", "dense-background", "frame", "film", "harmless-frames")
    },
}


def of(operator: Operator) -> Operation:
    """Return what an operator does."""
    return OPERATIONS[operator.kind]


def makes_items(operator: Operator) -> bool:
    """Return whether an operator makes new texts or frames, which detectors look at anew."""
    return of(operator).takes == "item"


def check(operator: Operator) -> None:
    """Raise unless the operator's strength is one that its kind has.

    Raises:
        InvalidCatalog: Names the operator and what it may say.
    """
    operation = of(operator)
    if operation.takes in {"donor", "nothing"} and operator.strength != 1:
        raise InvalidCatalog(
            operator.name, f"kind {operator.kind} changes a whole modality, so its `strength:` is 1; leave it out."
        )
    if operator.strength > operation.strongest:
        raise InvalidCatalog(
            operator.name,
            f"`strength:` is {operator.strength:g}; of kind {operator.kind} it is at most {operation.strongest:g}.",
        )
