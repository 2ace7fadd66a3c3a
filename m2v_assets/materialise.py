"""Bring a study up to date: observe its files, plan a wave, materialise it, look again."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from m2v import errors
from m2v.catalog.plan import StudyPlan
from m2v.errors import M2VError, UnknownName
from m2v_assets import external, staleness
from m2v_assets.definitions import assets, build

Listener = Callable[[dict[str, Any]], None]


@dataclass
class RunOutcome:
    """What a run of waves did.

    Attributes:
        materialised: Assets made, in the order in which they were made.
        errors: What went wrong, by asset; ``skipped`` are the assets that could not be made because of it.
    """

    materialised: list[str] = field(default_factory=list)
    waves: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
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
    with suppress(dg.DagsterError, ValueError):
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
    """Materialise what is stale among the selection and its ancestors, in waves, until nothing is or something fails.

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
    forced = {
        asset: staleness.Stale(asset, staleness.StaleCause.CODE) for asset in graph.order if asset in chosen and force
    }
    while not outcome.errors:
        pending = {
            asset: why
            for asset, why in staleness.stale(graph, staleness.recall(graph, instance)).items()
            if asset in wanted
        }
        pending = {
            asset: pending.get(asset) or forced[asset] for asset in graph.order if asset in pending or asset in forced
        }
        wave = staleness.wave(graph, pending)
        if not wave:
            break
        outcome.waves += 1
        listen({"event": "wave", "number": outcome.waves, "assets": [asset.to_user_string() for asset in wave]})
        result = job.execute_in_process(
            asset_selection=wave,
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"listener": {}}},
            tags={"m2v/study": plan.study.name},
        )
        _record(result, wave, outcome)
        forced = {asset: why for asset, why in forced.items() if asset not in wave}
    outcome.seconds = time.monotonic() - began
    return outcome


def _record(result: dg.ExecuteInProcessResult, wave: list[dg.AssetKey], outcome: RunOutcome) -> None:
    made = [event.asset_key for event in result.get_asset_materialization_events() if event.asset_key]
    outcome.materialised += [asset.to_user_string() for asset in made]
    for event in result.filter_events(lambda event: event.is_step_failure):
        outcome.errors[_asset(event.step_key)] = message(event.step_failure_data.error, run_id=result.run_id)
    if not result.success and not outcome.errors:
        outcome.errors["run"] = "the run failed before any asset; see it in the UI (`make ui`)"
    outcome.skipped += [asset.to_user_string() for asset in wave if asset not in made] if outcome.errors else []


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
