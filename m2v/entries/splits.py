"""What the catalog says of splits: how a dataset's items are divided into training, validation and test."""

import math
from collections.abc import Mapping
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from m2v.entries.base import EntryPart, FileName, Name

Split: TypeAlias = Literal["train", "validation", "test"]
# What the split is called that a dataset's own files or its `split_shares` give; no other may be called so.
OWN = "own"


class SplitShares(EntryPart):
    """Shares of a seeded split."""

    train: float = Field(ge=0, le=1)
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)
    seed: int = 0

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.train + self.validation + self.test, 1, abs_tol=1e-6):
            raise ValueError("train, validation and test must sum to 1")
        return self


class SplitColumn(EntryPart):
    """A file with an item's split in a column.

    Attributes:
        id, split: Its columns.
        map: What the words of the column mean; without it they are ``train``, ``validation`` and ``test``.
    """

    file: FileName
    id: str
    split: str
    map: Mapping[str, Split] = Field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )


class Folds(EntryPart):
    """Cross-validation: each of ``n`` parts is the test split once, the next one the validation split."""

    n: int = Field(ge=3, le=100)
    seed: int = 0


class SplitPlan(EntryPart):
    """A split of a dataset besides its own: exactly one of four ways of dividing it.

    Attributes:
        lists: Files with the ids of a split, one a line.
        column: A file that says each item's.
        shares: It is drawn, each label in proportion.
        folds: So is it, several times.
        source: Whose files ``lists`` and ``column`` name; by default the dataset's.
        grouped_by: A facet of the dataset: items that share a value never stand in two parts of what is drawn.
        grouped_until: The same of items whose ids are equal up to the last place where this stands, as in
            ``film_7`` and ``film_8`` for ``_``.
    """

    lists: Mapping[Split, tuple[FileName, ...]] | None = None
    column: SplitColumn | None = None
    shares: SplitShares | None = None
    folds: Folds | None = None
    source: Name | None = None
    grouped_by: Name | None = None
    grouped_until: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        ways = [self.lists, self.column, self.shares, self.folds]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("name exactly one of lists, column, shares and folds")
        if (self.grouped_by or self.grouped_until) and not self.is_drawn:
            raise ValueError("only splits that are drawn (shares, folds) can be grouped")
        if self.grouped_by and self.grouped_until:
            raise ValueError("name either grouped_by or grouped_until")
        if self.source and self.is_drawn:
            raise ValueError("source: is for lists and column; what is drawn reads no file")
        if self.lists is not None and not {"train", "test"} <= set(self.lists):
            raise ValueError("lists needs train and test")
        return self

    @property
    def is_drawn(self) -> bool:
        """Whether chance divides it."""
        return self.shares is not None or self.folds is not None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that say it."""
        listed = tuple(name for names in (self.lists or {}).values() for name in names)
        return (*listed, *((self.column.file,) if self.column else ()))
