"""What the catalog says of an operator: a small change of items that it says what it does to their label."""

from typing import Literal, TypeAlias

from pydantic import Field

from m2v.entries.base import Entry
from m2v.entries.features import Modality

# What m2v/robustness/registry.py has a function for.
OperatorKind: TypeAlias = Literal["swap", "mirror", "mask", "noise", "drop"]


class Operator(Entry):
    """A change of one modality of an item, which gives a new item.

    Attributes:
        kind: ``swap``: a positive item gets the modality of a random negative one of the same split; ``mirror``: a
            negative one gets a positive one's; ``mask``: the item lacks the modality; ``noise``: each vector is moved
            at random; ``drop``: numbers of each vector are set to their mean.
        modality: What of an item is changed.
        strength: Of ``noise`` the deviation, in deviations of each dimension; of ``drop`` the share of dimensions;
            what exchanges or masks a modality does so wholly, at strength 1.
        label: ``stays``; ``flips``; or ``control``: whatever the item was, the new one must not be flagged.
        seed: Of what is drawn for each item.
    """

    kind: OperatorKind
    modality: Modality
    strength: float = Field(default=1.0, gt=0)
    label: Literal["stays", "flips", "control"]
    seed: int = Field(default=0, ge=0)
