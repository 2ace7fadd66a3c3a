"""What exists, as data: sources, datasets, models and studies, one YAML each.

A study may live outside the package: its folder is then a catalog of its own, with ``sources/``, ``memes/``,
``videos/``, ``models/``, ``probes/`` … beside the study's file, whose entries stand before ours of the same name.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, cast

from pydantic import Field, TypeAdapter

from m2v import schemas
from m2v.catalog import asked_suites, augmenting, reading
from m2v.catalog.names import known, of_kind
from m2v.catalog.plan import Asking, Run, StudyPlan, recorded_features
from m2v.datasets import details
from m2v.detectors import DETECTORS
from m2v.detectors.family import Detector
from m2v.entries.base import Entry
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.features import Extractor, RecordedExtractor, SoundStatistics
from m2v.entries.layouts import Layout
from m2v.entries.operators import Operator
from m2v.entries.pretrained import Encoder, Perceiver, Vlm
from m2v.entries.probes import Probes
from m2v.entries.prompts import Prompt
from m2v.entries.readers import FasterWhisper, Ocr
from m2v.entries.splits import OWN
from m2v.entries.study import PredictionPlan, Strategy, Study, TrainingPlan
from m2v.entries.suites import Suite
from m2v.entries.variants import OWN_SPLIT, Alignment, TargetSplit, TrainingSet, trains_on_videos, variant
from m2v.errors import InvalidCatalog, UnknownName
from m2v.files.checkout import CHECKOUT

PACKAGE = Path(__file__).parent
Model: TypeAlias = Encoder | Vlm | Perceiver | Ocr | FasterWhisper | SoundStatistics | Detector
# Every kind of model, families of detectors among them; a union that is data has no type of its own.
_KINDS: Any = reduce(or_, (Encoder, Vlm, Perceiver, Ocr, FasterWhisper, SoundStatistics, *DETECTORS))
MODEL: TypeAdapter[Model] = TypeAdapter(cast(Any, Annotated)[_KINDS, Field(discriminator="kind")])

EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True)
class Catalog:
    """Every entry by name."""

    sources: Mapping[str, Source]
    memes: Mapping[str, MemeDataset]
    videos: Mapping[str, VideoDataset]
    models: Mapping[str, Model]
    prompts: Mapping[str, Prompt]
    probes: Mapping[str, Probes]
    operators: Mapping[str, Operator]
    suites: Mapping[str, Suite]
    studies: Mapping[str, Study]


def load(beside: Path | None = None) -> Catalog:
    """Our catalog, under the entries that stand beside an outside study.

    Raises:
        InvalidCatalog: Names the file and each key that is wrong.
    """
    folders = [(PACKAGE, CHECKOUT), *([(beside, beside)] if beside else [])]
    kinds: dict[str, TypeAdapter] = {
        "sources": TypeAdapter(Source),
        "memes": TypeAdapter(MemeDataset),
        "videos": TypeAdapter(VideoDataset),
        "models": MODEL,
        "prompts": TypeAdapter(Prompt),
        "probes": TypeAdapter(Probes),
        "operators": TypeAdapter(Operator),
        "suites": TypeAdapter(Suite),
        "studies": TypeAdapter(Study),
    }
    entries: dict[str, dict[str, Entry]] = {kind: {} for kind in kinds}
    for folder, relative_to in folders:
        for kind, adapter in kinds.items():
            for path in reading.files(folder / kind):
                entries[kind][path.stem] = reading.entry(path, adapter, relative_to)
    if beside:
        own = {
            path.stem: reading.entry(path, TypeAdapter(Layout), beside) for path in reading.files(beside / "layouts")
        }
        for dataset in (*entries["memes"].values(), *entries["videos"].values()):
            if isinstance(dataset, MemeDataset | VideoDataset) and dataset.folder == beside:
                dataset._own_layouts = own
    return Catalog(**entries)  # pyright: ignore[reportArgumentType]


def open_study(name_or_path: str) -> StudyPlan:
    """Return a study of ours by name, or anybody's by its YAML or the folder with it, with every name resolved.

    Raises:
        UnknownName: For a study, dataset, model or source that does not exist, with the nearest that do, and where it
            stands in somebody's own YAML.
        InvalidCatalog: For a study whose parts do not fit together.
    """
    path = study_file(name_or_path)
    if path is None:
        catalog = load()
        return resolve(known(catalog.studies, "study", name_or_path), catalog)
    folder = path.parent.resolve()
    catalog = load(folder)
    study = reading.entry(path, TypeAdapter(Study), folder)
    try:
        return resolve(study, catalog)
    except UnknownName as error:
        where = reading.where(error.name, path)
        raise (error.standing(where) if where else error) from None


def study_file(name_or_path: str) -> Path | None:
    """Return the YAML that a study's path or its folder's names; None where it is the name of a study of ours.

    Raises:
        InvalidCatalog: There is no such file, or a folder holds no study or several.
    """
    path = Path(name_or_path)
    if path.suffix in reading.SUFFIXES:
        if not _is(Path.is_file, path):
            raise InvalidCatalog(path, "there is no such file; give a study's name, its YAML, or its folder.")
        return path
    # A name of ours stands before a folder that happens to be called so; `./name` is the folder.
    is_ours = path.name == name_or_path and _is(Path.is_file, PACKAGE / "studies" / f"{name_or_path}.yaml")
    if is_ours or not _is(Path.is_dir, path):
        return None
    studies = reading.files(path)
    named = [file for file in studies if file.stem == "study"] or studies
    if len(named) == 1:
        return named[0]
    if not named:
        raise InvalidCatalog(path, "no study lies in this folder; `m2v datasets check` there prints one to begin with.")
    raise InvalidCatalog(path, f"several YAML files lie there: {', '.join(file.name for file in named)}. Name one.")


def resolve(study: Study, catalog: Catalog) -> StudyPlan:
    """Return the study with its names turned into entries and its plans into runs."""
    suites = tuple(
        asked_suites.asked(
            plan, study, suites=catalog.suites, memes=catalog.memes, models=catalog.models, prompts=catalog.prompts
        )
        for plan in study.suites
    )
    named_memes = [*study.memes, *(task.dataset for asked in suites for task in asked.suite.tasks)]
    memes = tuple(known(catalog.memes, "meme dataset", name) for name in dict.fromkeys(named_memes))
    targets = tuple(known(catalog.videos, "video dataset", name) for name in study.targets)
    for dataset in memes:
        for target in dataset.recorded:
            known(catalog.videos, f"video dataset (in `recorded` of {dataset.name})", target)
    for dataset in (*memes, *targets):
        _check_files(dataset, known(catalog.sources, f"source (of {dataset.name})", dataset.source))
        _check_recorded_features(dataset, catalog)
        if dataset.annotations:
            source = known(catalog.sources, f"source (of `annotations` of {dataset.name})", dataset.annotations.source)
            _check_named(dataset.annotations.files, dataset, source)
    runs = tuple(dict.fromkeys(run for plan in study.training for run in _runs(plan, study, catalog)))
    trained_on = [operator for run in runs if run.augmentation for operator in run.augmentation.operators]
    operators = tuple(dict.fromkeys([*augmenting.checked(study.operators, catalog.operators), *trained_on]))
    divided = dict.fromkeys((run.target, run.split.split) for run in runs if run.split.split != OWN)
    for target, split in divided:
        _check_split(target, split, catalog)
    named = [
        *(dataset.source for dataset in (*memes, *targets)),
        *(dataset.annotated.source for dataset in (*memes, *targets)),
        *(target.split_source(split) for target, split in divided),
        *(source.name for source in _recorded(runs, catalog)),
    ]
    sources = tuple(catalog.sources[name] for name in dict.fromkeys(named))
    asking = _asking(study.predictions, study, catalog) if isinstance(study.predictions, PredictionPlan) else None
    for dataset in () if asking else memes[: len(study.memes)]:
        _check_recorded(dataset)
    for target in targets if asking and memes else ():
        if asking and not asking.demonstrations(target):
            _check_definition(study, asking.model, asking.prompt, target)
    plan = StudyPlan(
        study=study,
        sources=sources,
        memes=memes,
        targets=targets,
        runs=runs,
        asking=asking,
        clip=_perceiver(study, "clip", catalog, "clip"),
        suites=suites,
        whisper=_perceiver(study, "whisper", catalog, "whisper", "faster-whisper"),
        ocr=_perceiver(study, "ocr", catalog, "ocr"),
        operators=operators,
        probes=known(catalog.probes, "file of probes", study.probes) if study.probes else None,
    )
    _check_variants(plan)
    asked_suites.refuse_twice(plan)
    _check_published(plan)
    return plan


def _recorded(runs: Iterable[Run], catalog: Catalog) -> Iterator[Source]:
    """Yield the sources of recorded features that runs look at."""
    for run in runs:
        recorded = [extractor for extractor in run.extractors if extractor.is_recorded]
        for extractor in recorded:
            for dataset in run.datasets:
                yield recorded_features(extractor, dataset, catalog.sources)[0]


def _extractor(name: str, model: Detector, catalog: Catalog, study: Study) -> Extractor:
    """Return the extractor of that name: a model, or features that datasets bring along."""
    if name not in catalog.models:
        brought = {name for dataset in _datasets(study, catalog) for name in dataset.features}
        if name not in brought:
            raise UnknownName(f"extractor (of {model.name})", name, sorted({*brought, *catalog.models}))
        return RecordedExtractor(name=name)
    named = catalog.models[name]
    if isinstance(named, Extractor) and named.modalities(of_videos=True):
        return named
    raise InvalidCatalog(model.name, f"`features:` names {name!r}, which is of kind {named.kind} and extracts none.")


def _datasets(study: Study, catalog: Catalog) -> list[MemeDataset | VideoDataset]:
    return [*(catalog.memes[name] for name in study.memes), *(catalog.videos[name] for name in study.targets)]


def _asking(plan: PredictionPlan, study: Study, catalog: Catalog) -> Asking:
    model = of_kind("vlm", plan.model, "model", catalog.models, where=study.name, why="predictions need a vlm")
    return Asking(plan, model, known(catalog.prompts, "prompt", plan.prompt))


def _perceiver(study: Study, key: str, catalog: Catalog, *kinds: str) -> Any:
    name, why = getattr(study, key), f"`{key}:` needs a model of kind {' or '.join(kinds)}"
    return of_kind(kinds, name, "model", catalog.models, where=study.name, why=why) if name else None


def _check_recorded(dataset: MemeDataset) -> None:
    for target, recorded in dataset.recorded.items():
        if recorded.predictions is None:
            raise InvalidCatalog(
                f"memes/{dataset.name}.yaml",
                f"`recorded: {target}:` names no `predictions:`; name the file, or have the study ask a model.",
            )


def _runs(plan: TrainingPlan, study: Study, catalog: Catalog) -> Iterator[Run]:
    model = known(catalog.models, "model", plan.model)
    if not isinstance(model, Detector):
        kinds = sorted(kind for family in DETECTORS for kind in family.kinds())
        raise InvalidCatalog(
            study.name, f"model {model.name!r} is of kind {model.kind}; trained are {', '.join(kinds)}."
        )
    base = prompt = None
    if model.base_named:
        kind, name = model.base_named
        why = f"{model.name}'s `{kind}:` needs a {kind}"
        base = of_kind(kind, name, f"model ({kind} of {model.name})", catalog.models, where=model.name, why=why)
    if model.prompt_named:
        prompt = known(catalog.prompts, f"prompt (of {model.name})", model.prompt_named)
    extractors = tuple(_extractor(name, model, catalog, study) for name in model.features_named)
    for names, ours, kind in ((plan.memes, study.memes, "memes"), (plan.targets, study.targets, "targets")):
        for name in names or ():
            if name not in ours:
                raise UnknownName(f"dataset among the {kind} of study {study.name!r}", name, ours)
    for training_set, split in _training_sets(plan, study, catalog):
        for seed in plan.seeds:
            run = Run(model, base, training_set, seed, prompt=prompt, extractors=extractors, split=split)
            if not run.is_trained and not model.scores_untrained:
                raise InvalidCatalog(study.name, f"{model.name} has an untrained head, so it has no strategy no_ft.")
            _check_features(run)
            operators = augmenting.checked(plan.augment, catalog.operators)
            yield augmenting.augmented(run, operators, share=plan.share, study=study.name) if operators else run


def _check_definition(study: Study, model: Entry, prompt: Prompt, target: VideoDataset) -> None:
    """Refuse to ask a model that is told neither what a label means nor shown an item that has it."""
    if not prompt.says_definition:
        word = target.label.positive
        raise InvalidCatalog(
            study.name,
            f"{model.name} would be asked whether an item is {word!r} and never told what that means: the prompt "
            f"{prompt.name!r} does not say the definition, and no demonstrations of {target.name} are shown. Take "
            "`prompt: defined`, or `demonstrations: train`, which draws some from the target's videos.",
        )


def _check_features(run: Run) -> None:
    for extractor in run.extractors:
        for dataset in run.datasets:
            if extractor.is_recorded and extractor.name not in dataset.features:
                raise UnknownName(
                    f"recorded feature of {dataset.name} (named by {run.model.name})", extractor.name, dataset.features
                )
        named = (
            {dataset.features[extractor.name].extractor for dataset in run.datasets} if extractor.is_recorded else ()
        )
        if len(named) > 1:
            problem = f"{extractor.name} is {' and '.join(map(repr, sorted(named)))}; give them names of their own."
            raise InvalidCatalog(run.name, f"features of two extractors would be mixed: {problem}")


def _target_splits(plan: TrainingPlan, target: VideoDataset) -> Iterator[TargetSplit]:
    for name in plan.splits:
        if name == OWN:
            yield OWN_SPLIT
        elif name not in target.splits:
            raise UnknownName(f"split of {target.name}", name, [OWN, *target.splits])
        elif folds := target.splits[name].folds:
            yield from (TargetSplit(name, fold) for fold in range(1, folds.n + 1))
        else:
            yield TargetSplit(name)


def _training_sets(plan: TrainingPlan, study: Study, catalog: Catalog) -> Iterator[tuple[TrainingSet, TargetSplit]]:
    targets = [catalog.videos[name] for name in plan.targets or study.targets]
    for target, strategy in itertools.product(targets, plan.strategies):
        for split in _target_splits(plan, target):
            of_videos = split if trains_on_videos(strategy) else OWN_SPLIT
            if not _uses_memes(strategy):
                yield TrainingSet(strategy, target, paper_mode=plan.paper_mode, split=of_videos), split
                continue
            for memes in (catalog.memes[name] for name in plan.memes or study.memes):
                training_set = TrainingSet(strategy, target, memes, plan.paper_mode, of_videos)
                is_labelled = target.name in memes.recorded or isinstance(study.predictions, PredictionPlan)
                if training_set.alignment and not is_labelled:
                    raise InvalidCatalog(
                        study.name,
                        f"strategy {strategy} needs predictions of {memes.name} under {target.name}; add "
                        f"`recorded: {{{target.name}: …}}` to the YAML of {memes.name}, or leave the strategy out.",
                    )
                yield training_set, split


def _uses_memes(strategy: Strategy) -> bool:
    return strategy in {"om_ft", "rm_ft", "vid_rm_ft"}


def _check_files(dataset: MemeDataset | VideoDataset, source: Source) -> None:
    used = set(dataset.files)
    if isinstance(dataset, MemeDataset):
        parts = [
            part
            for recorded in dataset.recorded.values()
            for part in (recorded.predictions, recorded.answers, recorded.votes, recorded.gold)
        ]
        used |= {part.file for part in parts if part}
    elif dataset.demonstrations:
        used.add(dataset.demonstrations)
    _check_named(used, dataset, source)


def _check_named(files: Iterable[str], dataset: MemeDataset | VideoDataset, source: Source) -> None:
    for name in sorted(set(files) - set(source.files)):
        raise UnknownName(f"file of source {source.name!r} (named by {dataset.name})", name, source.files)


def _check_split(target: VideoDataset, name: str, catalog: Catalog) -> None:
    plan = target.splits[name]
    source = known(catalog.sources, f"source (of `splits: {name}` of {target.name})", target.split_source(name))
    _check_named(plan.files, target, source)
    if plan.grouped_by and schemas.FACETS not in details.of(target):
        problem = f"`splits: {name}` groups by the facet {plan.grouped_by!r}, and its layout has no facets."
        raise InvalidCatalog(target.name, problem)


def _check_recorded_features(dataset: MemeDataset | VideoDataset, catalog: Catalog) -> None:
    for name, features in dataset.features.items():
        kind = f"source (of `features: {name}` of {dataset.name})"
        source = known(catalog.sources, kind, features.source or dataset.source)
        _check_named([features.recorded], dataset, source)


def _check_variants(plan: StudyPlan) -> None:
    datasets = [dataset.name for dataset in (*plan.memes, *plan.targets)]
    for names in (datasets, [alignment.name for alignment in plan.alignments], [run.name for run in plan.runs]):
        flat = [variant(name) for name in names]
        for name in flat:
            if flat.count(name) > 1:
                raise InvalidCatalog(plan.study.name, f"two different parts would both be called {name!r}; rename one.")


def _check_published(plan: StudyPlan) -> None:
    if plan.study.publish:
        for name in plan.study.publish.datasets:
            plan.alignment(name)
        for name in plan.study.publish.adapters:
            plan.run(name)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except OSError:  # a name that is too long, or a link to itself
        return False


__all__ = ["Alignment", "Catalog", "Run", "StudyPlan", "TrainingSet", "load", "open_study", "resolve"]
