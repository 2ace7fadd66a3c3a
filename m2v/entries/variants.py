"""Names of variants, and what they are made of: memes under a target's definition, and what a strategy trains on."""

from dataclasses import dataclass

from m2v.entries.datasets import MemeDataset, Recorded, VideoDataset
from m2v.entries.splits import OWN
from m2v.entries.study import Strategy


def variant(*names: str) -> str:
    """Return the variant that stands in asset keys and folders; Dagster allows neither hyphens nor dots there."""
    return "_".join(names).replace("-", "_").replace(".", "_")


@dataclass(frozen=True)
class Alignment:
    """A meme dataset under a target's definition."""

    memes: MemeDataset
    target: VideoDataset

    @property
    def name(self) -> str:
        """For example ``fhm_hatemm``."""
        return variant(self.memes.name, self.target.name)

    @property
    def recorded(self) -> Recorded:
        """Predictions and answers of this alignment that were made elsewhere; nothing where none were."""
        return self.memes.recorded.get(self.target.name) or Recorded()


@dataclass(frozen=True)
class TargetSplit:
    """In which split a target's videos are trained on and scored.

    Attributes:
        fold: Which one, from 1 on, where the split has folds.
    """

    split: str = OWN
    fold: int | None = None

    @property
    def names(self) -> list[str]:
        """What it adds to the name of a variant; its own split adds nothing."""
        return [] if self.split == OWN else [self.split, *([str(self.fold)] if self.fold else [])]


OWN_SPLIT = TargetSplit()


@dataclass(frozen=True)
class TrainingSet:
    """What a strategy trains on.

    Attributes:
        memes: Absent for ``vid_ft``.
        split: Of the target's videos, where they are trained on.
    """

    strategy: Strategy
    target: VideoDataset
    memes: MemeDataset | None = None
    paper_mode: bool = False
    split: TargetSplit = OWN_SPLIT

    @property
    def name(self) -> str:
        """For example ``rm_ft_fhm_hatemm``, or ``vid_ft_mhc_paper``."""
        parts = [self.strategy, *([self.memes.name] if self.memes else []), self.target.name]
        return variant(*parts, *(["paper"] if self.paper_mode else []), *self.split.names)

    @property
    def alignment(self) -> Alignment | None:
        """The alignment whose voted labels it uses, if it does."""
        uses_votes = self.strategy in {"rm_ft", "vid_rm_ft"}
        return Alignment(self.memes, self.target) if self.memes and uses_votes else None

    @property
    def uses_videos(self) -> bool:
        """Whether the target's own training videos are in it."""
        return trains_on_videos(self.strategy)


def trains_on_videos(strategy: Strategy) -> bool:
    """Return whether the target's own training videos are in what a strategy trains on."""
    return strategy in {"vid_ft", "vid_rm_ft"}
