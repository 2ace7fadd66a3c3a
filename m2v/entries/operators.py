"""What the catalog says of an operator: a small change of items that it says what it does to their label."""

from typing import Literal, TypeAlias

from pydantic import Field

from m2v.entries.base import Entry, FileName
from m2v.entries.features import Modality

# What m2v/robustness/registry.py has a function for.
OperatorKind: TypeAlias = Literal[
    "swap", "mirror", "mask", "noise", "drop",
    "leetspeak", "homoglyphs", "spacing", "emoji", "harmless-around", "counter-speech", "neutral",
    "text-in-picture", "half-and-half", "quotation",
    "blur", "low-contrast", "rotation", "dense-background", "frame", "film", "harmless-frames",
]  # fmt: skip


class Operator(Entry):
    """A change of one modality of an item, which gives a new item.

    Attributes:
        kind: ``swap``: a positive item gets the modality of a random negative one of the same split; ``mirror``: a
            negative one gets a positive one's; ``mask``: the item lacks the modality; ``noise``: each vector is moved
            at random; ``drop``: numbers of each vector are set to their mean. All others make new texts and frames
            (docs/robustness.md).
        modality: What of an item is changed.
        strength: Of ``noise`` the deviation, in deviations of each dimension; of ``drop`` the share of dimensions;
            what exchanges or masks a modality does so wholly, at strength 1.
        label: ``stays``; ``flips``; or ``control``: whatever the item was, the new one must not be flagged.
        seed: Of what is drawn for each item.
        font: That texts are written with, below the YAML's folder; absent: DejaVu Sans.
        nouns: Pictographs by noun, of ``emoji``, besides those that Unicode names.
    """

    kind: OperatorKind
    modality: Modality
    strength: float = Field(default=1.0, gt=0)
    label: Literal["stays", "flips", "control"]
    seed: int = Field(default=0, ge=0)
    font: FileName | None = None
    nouns: dict[str, str] = Field(default={})
