"""For Dagster's daemon: files are observed by themselves, and what is stale is made where that is switched on."""

import functools
import operator
from pathlib import Path

import dagster as dg

from m2v.catalog.plan import StudyPlan
from m2v_assets import external, staleness
from m2v_assets.describe import PLAN
from m2v_resources.annotators.annotators import Annotators
from m2v_resources.store.home import home

INTERVAL_S = 30
# The stage in which people work; docs/team.md says what its runs go before.
ROUNDS = "annotation"
# Among them are those that died and will be retried, which takes seconds.
N_LAST_RUNS = 20
MAX_DEATHS = 3


def sensors(plan: StudyPlan, graph: staleness.AssetGraph) -> list[dg.SensorDefinition]:
    """Return the study's sensors."""
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
        asset_selection=_tables("rounds", "human_labels"),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        people = Annotators(home=str(home()))
        n_new = sum(people.pull(alignment.name) for alignment in plan.alignments if people.has_rounds(alignment.name))
        events = staleness.observe(external.answers(plan, home=Path(home())).versions, context.instance)
        return dg.SensorResult(asset_events=events) if events else dg.SkipReason(f"{n_new} new annotations count.")

    return sensor


def observe_files(plan: StudyPlan) -> dg.SensorDefinition:
    @dg.sensor(
        name="observe_files",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records the sha256 of the study's files, so that what rests on a changed file becomes stale.",
        # A sensor needs a target to be listed beside; it never launches anything.
        asset_selection=_tables("memes", "videos"),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        versions, problems = external.versions(plan, home=Path(home()))
        observed = staleness.observe(versions, context.instance)
        if not observed:
            return dg.SkipReason("; ".join(map(str, problems.values())) or "No file changed.")
        for problem in problems.values():
            context.log.warning(str(problem))
        return dg.SensorResult(asset_events=observed)

    return sensor


def materialise_stale(plan: StudyPlan, graph: staleness.AssetGraph) -> dg.SensorDefinition:
    @dg.sensor(
        name="materialise_stale",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Materialises what is stale, wave by wave; what people wait for goes before training. The same plan is "
            "never launched twice, so an asset that fails is tried again only once something it rests on has changed; "
            "start it by hand to try sooner."
        ),
        asset_selection=dg.AssetSelection.all(),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        busy = {asset for run in under_way(context.instance) for asset in run.asset_selection or graph.specs}
        record = staleness.recall(graph, context.instance)
        if not any(record.versions.get(asset) for asset in graph.external if asset.path[0] == "files"):
            # What is made of files before their versions are known is stale once they are: it would be made twice.
            return dg.SkipReason("No file of the study was observed yet. The sensor observe_files says why.")
        wave = staleness.wave(graph, staleness.stale(graph, record))
        if not wave:
            return dg.SkipReason("Everything is up to date.")
        held = graph.descendants(busy)
        free = [asset for asset in wave if asset not in held]
        if not free:
            return dg.SkipReason("All that is stale rests on what runs that are under way make.")
        # Two runs: those that people wait for must not wait for training, neither in the queue nor within one run.
        first = staleness.in_stage(graph, free, ROUNDS)
        below = graph.descendants(first)
        rest = [asset for asset in free if asset not in below]
        return dg.SensorResult(
            run_requests=[
                _request(part, staleness.fingerprint(graph, record, part), priority, plan, context.instance)
                for part, priority in ((first, 1), (rest, 0))
                if part
            ]
        )

    return sensor


def _request(
    part: list[dg.AssetKey], planned: str, priority: int, plan: StudyPlan, instance: dg.DagsterInstance
) -> dg.RunRequest:
    died = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={PLAN: planned}))
    n_died = sum(run.tags.get("dagster/failure_reason") != "STEP_FAILURE" for run in died)
    return dg.RunRequest(
        # Dagster launches a run key once: that is the guard against relaunching a failing asset at every tick. A run
        # that was killed says nothing against its assets, as long as that does not go on and on.
        run_key=f"{planned}-{n_died if n_died <= MAX_DEATHS else 0}",
        asset_selection=part,
        tags={PLAN: planned, "m2v/study": plan.study.name, "dagster/priority": str(priority)},
    )


def under_way(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return runs that work, wait in the queue, or died and are about to be retried."""
    statuses = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    active = instance.get_runs(dg.RunsFilter(statuses=statuses))
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=N_LAST_RUNS)
    return [*active, *(run for run in failed if run.is_complete_and_waiting_to_retry)]


def _tables(*names: str) -> dg.AssetSelection:
    """Return the assets of these tables."""
    first, *others = (dg.AssetSelection.tag("m2v/table", name) for name in names)
    return functools.reduce(operator.or_, others, first)
