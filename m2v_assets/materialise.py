"""Bring a study up to date: observe its files, plan a wave, materialise it, look again."""

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from m2v import errors
from m2v.catalog.plan import StudyPlan
from m2v.entries.variants import variant
from m2v.errors import M2VError, UnknownName
from m2v_assets import external, staleness
from m2v_assets.definitions import assets, build
from m2v_assets.describe import key

Listener = Callable[[dict[str, Any]], None]


@dataclass
class RunOutcome:
    """What a run of waves did.

    Attributes:
        materialised: Assets made, in the order in which they were made.
        errors: What went wrong, by asset.
        skipped: Assets of the selection that rest on a failed one, and so are not current, each with those that failed.
        behind: What the study's report does not say yet: assets that it rests on, stale or failed.
    """

    materialised: list[str] = field(default_factory=list)
    waves: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """For programs: counts first, then names."""
        return {
            "materialised": len(self.materialised),
            "waves": self.waves,
            "failed": len(self.errors),
            "seconds": round(self.seconds, 3),
            "assets": self.materialised,
            "errors": self.errors,
            "skipped": self.skipped,
            "report_is_current": not self.behind,
        }


def observe(plan: StudyPlan, *, home: Path, instance: dg.DagsterInstance) -> dict[str, M2VError]:
    """Record the versions of what nobody here makes where they changed; return what cannot be had, with the reason."""
    versions, problems = external.versions(plan, home=home)
    for observation in staleness.observe(versions, instance):
        instance.report_runless_asset_event(observation)
    return problems


def pending(
    plan: StudyPlan, *, instance: dg.DagsterInstance, selection: str | None = None
) -> dict[dg.AssetKey, staleness.Stale]:
    """Return what is stale among the selection and its ancestors, in topological order."""
    made = list(assets(plan))
    graph = staleness.AssetGraph(made)
    wanted = graph.ancestors(select(graph, made, selection))
    stale = staleness.stale(graph, staleness.recall(graph, instance))
    return {asset: why for asset, why in stale.items() if asset in wanted}


def select(graph: staleness.AssetGraph, made: Sequence[dg.AssetsDefinition], selection: str | None) -> set[dg.AssetKey]:
    """Return the assets that a selection names: ``table/variant``, a table, or Dagster's selection syntax.

    Raises:
        UnknownName: It names nothing.
    """
    if not selection:
        return set(graph.specs)
    tables = {asset.path[0] for asset in graph.specs}
    if selection in tables:
        return {asset for asset in graph.specs if asset.path[0] == selection}
    asset = dg.AssetKey.from_user_string(selection)
    if asset in graph.specs:
        return {asset}
    # Dagster's own parser of selections uses what it calls beta, for tags.
    with suppress(dg.DagsterError, ValueError), warnings.catch_warnings(action="ignore", category=dg.BetaWarning):
        chosen = dg.AssetSelection.from_string(selection).resolve(made) & graph.specs.keys()
        if chosen:
            return set(chosen)
    raise UnknownName("asset or table", selection, [*tables, *(asset.to_user_string() for asset in graph.specs)])


def run(
    plan: StudyPlan,
    *,
    instance: dg.DagsterInstance,
    selection: str | None = None,
    force: bool = False,
    listen: Listener = lambda event: None,
) -> RunOutcome:
    """Materialise what is stale among the selection and its ancestors, in waves, except what rests on a failure.

    Args:
        force: Recompute the selection even where it is fresh.
        listen: Told of each event as it happens: ``wave``, ``start``, ``progress``, ``done``, ``failed``.
    """
    began = time.monotonic()
    made = list(assets(plan))
    defs = build(plan, made=made, loggers={"listener": _logger(listen)})
    graph = staleness.AssetGraph(made)
    chosen = select(graph, made, selection)
    wanted = graph.ancestors(chosen)
    outcome = RunOutcome()
    job = defs.resolve_implicit_global_asset_job_def()
    forced = chosen if force else set()
    failed: set[dg.AssetKey] = set()
    stale = staleness.stale(graph, staleness.recall(graph, instance))
    while wave := staleness.wave(graph, _pending(graph, stale, forced, within=wanted - graph.descendants(failed))):
        outcome.waves += 1
        listen({"event": "wave", "number": outcome.waves, "assets": [asset.to_user_string() for asset in wave]})
        result = job.execute_in_process(
            asset_selection=wave,
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"listener": {}}},
            tags={"m2v/study": plan.study.name},
        )
        failed |= _record(result, graph, wave, outcome)
        forced = forced - set(wave)
        stale = staleness.stale(graph, staleness.recall(graph, instance))
    outcome.skipped = _resting_on(graph, failed, within=wanted)
    outcome.behind = _behind(graph, plan, stale.keys() | failed)
    outcome.seconds = time.monotonic() - began
    return outcome


def behind(plan: StudyPlan, *, instance: dg.DagsterInstance) -> list[str]:
    """Return what the study's report rests on and does not say yet, as far as files were looked at."""
    graph = staleness.AssetGraph(assets(plan))
    return _behind(graph, plan, staleness.stale(graph, staleness.recall(graph, instance)).keys())


def _behind(graph: staleness.AssetGraph, plan: StudyPlan, stale: Set[dg.AssetKey]) -> list[str]:
    above = graph.ancestors({key("reports", variant(plan.study.name))})
    return [asset.to_user_string() for asset in graph.order if asset in above and asset in stale]


def _pending(
    graph: staleness.AssetGraph,
    stale: Mapping[dg.AssetKey, staleness.Stale],
    forced: Set[dg.AssetKey],
    *,
    within: Set[dg.AssetKey],
) -> dict[dg.AssetKey, staleness.Stale]:
    """Return what is still to be made, in topological order."""
    return {
        asset: stale.get(asset) or staleness.Stale(asset, staleness.StaleCause.CODE)
        for asset in graph.order
        if asset in within and (asset in stale or asset in forced)
    }


def _resting_on(
    graph: staleness.AssetGraph, failed: Set[dg.AssetKey], *, within: Set[dg.AssetKey]
) -> dict[str, list[str]]:
    below = {asset: graph.descendants({asset}) for asset in graph.order if asset in failed}
    return {
        asset.to_user_string(): [root.to_user_string() for root, reached in below.items() if asset in reached]
        for asset in graph.order
        if asset in within - failed and any(asset in reached for reached in below.values())
    }


def _record(
    result: dg.ExecuteInProcessResult, graph: staleness.AssetGraph, wave: Sequence[dg.AssetKey], outcome: RunOutcome
) -> set[dg.AssetKey]:
    """Add what a wave made and what went wrong in it; return the assets that failed, not those that rest on them."""
    made = [event.asset_key for event in result.get_asset_materialization_events() if event.asset_key]
    outcome.materialised += [asset.to_user_string() for asset in made]
    for event in result.filter_events(lambda event: event.is_step_failure):
        outcome.errors[_asset(event.step_key)] = message(event.step_failure_data.error, run_id=result.run_id)
    missing = set(wave) - set(made)
    if missing and not outcome.errors:
        outcome.errors["run"] = "the run failed before any asset; see it in the UI (`make ui`)"
    return {asset for asset in missing if not graph.parents[asset] & missing}


def message(error: Any, *, run_id: str) -> str:
    """Return the message of the error that an asset raised, without Dagster's wrapping; of ours, not of its cause."""
    while error and error.cause and not _is_ours(error):
        error = error.cause
    if error is None:
        return "no reason was recorded"
    name, _, text = error.message.strip().partition(": ")
    if _is_ours(error):
        return text
    line = text.partition("\n")[0] or name
    return f"{error.cls_name}: {line} (unexpected; the traceback is in run {run_id} in the UI)"


def _is_ours(error: Any) -> bool:
    return error.message.partition(": ")[0].strip().rpartition(".")[2] in KNOWN_ERRORS


KNOWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, M2VError)}


def _logger(listen: Listener) -> dg.LoggerDefinition:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard = _heard(getattr(record, "dagster_meta", {}), record)
            if heard:
                listen(heard)

    def listener(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("m2v.listener", level=logging.DEBUG)  # the level of Dagster's own events
        logger.addHandler(Handler())
        return logger

    return dg.LoggerDefinition(listener, description="Hands each event of a run to the command line.")


def _heard(meta: Mapping[str, Any], record: logging.LogRecord) -> dict[str, Any] | None:
    event = meta.get("dagster_event")
    if event is None:
        return {"event": "log", "message": meta.get("orig_message", record.getMessage())}
    if event.event_type_value == "ASSET_OBSERVATION":
        metadata = {
            name: entry.value for name, entry in event.asset_observation_data.asset_observation.metadata.items()
        }
        if "done" in metadata:
            main = {name: metadata.pop(name) for name in ("done", "total", "unit")}
            return {"event": "progress", **main, "figures": metadata}
    kinds = {"STEP_START": "start", "STEP_SUCCESS": "done", "STEP_FAILURE": "failed"}
    kind = kinds.get(event.event_type_value)
    return {"event": kind, "step": _asset(event.step_key)} if kind else None


def _asset(step_key: str | None) -> str:
    """Return the asset that a step makes; Dagster names the step of ``table/variant`` ``table__variant``."""
    return (step_key or "run").replace("__", "/", 1)
