"""Names of variants, and what they are made of: memes under a target's definition, and what a strategy trains on."""

from dataclasses import dataclass

from m2v.entries.datasets import MemeDataset, Recorded, VideoDataset
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
class TrainingSet:
    """What a strategy trains on. ``memes`` is absent for ``vid_ft``."""

    strategy: Strategy
    target: VideoDataset
    memes: MemeDataset | None = None
    paper_mode: bool = False

    @property
    def name(self) -> str:
        """For example ``rm_ft_fhm_hatemm``, or ``vid_ft_mhc_paper``."""
        parts = [self.strategy, *([self.memes.name] if self.memes else []), self.target.name]
        return variant(*parts, *(["paper"] if self.paper_mode else []))

    @property
    def alignment(self) -> Alignment | None:
        """The alignment whose voted labels it uses, if it does."""
        uses_votes = self.strategy in {"rm_ft", "vid_rm_ft"}
        return Alignment(self.memes, self.target) if self.memes and uses_votes else None

    @property
    def uses_videos(self) -> bool:
        """Whether the target's own training videos are in it."""
        return self.strategy in {"vid_ft", "vid_rm_ft"}
