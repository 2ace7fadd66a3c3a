"""What the catalog says of sources, datasets of memes and of videos, and what was recorded about them."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from m2v.entries.base import Entry, EntryPart, FileName, Licence, Name, Sha256
from m2v.entries.features import RecordedFeatures
from m2v.entries.layouts import Layout
from m2v.entries.splits import OWN, SplitPlan, SplitShares


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
        generator: Makes the files instead (``sample``, ``sample-suite``), from ``seed``.
        files: By name. Every one must be there.
        required: Whether a study stops where its files are nowhere; else it runs with what else it has.
    """

    licence: Licence
    environment: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*_DIR$")] | None = None
    folders: tuple[str, ...] = ()
    download: Annotated[str, Field(pattern=r"^https?://")] | None = None
    generator: Literal["sample", "sample-suite"] | None = None
    seed: int = 0
    files: dict[FileName, SourceFile]
    required: bool = True


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


class Annotations(EntryPart):
    """Files that say more of a dataset's items than those that it is read from: facets, segments, votes.

    Attributes:
        source: Whose files they are.
        layout: Of those files.
        files: Which of the source's.
    """

    source: Name
    layout: str
    files: tuple[FileName, ...] = Field(min_length=1)


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
        annotations: What facets, segments and votes are read from instead of ``files``.
        features: Of its items, computed elsewhere, by the name under which detectors ask for them.
    """

    source: Name
    layout: str
    files: tuple[FileName, ...] = Field(min_length=1)
    languages: tuple[str, ...] = ("en",)
    media: str | None = None
    media_from: str | None = None
    split_shares: SplitShares | None = None
    annotations: Annotations | None = None
    features: dict[Name, RecordedFeatures] = Field(default_factory=dict)
    _own_layouts: Mapping[str, Layout] = PrivateAttr(default_factory=dict)

    @property
    def own_layout(self) -> Layout | None:
        """The layout of that name that stands beside the study; ours of that name is not meant then."""
        return self._own_layouts.get(self.layout)

    @property
    def annotated(self) -> Self:
        """The dataset as the files have it that its facets, segments and votes are read from."""
        if self.annotations is None:
            return self
        files = {"source": self.annotations.source, "layout": self.annotations.layout, "files": self.annotations.files}
        return self.model_copy(update={**files, "annotations": None, "split_shares": None})


class MemeDataset(Dataset):
    """Memes, and what was recorded about them for some targets.

    Attributes:
        licence: Of the memes themselves, where it is not the source's, which may hold copies out of several datasets.
    """

    licence: Licence | None = None
    recorded: dict[Name, Recorded] = Field(default_factory=dict)


# The item at hand, not videos in general, and no video game.
THIS_VIDEO = re.compile(r"\b(this|the|a) video\b(?! games?\b)", re.IGNORECASE)


class LabelDefinition(EntryPart):
    """What the target's label means, in words: two for the prompt, two sentences for people and for similarity."""

    positive: str
    negative: str
    positive_definition: str
    negative_definition: str

    def word(self, label: bool) -> str:
        """Return what stands for the label in a prompt."""
        return self.positive if label else self.negative

    def about_memes(self) -> "LabelDefinition":
        """Return the definition as it reads beside a meme: "this meme" for "this video"."""
        told = {
            name: THIS_VIDEO.sub(r"\1 meme", getattr(self, name))
            for name in ("positive_definition", "negative_definition")
        }
        return self.model_copy(update=told)


class VideoDataset(Dataset):
    """Videos in splits, their label's definition, and few-shot demonstrations of it.

    Attributes:
        splits: Others than their own, by name; a training plan chooses among them.
    """

    label: LabelDefinition
    demonstrations: FileName | None = None
    splits: dict[Name, SplitPlan] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_of_its_own(self) -> Self:
        if OWN in self.splits:
            raise ValueError(f"splits: {OWN!r} is what the files say; call this one otherwise")
        return self

    def split_source(self, name: str) -> str:
        """Return the name of the source whose files say a split."""
        return self.splits[name].source or self.source
