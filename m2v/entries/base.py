"""What every catalog entry is: frozen, unknown keys refused, names checked against each other."""

from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from m2v.schemas import RELEASED_LABELS

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]+([-.][a-z0-9]+)*$")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _stays_below(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise ValueError("must be a relative path that stays below its folder")
    return name


FileName: TypeAlias = Annotated[str, AfterValidator(_stays_below)]


def _is_released(column: str) -> str:
    if column not in RELEASED_LABELS.columns:
        raise ValueError(f"no release has a column {column!r}; they have {', '.join(RELEASED_LABELS.columns)}")
    return column


ReleasedColumn: TypeAlias = Annotated[str, AfterValidator(_is_released)]


class Entry(BaseModel):
    """A YAML file of the catalog; its name is the file's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Whether weights of gigabytes come with it, which a machine has or has not.
    is_downloaded: ClassVar[bool] = False

    name: Name
    title: str
    _folder: Path = PrivateAttr(default=Path())

    def __hash__(self) -> int:
        # Entries hold dicts, which have no hash; within a catalog a kind and a name are one entry.
        return hash((type(self), self.name))

    @property
    def folder(self) -> Path:
        """Where relative paths of this entry start: the checkout for our own entries, else the study's folder."""
        return self._folder

    @property
    def knows_nothing(self) -> bool:
        """Whether it is a model of random weights, so that whatever it says is noise."""
        return False


class EntryPart(BaseModel):
    """A part of an entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(EntryPart):
    """What the licence is called, where it stands, and what it lets us publish.

    Attributes:
        publishable: Columns of a release that may leave this machine; empty: none, so that nothing is published.
    """

    name: str
    link: str | None = None
    publishable: tuple[ReleasedColumn, ...] = ()
