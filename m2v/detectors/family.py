"""What a family of detectors says of itself, and what its program is given; no torch here.

A family is a folder: ``entry.py`` with a ``Detector``, ``program.py`` with the two functions of ``Program``, and a line
in ``m2v/detectors/__init__.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, SerializeAsAny

from m2v.entries.base import Entry
from m2v.entries.datasets import LabelDefinition
from m2v.entries.features import Extractor
from m2v.entries.pretrained import Base
from m2v.entries.prompts import Prompt
from m2v.programs.progress import Report

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Inputs:
    """What a detector sees of each item besides its text.

    Attributes:
        extractors: Whose features it looks at.
        shows_media: Whether it looks at memes' pictures and videos' frames.
    """

    extractors: tuple[Extractor, ...] = ()
    shows_media: bool = False


class Detector(Entry):
    """An entry of a family: what gives an item a probability.

    Attributes:
        kind: Of a family a literal, by which its YAML is known.
    """

    kind: Any

    # Whether it trains and scores within the asset, without torch; else in a program of its own.
    is_light: ClassVar[bool] = False
    # Whether it can score without any training (strategy ``no_ft``).
    scores_untrained: ClassVar[bool] = False
    # Whether what it trains is an adapter of a pretrained model, which can be published.
    is_adapter: ClassVar[bool] = False
    # Whether scoring spreads its items over the hosts of a cluster itself.
    spreads: ClassVar[bool] = False
    # What the UI shows that it is made with.
    made_with: ClassVar[frozenset[str]] = frozenset({"pytorch", "huggingface"})

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the kinds that its YAML may name."""
        return get_args(cls.model_fields["kind"].annotation)

    @property
    def base_named(self) -> tuple[str, str] | None:
        """The pretrained model that it stands on: its field here, which is its kind too, and its name."""
        return None

    @property
    def prompt_named(self) -> str | None:
        """The prompt by which it is asked, if it is."""
        return None

    @property
    def features_named(self) -> tuple[str, ...]:
        """The extractors whose features it looks at, besides its base's: models, or names in datasets' ``features``."""
        return ()

    @property
    def explains(self) -> bool:
        """Whether its program has ``explain``, by which it says of each item what decided."""
        return False

    @property
    def shows_demonstrations(self) -> bool:
        """Whether it is shown the target's demonstrations where it was not trained."""
        return False

    @property
    def processes(self) -> int | None:
        """How many processes torchrun starts to train it; None starts one plainly."""
        return None

    def inputs(self, base: Base | None, extractors: tuple[Extractor, ...]) -> Inputs:
        """Return what it sees of each item.

        Args:
            base: The model that it stands on.
            extractors: Those that it named.
        """
        return Inputs(extractors=extractors)

    def memory_gib(self, base: Base | None) -> float:
        """Return about what its weights take on an accelerator; 0 where a CPU will do."""
        return 0.0


class Task(BaseModel):
    """What a family's program is told.

    Attributes:
        label: The target's words.
        train, validation: Parquet of items with labels; None: not trained, and nothing selected.
        demonstrations: Parquet of them, where an untrained model is shown some.
        features: Parquet of ``features`` by extractor and dataset.
        content: What the checkpoint is made of, for its manifest.
        save_steps: Steps after which a training keeps a state to go on from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: SerializeAsAny[Detector]
    base: Base | None = None
    prompt: Prompt | None = None
    label: LabelDefinition | None = None
    home: Path
    seed: int = 0
    train: Path | None = None
    validation: Path | None = None
    demonstrations: Path | None = None
    features: dict[str, dict[str, Path]] = {}
    content: dict[str, Any] = {}
    save_steps: int = 50


@dataclass(frozen=True)
class Trained:
    """What a training leaves in its folder.

    Attributes:
        files: Their names.
        packages: Whose versions decided them.
        threshold: At or above which an item is called positive.
        selection: What was chosen on the validation split, and how well it did there.
        facts: What else the manifest says.
        scratch: Folders that are no longer needed.
    """

    files: list[str]
    packages: list[str]
    threshold: float
    selection: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()


class FamilyProgram(Protocol):
    """The functions of a family's ``program.py``; ``explain`` only where the entry says that it ``explains``."""

    def train(self, task: Task, *, out: Path, report: Report) -> Trained | None:
        """Train into a folder, or go on where a killed training stopped.

        Returns:
            None in every process of a group but the first.
        """
        ...

    def score(self, task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> "np.ndarray":
        """Return the positive label's probability of each item, (items,), float64, in their order.

        Args:
            checkpoint: A folder that ``train`` filled.
            items: Columns ``dataset``, ``item_id``, ``split``, ``text``, ``text_sha256``; where media are shown
                ``pictures``, ``pictures_sha256``, ``media``, ``description`` too.
        """
        ...

    def explain(self, task: Task, *, checkpoint: Path, items: pl.DataFrame, report: Report) -> pl.DataFrame:
        """Return what decided each item, as rows of ``explanations``; arguments as of ``score``."""
        ...
