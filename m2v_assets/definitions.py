"""The asset graph of a study."""

import os
from collections.abc import Iterator, Sequence

import dagster as dg

from m2v.catalog import open_study
from m2v.catalog.plan import StudyPlan
from m2v.entries.probes import Probes
from m2v.entries.variants import Alignment
from m2v_assets import (
    annotation,
    datasets,
    detectors,
    evaluation,
    features,
    jobs,
    media,
    operated,
    prediction,
    probes,
    publishing,
    report,
    sensors,
    staleness,
    suites,
    texts,
    training_data,
)
from m2v_resources.annotators.annotators import Annotators
from m2v_resources.hub.releases import Releases
from m2v_resources.launching.programs import Programs
from m2v_resources.store.home import home
from m2v_resources.store.reports import Reports
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables

DEFAULT_STUDY = "published"


@dg.definitions
def definitions() -> dg.Definitions:
    """Return what Dagster's UI and daemon load: the study named by ``M2V_STUDY``."""
    return build(open_study(os.environ.get("M2V_STUDY") or DEFAULT_STUDY))


def build(
    plan: StudyPlan,
    *,
    made: Sequence[dg.AssetsDefinition] | None = None,
    loggers: dict[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Return the study's assets with their resources; whatever runs them runs them in one process, one after the other.

    Args:
        made: The study's assets, where the caller has them: making them takes a millisecond each.
    """
    folder = str(home())
    made = list(assets(plan)) if made is None else made
    return dg.Definitions(
        assets=made,
        sensors=sensors.sensors(plan, staleness.AssetGraph(made)),
        jobs=jobs.jobs(made),
        schedules=jobs.schedules(),
        resources={
            "tables": fixed(Tables(home=folder)),
            "sources": fixed(Sources(home=folder)),
            "annotators": fixed(Annotators(home=folder)),
            "programs": fixed(Programs(home=folder)),
            "reports": fixed(Reports(home=folder)),
            "releases": fixed(Releases(home=folder)),
            # Assets store their rows themselves. Dagster's default would write wherever a run's config says.
            "io_manager": dg.IOManagerDefinition(lambda _: dg.InMemoryIOManager(), config_schema={}),
        },
        # The default executor starts a process for each asset, which takes longer than most assets do.
        executor=dg.in_process_executor,
        loggers=loggers,
    )


def fixed(resource: object) -> dg.ResourceDefinition:
    """Return a resource that no run's config can change: who may launch a run chooses no path."""
    return dg.ResourceDefinition(lambda _: resource, config_schema={})


def assets(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """One asset per dataset version, table by table."""
    yield from _data(plan)
    for alignment in plan.alignments:
        yield from _labels(alignment, plan)
    for training_set in plan.training_sets:
        yield detectors.training_examples(training_set, plan.study)
    for run in plan.runs:
        yield detectors.checkpoint(run, plan.study)
        yield detectors.validation_predictions(run, plan.study)
        yield detectors.test_predictions(run, plan.study)
        if run.model.explains:
            yield detectors.explanations(run, plan.study)
        yield evaluation.metrics(run)
        if plan.operators:
            yield operated.operated_predictions(run, plan)
    if plan.runs:
        yield evaluation.results(plan)
        yield evaluation.comparisons(plan)
        yield evaluation.differences(plan)
        yield evaluation.calibration(plan)
        yield evaluation.operating_points(plan)
        yield evaluation.prevalence(plan)
        yield evaluation.slices(plan)
        yield from training_data.assets(plan)
        yield evaluation.robustness(plan)
    if plan.runs and plan.probes:
        yield from _probed(plan, plan.probes)
    yield from suites.assets(plan)
    yield report.report(plan)
    yield from publishing.releases(plan)


def _probed(plan: StudyPlan, entry: Probes) -> Iterator[dg.AssetsDefinition]:
    """Yield what runs are asked besides test videos, and what they can do."""
    yield probes.probes(entry)
    for run in plan.runs:
        if probes.unasked(run) is None:
            yield probes.probe_predictions(run, plan)
    yield probes.functions(plan)


def _data(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """Yield sources, items and what models see of them."""
    for source in plan.sources:
        yield datasets.files(source)
    for dataset in plan.memes:
        yield datasets.forgotten(dataset)
        yield datasets.memes(dataset, plan.source(dataset))
    for dataset in plan.targets:
        yield datasets.videos(dataset, plan.source(dataset))
        if dataset.demonstrations:
            yield datasets.demonstrations(dataset, plan.source(dataset))
        if plan.asking and plan.asking.plan.demonstrations in {"train", "validation"}:
            yield prediction.drawn_demonstrations(dataset, plan.asking, plan.study)
    for dataset in (*plan.memes, *plan.targets):
        annotated = datasets.annotations(dataset, plan.source(dataset.annotated))
        if annotated:
            yield annotated
    for target, split in plan.splits:
        yield datasets.splits(target, split, plan)
    yield from _media(plan)
    for extractor, dataset in plan.extractions:
        yield features.features(extractor, dataset, plan)


def _media(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """Yield pictures, frames and sound, and the texts that are read or heard in them."""
    if plan.decodes_pictures:
        for dataset in plan.memes:
            yield media.files(dataset, plan.source(dataset))
            yield media.meme_images(dataset, plan)
    if plan.shows_pictures:
        for dataset in plan.targets:
            yield media.files(dataset, plan.source(dataset))
            yield media.video_features(dataset, plan)
    for dataset in (*(plan.memes if plan.ocr else ()), *(plan.targets if plan.whisper else ())):
        yield texts.texts(dataset, plan)


def _labels(alignment: Alignment, plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """From a model's labels to the vote."""
    source = plan.source(alignment.memes)
    yield prediction.predictions(alignment, plan)
    yield annotation.conflicts(alignment, plan.study)
    if plan.study.answers == "live":
        yield annotation.answers(alignment)
        yield annotation.rounds(alignment, plan.study, source)
        yield annotation.live_labels(alignment)
    else:
        yield annotation.human_labels(alignment, source)
    yield annotation.voted_labels(alignment, plan.study, source)
