"""What a study spans: alignments, training sets and runs, each the variant of a table."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from m2v.detectors.family import Detector, Inputs
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.features import Extractor, Modality, RecordedFeatures
from m2v.entries.operators import Operator
from m2v.entries.pretrained import Base, Perceiver, Vlm
from m2v.entries.probes import Probes
from m2v.entries.prompts import Prompt
from m2v.entries.readers import FasterWhisper, Ocr
from m2v.entries.study import PredictionPlan, Study
from m2v.entries.suites import Suite, SuitePlan, SuiteTask
from m2v.entries.variants import OWN_SPLIT, Alignment, TargetSplit, TrainingSet, variant
from m2v.errors import UnknownName
from m2v.prediction.prompts import Question, question
from m2v.robustness import registry

NamedT = TypeVar("NamedT", "Alignment", "Run")


@dataclass(frozen=True)
class Augmentation:
    """What a run trains on besides plain items.

    Attributes:
        operators: By which new training items are made.
        share: How many of them there are for each plain one, all operators together.
        plain: The run that trains on plain items alone.
    """

    operators: tuple[Operator, ...]
    share: float
    plain: str


@dataclass(frozen=True)
class Run:
    """One training (none for ``no_ft``) and its scores on the target's test split.

    Attributes:
        base: The pretrained model that it stands on, if it does.
        prompt: What the model is asked, if it is.
        extractors: Whose features the model named.
        split: Of the target's videos, in which it is selected and scored.
        augmentation: Of what it trains on; None trains on plain items.
    """

    model: Detector
    base: Base | None
    training_set: TrainingSet
    seed: int
    prompt: Prompt | None = None
    extractors: tuple[Extractor, ...] = ()
    split: TargetSplit = OWN_SPLIT
    augmentation: Augmentation | None = None

    @property
    def name(self) -> str:
        """For example ``minilm_probe_rm_ft_fhm_hatemm_s0``."""
        # What trains on videos is called by their split already.
        split = [] if self.training_set.uses_videos else self.split.names
        return variant(self.model.name, self.training_set.name, *split, f"s{self.seed}")

    @property
    def target(self) -> VideoDataset:
        """Whose test split it is scored on."""
        return self.training_set.target

    @property
    def is_trained(self) -> bool:
        """Whether there is anything to train; else the model is scored as it is."""
        return self.training_set.strategy != "no_ft"

    @property
    def datasets(self) -> tuple[MemeDataset | VideoDataset, ...]:
        """Whose items it sees: the target's, and the memes' where it learns from memes."""
        memes = self.training_set.memes
        return (self.target, memes) if memes else (self.target,)

    @cached_property
    def inputs(self) -> Inputs:
        """What it sees of each item besides its text."""
        return self.model.inputs(self.base, self.extractors)

    def sees(self, dataset: MemeDataset | VideoDataset) -> frozenset[Modality]:
        """Return which modalities of a dataset's items it looks at."""
        of_videos = isinstance(dataset, VideoDataset)
        if not self.inputs.extractors:
            media: Modality = "frames" if of_videos else "picture"
            return frozenset({"text", *([media] if self.inputs.shows_media else [])})
        seen: set[Modality] = set()
        for extractor in self.inputs.extractors:
            recorded = dataset.features.get(extractor.name) if extractor.is_recorded else None
            seen |= {recorded.modality} if recorded else set(extractor.modalities(of_videos=of_videos))
        return frozenset(seen)

    @property
    def demonstrations(self) -> str | None:
        """The variant of ``demonstrations`` that an untrained model is shown, if any."""
        is_shown = self.model.shows_demonstrations and not self.is_trained and self.target.demonstrations
        return variant(self.target.name) if is_shown else None


@dataclass(frozen=True)
class Asking:
    """A model that the study asks about its memes, with the names in its plan resolved."""

    plan: PredictionPlan
    model: Vlm
    prompt: Prompt

    def demonstrations(self, target: VideoDataset) -> str | None:
        """Return the variant of ``demonstrations`` that it is given, if any."""
        if self.plan.demonstrations in {"train", "validation"}:
            drawn = f"{self.plan.demonstrations}{self.plan.n_demonstrations}"
            return variant(target.name, drawn, f"s{self.plan.seed}")
        is_given = self.plan.demonstrations == "target" and target.demonstrations
        return variant(target.name) if is_given else None

    def shown(self, target: VideoDataset) -> str:
        """Return what it is shown before an item, as half a sentence."""
        plan = self.plan
        if not self.demonstrations(target):
            return "no demonstrations"
        if plan.demonstrations == "target":
            return "the target's own demonstrations"
        return f"{plan.n_demonstrations} demonstrations drawn from {plan.demonstrations} (seed {plan.seed})"


@dataclass(frozen=True)
class SuiteAsking:
    """A suite with the models that a study asks it."""

    plan: SuitePlan
    suite: Suite
    models: tuple[Vlm, ...]
    prompt: Prompt

    @cached_property
    def asked(self) -> tuple[tuple[str, SuiteTask], ...]:
        """Datasets with the tasks under whose definitions models are asked about their items."""
        tasks = self.suite.tasks
        own = [(task.dataset, task) for task in tasks]
        others = [(task.dataset, other) for task in tasks for other in tasks] if self.plan.transfer else []
        return tuple(dict.fromkeys([*own, *others]))

    def answers(self, model: Vlm, dataset: str, definition: SuiteTask) -> str:
        """Return the variant of ``suite_answers`` about a dataset's items, asked under a task's definition."""
        return variant(self.suite.name, model.name, dataset, definition.name)


@dataclass(frozen=True)
class StudyPlan:
    """A study with its names resolved to entries.

    Attributes:
        asking: Absent where predictions were recorded elsewhere.
        clip, whisper: Models that look at the videos' frames and listen to them, if any.
        ocr: Model that reads the text in memes' pictures, if any.
        operators: By which test videos are changed: the study's, and those that runs train on.
        probes: Sentences by function and group that every run is asked about, if any.
        suites: Evaluation suites with the models that are asked them; their memes are among the study's.
    """

    study: Study
    sources: tuple[Source, ...]
    memes: tuple[MemeDataset, ...]
    targets: tuple[VideoDataset, ...]
    runs: tuple[Run, ...]
    asking: Asking | None = None
    clip: Perceiver | None = None
    whisper: Perceiver | FasterWhisper | None = None
    ocr: Ocr | None = None
    operators: tuple[Operator, ...] = ()
    probes: Probes | None = None
    suites: tuple[SuiteAsking, ...] = ()

    @cached_property
    def training_sets(self) -> tuple[TrainingSet, ...]:
        """Those that its runs train on, without repeats."""
        return tuple(dict.fromkeys(run.training_set for run in self.runs if run.is_trained))

    @cached_property
    def splits(self) -> tuple[tuple[VideoDataset, TargetSplit], ...]:
        """Targets with the splits besides their own in which runs are scored, without repeats."""
        named = [(run.target, run.split) for run in self.runs if run.split != OWN_SPLIT]
        return tuple(dict.fromkeys(named))

    @cached_property
    def alignments(self) -> tuple[Alignment, ...]:
        """Every pair of memes and target that something was recorded for, or all of them where a model is asked."""
        return tuple(
            Alignment(memes, target)
            for memes in self.memes
            if memes.name in self.study.memes
            for target in self.targets
            if self.asking or target.name in memes.recorded
        )

    @cached_property
    def shows_pictures(self) -> bool:
        """Whether any model looks at media, so that they must be there."""
        if any(registry.of(operator).needs_frames for operator in self.operators):
            return True
        if self.whisper or self.ocr or any(looks_at_media(*extraction) for extraction in self.extractions):
            return True
        if any(asked.plan.pictures for asked in self.suites):
            return True
        return bool(self.asking and self.asking.plan.pictures) or any(run.inputs.shows_media for run in self.runs)

    @cached_property
    def decodes_pictures(self) -> bool:
        """Whether memes' pictures are decoded: models look at media, or people are shown them."""
        return self.shows_pictures or (self.study.answers == "live" and self.study.rounds.pictures)

    @cached_property
    def extractions(self) -> tuple[tuple[Extractor, MemeDataset | VideoDataset], ...]:
        """Extractors with the datasets whose items they see, in a stable order."""
        needed = [
            (extractor, dataset) for run in self.runs for extractor in run.inputs.extractors for dataset in run.datasets
        ]
        frames = [(self.clip, target) for target in self.targets] if self.clip else []
        return tuple(dict.fromkeys([*needed, *frames]))

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What models are asked in words: about memes, and by detectors that are asked, without repeats."""
        asked = []
        for alignment in self.alignments if self.asking else ():
            assert self.asking
            shown = self.asking.shown(alignment.target)
            items = f"{alignment.memes.name} under {alignment.target.name}"
            about = question(
                self.asking.model, self.asking.prompt, alignment.target.label, items=items, demonstrations=shown
            )
            asked.append(about)
        for run in self.runs:
            if run.prompt and run.base:
                how = "adapted" if run.is_trained else "as it is"
                shown = "the target's own demonstrations" if run.demonstrations else "no demonstrations"
                items = f"videos of {run.target.name}, {how}"
                asked.append(question(run.base, run.prompt, run.target.label, items=items, demonstrations=shown))
        for suite in self.suites:
            for model, task in itertools.product(suite.models, suite.suite.tasks):
                items = f"memes of {suite.suite.name}, task {task.name}"
                asked.append(question(model, suite.prompt, task.label, items=items, demonstrations="no demonstrations"))
        return tuple(dict.fromkeys(asked))

    @cached_property
    def know_nothing(self) -> tuple[str, ...]:
        """Names of the study's models whose weights are random."""
        models = [self.asking and self.asking.model, self.clip, self.whisper, self.ocr]
        models += [run.base for run in self.runs]
        models += [model for suite in self.suites for model in suite.models]
        models += [extractor for extractor, _ in self.extractions]
        return tuple(dict.fromkeys(model.name for model in models if model and model.knows_nothing))

    def alignment(self, name: str) -> Alignment:
        """Return the alignment of that name.

        Raises:
            UnknownName: With the nearest of the study's.
        """
        return _named(name, self.alignments, f"alignment of study {self.study.name!r}")

    def run(self, name: str) -> Run:
        """Return the run of that name.

        Raises:
            UnknownName: With the nearest of the study's.
        """
        return _named(name, self.runs, f"run of study {self.study.name!r}")

    def source(self, dataset: MemeDataset | VideoDataset) -> Source:
        """Return the dataset's source."""
        return self.source_called(dataset.source)

    def source_called(self, name: str) -> Source:
        """Return one of the study's sources."""
        return next(source for source in self.sources if source.name == name)


def recorded_features(
    extractor: Extractor, dataset: MemeDataset | VideoDataset, sources: Mapping[str, Source]
) -> tuple[Source, RecordedFeatures]:
    """Return a dataset's recorded features, and whose file they are in."""
    features = dataset.features[extractor.name]
    return sources[features.source or dataset.source], features


def looks_at_media(extractor: Extractor, dataset: MemeDataset | VideoDataset) -> bool:
    """Return whether an extractor sees anything of a dataset's items but their texts."""
    return extractor.modalities(of_videos=isinstance(dataset, VideoDataset)) not in {(), ("text",)}


def _named(name: str, entries: Sequence[NamedT], kind: str) -> NamedT:
    known = {entry.name: entry for entry in entries}
    if name not in known:
        raise UnknownName(kind, name, known)
    return known[name]
