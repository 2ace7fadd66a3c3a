"""What the catalog says of sources, datasets of memes and of videos, and what was recorded about them."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from m2v.entries.base import Entry, EntryPart, FileName, Licence, Name, Sha256
from m2v.entries.features import RecordedFeatures
from m2v.entries.layouts import Layout


class SourceFile(EntryPart):
    """A file of a source.

    Attributes:
        sha256: What the file must be; absent for files that are the user's to edit.
        path: Where it stands below the source's download address.
    """

    sha256: Sha256 | None = None
    path: str | None = None


class Source(Entry):
    """A set of files: where they may be found, and what they must be.

    Attributes:
        environment: Variable that names their folder, and ends in ``_DIR``; it comes first.
        folders: Folders to look in, in order; relative ones start at the entry's ``folder``.
        download: Address of a pinned revision, tried last.
        generator: Makes the files instead (``sample``), from ``seed``.
        files: By name. Every one must be there.
    """

    licence: Licence
    environment: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*_DIR$")] | None = None
    folders: tuple[str, ...] = ()
    download: Annotated[str, Field(pattern=r"^https?://")] | None = None
    generator: Literal["sample"] | None = None
    seed: int = 0
    files: dict[FileName, SourceFile]


class Columns(EntryPart):
    """A file of the source and its columns that hold what was recorded outside the platform."""

    file: FileName
    meme_id: str = "id"
    label: str
    annotator: str | None = None
    probability: str | None = None


class Recorded(EntryPart):
    """Predictions and answers that somebody else made and wrote down.

    Attributes:
        model: Which model predicted.
        revision: Its revision, where known.
        predictions: One label per meme; not needed where a study asks a model itself.
        answers: Annotators' labels; empty where a meme has none. Without ``annotator`` there is one, unnamed.
        votes: Final labels that were published, to compare ours with.
        gold: Labels that are known to be right, of memes that live rounds mix in to see how annotators do.
    """

    model: str = "none"
    revision: str | None = None
    predictions: Columns | None = None
    answers: Columns | None = None
    votes: Columns | None = None
    gold: Columns | None = None


class SplitShares(EntryPart):
    """Shares of a seeded split, for datasets that come without one."""

    train: float = Field(ge=0, le=1)
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)
    seed: int = 0

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.train + self.validation + self.test, 1, abs_tol=1e-6):
            raise ValueError("train, validation and test must sum to 1")
        return self


class Dataset(Entry):
    """Items with labels, in a layout that is known or stands beside the study (``layouts/``).

    Attributes:
        source: Whose files they are.
        files: Which of the source's files, in the order the layout expects.
        languages: BCP 47 tags.
        media: Folder of its pictures or videos; relative ones start at the entry's ``folder``. ``M2V_MEDIA`` names a
            folder for all datasets instead.
        media_from: Where people get them, if not from the source.
        split_shares: Only for layouts without splits.
        features: Of its items, computed elsewhere, by the name under which detectors ask for them.
    """

    source: Name
    layout: str
    files: tuple[FileName, ...] = Field(min_length=1)
    languages: tuple[str, ...] = ("en",)
    media: str | None = None
    media_from: str | None = None
    split_shares: SplitShares | None = None
    features: dict[Name, RecordedFeatures] = Field(default_factory=dict)
    _own_layout: Layout | None = PrivateAttr(default=None)

    @property
    def own_layout(self) -> Layout | None:
        """The layout of that name that stands beside the study; ours of that name is not meant then."""
        return self._own_layout


class MemeDataset(Dataset):
    """Memes, and what was recorded about them for some targets.

    Attributes:
        licence: Of the memes themselves, where it is not the source's, which may hold copies out of several datasets.
    """

    licence: Licence | None = None
    recorded: dict[Name, Recorded] = Field(default_factory=dict)


class LabelDefinition(EntryPart):
    """What the target's label means, in words: two for the prompt, two sentences for people and for similarity."""

    positive: str
    negative: str
    positive_definition: str
    negative_definition: str

    def word(self, label: bool) -> str:
        """Return what stands for the label in a prompt."""
        return self.positive if label else self.negative


class VideoDataset(Dataset):
    """Videos in splits, their label's definition, and few-shot demonstrations of it."""

    label: LabelDefinition
    demonstrations: FileName | None = None
