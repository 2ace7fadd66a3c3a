"""For Dagster's daemon: files are observed by themselves, and what is stale is made where that is switched on."""

from pathlib import Path

import dagster as dg

from m2v.catalog.variants import StudyPlan
from m2v.datasets import sources
from m2v.errors import M2VError
from m2v_assets import staleness
from m2v_assets.datasets import forgotten_versions
from m2v_assets.describe import file_key, key
from m2v_assets.media import media_versions
from m2v_resources.annotators import Annotators
from m2v_resources.home import home

INTERVAL_S = 30


def sensors(plan: StudyPlan, graph: staleness.Graph) -> list[dg.SensorDefinition]:
    """The study's sensors."""
    polled = [poll_rounds(plan)] if plan.study.answers == "live" else []
    return [observe_files(plan), *polled, materialise_stale(plan, graph)]


def poll_rounds(plan: StudyPlan) -> dg.SensorDefinition:
    @dg.sensor(
        name="poll_rounds",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Pulls new and changed answers from Label Studio, so that the vote and what rests on it becomes stale. "
            "Together with materialise_stale, rounds open, are answered and end without a hand."
        ),
        asset_selection=dg.AssetSelection.groups("rounds", "human_labels"),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = Annotators(home=str(home()))
        n_new = sum(found.pull(alignment.name) for alignment in plan.alignments if found.has_rounds(alignment.name))
        versions = {key("answers", each.name): found.version(each.name) for each in plan.alignments}
        events = staleness.observe(versions, context.instance)
        return dg.SensorResult(asset_events=events) if events else dg.SkipReason(f"{n_new} new annotations count.")

    return sensor


def observe_files(plan: StudyPlan) -> dg.SensorDefinition:
    @dg.sensor(
        name="observe_files",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records the sha256 of the study's files, so that what rests on a changed file becomes stale.",
        # A sensor needs a target to be listed beside; it never launches anything.
        asset_selection=dg.AssetSelection.groups("memes", "videos"),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found: list[dg.AssetObservation] = []
        problems: list[str] = []
        for source in plan.sources:
            try:
                digests = sources.digests(sources.find(source, home=Path(home())))
            except M2VError as error:
                problems.append(str(error))
                continue
            versions = {file_key(source, file): digest for file, digest in digests.items()}
            found += staleness.observe(versions, context.instance)
        others = {**forgotten_versions(plan, home=home()), **media_versions(plan, home=home())}
        found += staleness.observe(others, context.instance)
        if not found:
            return dg.SkipReason("; ".join(problems) or "No file changed.")
        return dg.SensorResult(asset_events=found)

    return sensor


def materialise_stale(plan: StudyPlan, graph: staleness.Graph) -> dg.SensorDefinition:
    @dg.sensor(
        name="materialise_stale",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Materialises what is stale, wave by wave. The same plan is never launched twice, so an asset that fails "
            "is tried again only once something it rests on has changed; start it by hand to try sooner."
        ),
        asset_selection=dg.AssetSelection.all(),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        active = context.instance.get_run_records(
            dg.RunsFilter(
                statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
            )
        )
        if active:
            return dg.SkipReason(f"Run {active[0].dagster_run.run_id} is under way.")
        record = staleness.recall(graph, context.instance)
        wave = staleness.wave(graph, staleness.stale(graph, record))
        if not wave:
            return dg.SkipReason("Everything is up to date.")
        # Dagster launches a run key once: that is the guard against relaunching a failing asset at every tick.
        run_key = staleness.fingerprint(graph, record, wave)
        return dg.RunRequest(run_key=run_key, asset_selection=wave, tags={"m2v/study": plan.study.name})

    return sensor
