"""What is stale and why, and in which waves to recompute it; from Dagster's public record of versions only.

Dagster itself marks a node stale when its own code or its parents' data changed, not when something further up will
change once it is made; so a plan is a wave, and after each wave one looks again. An equal result stops it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter

import dagster as dg

from m2v.files.digests import data_sha256
from m2v.lineage import cause
from m2v_resources.store.tables import MADE_OF

CODE = "dagster/code_version"
DATA = "dagster/data_version"
INPUT = "dagster/input_data_version/"
# What Dagster records for a parent that had no data version yet.
INITIAL = "INITIAL"


class StaleCause(StrEnum):
    """Why an asset is stale."""

    MISSING = "not made yet"
    CODE = "code"
    DEPENDENCIES = "dependencies"
    DATA = "data"


@dataclass(frozen=True)
class Stale:
    """An asset to recompute.

    Attributes:
        parents: Those whose data changed, or that were added or removed.
        changed: Of a code version, what it is made of that changed: "prompt", "policy", "settings", "code" …
    """

    key: dg.AssetKey
    cause: StaleCause
    parents: tuple[dg.AssetKey, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """For people, for example ``data of human_labels/fhm_hatemm`` or ``changed prompt``."""
        if self.changed and self.changed != ("code",):
            return f"changed {' and '.join(self.changed)}"
        names = ", ".join(parent.to_user_string() for parent in self.parents)
        return f"{self.cause} of {names}" if names else str(self.cause)


class AssetGraph:
    """The assets of a study: who depends on whom, in topological order."""

    def __init__(self, assets: Iterable[dg.AssetsDefinition]) -> None:
        self.specs: dict[dg.AssetKey, dg.AssetSpec] = {}
        self.external: list[dg.AssetKey] = []
        # Assets that one function makes can only be made together.
        self.together: dict[dg.AssetKey, frozenset[dg.AssetKey]] = {}
        for asset in assets:
            if asset.is_observable:
                self.external += asset.keys
                continue
            for spec in asset.specs:
                self.specs[spec.key] = spec
                self.together[spec.key] = frozenset(asset.keys)
        self.parents = {asset: frozenset(dep.asset_key for dep in spec.deps) for asset, spec in self.specs.items()}
        self.order = [asset for asset in TopologicalSorter(self.parents).static_order() if asset in self.specs]

    def ancestors(self, targets: set[dg.AssetKey]) -> set[dg.AssetKey]:
        """Return the targets and everything above them that can be made."""
        reached: set[dg.AssetKey] = set()
        pending = list(targets)
        while pending:
            asset = pending.pop()
            if asset in self.specs and asset not in reached:
                reached.add(asset)
                pending.extend(self.parents[asset])
        return reached

    def descendants(self, sources: Iterable[dg.AssetKey]) -> set[dg.AssetKey]:
        """Return the sources and everything below them."""
        reached = set(sources)
        for asset in self.order:
            if self.parents[asset] & reached:
                reached |= self.together[asset]
        return reached


@dataclass(frozen=True)
class VersionRecord:
    """What the instance remembers.

    Attributes:
        tags: Of each asset's last materialisation, where there is one.
        made_at: When that was, as a Unix time; two materialisations of an asset differ in it.
        versions: Data version of each asset and external asset, where known.
    """

    tags: Mapping[dg.AssetKey, Mapping[str, str]]
    made_at: Mapping[dg.AssetKey, float]
    versions: Mapping[dg.AssetKey, str | None]


def recall(graph: AssetGraph, instance: dg.DagsterInstance) -> VersionRecord:
    """Read what the instance remembers of the graph, in one query for what is made and one per file."""
    tags, made_at = {}, {}
    for record in instance.get_asset_records(graph.order):
        event = record.asset_entry.last_materialization
        if event and event.asset_materialization:
            asset = record.asset_entry.asset_key
            tags[asset] = event.asset_materialization.tags or {}
            made_at[asset] = event.timestamp
    versions = {asset: tags_of.get(DATA) for asset, tags_of in tags.items()}
    versions |= {asset: _observed(asset, instance) for asset in graph.external}
    return VersionRecord(tags, made_at, versions)


def stale(graph: AssetGraph, record: VersionRecord) -> dict[dg.AssetKey, Stale]:
    """Every stale asset, in topological order."""
    judged = ((asset, _judge(asset, graph, record)) for asset in graph.order)
    return {asset: why for asset, why in judged if why}


def fingerprint(graph: AssetGraph, record: VersionRecord, wave: Iterable[dg.AssetKey]) -> str:
    """Return what a wave would do: the same as long as nothing was made and nothing that it rests on changed."""
    parts = [
        [
            asset.to_user_string(),
            graph.specs[asset].code_version,
            record.made_at.get(asset),
            [[parent.to_user_string(), record.versions.get(parent)] for parent in sorted(graph.parents[asset])],
        ]
        for asset in sorted(wave)
    ]
    return data_sha256(parts)


def wave(graph: AssetGraph, pending: Mapping[dg.AssetKey, Stale]) -> list[dg.AssetKey]:
    """Return what can be made now: stale without a stale parent, or certain to be made whatever its parents become.

    An asset that is missing or whose code changed rides along with its pending parents; one whose parent's data changed
    waits for the next look, because its other parents may turn out equal.
    """
    chosen: dict[dg.AssetKey, None] = {}
    for asset, why in pending.items():
        waiting = graph.parents[asset] & pending.keys()
        certain = why.cause is not StaleCause.DATA
        if not waiting or (certain and waiting <= chosen.keys()):
            chosen.update(dict.fromkeys(sorted(graph.together[asset])))
    return list(chosen)


def in_stage(graph: AssetGraph, wave: Iterable[dg.AssetKey], stage: str) -> list[dg.AssetKey]:
    """Of a wave, a stage's assets and those that they rest on, in the wave's order: what needs none of the rest."""
    chosen = list(wave)
    wanted = graph.ancestors({asset for asset in chosen if graph.specs[asset].tags["m2v/stage"] == stage})
    wanted |= {other for asset in wanted for other in graph.together[asset]}
    return [asset for asset in chosen if asset in wanted]


def _judge(asset: dg.AssetKey, graph: AssetGraph, record: VersionRecord) -> Stale | None:
    tags = record.tags.get(asset)
    if tags is None:
        return Stale(asset, StaleCause.MISSING)
    if tags.get(CODE) != graph.specs[asset].code_version:
        return Stale(asset, StaleCause.CODE, changed=_changed(tags, graph.specs[asset]))
    read = {dg.AssetKey.from_user_string(tag.removeprefix(INPUT)): tags[tag] for tag in tags if tag.startswith(INPUT)}
    if read.keys() != graph.parents[asset]:
        return Stale(asset, StaleCause.DEPENDENCIES, tuple(sorted(read.keys() ^ graph.parents[asset])))
    changed = [parent for parent, value in read.items() if value != (record.versions.get(parent) or INITIAL)]
    return Stale(asset, StaleCause.DATA, tuple(sorted(changed))) if changed else None


def _changed(tags: Mapping[str, str], spec: dg.AssetSpec) -> tuple[str, ...]:
    """Return what of a code version is another than when the asset was made, in words."""
    made_of = spec.metadata.get(MADE_OF, {})
    recorded = {name: tags.get(f"{MADE_OF}.{name}", digest) for name, digest in made_of.items()}
    changed = tuple(name.replace("_", " ") for name, digest in made_of.items() if recorded[name] != digest)
    return cause.changed(tags.get(CODE) or "", spec.code_version or "", parts=changed)


def _observed(asset: dg.AssetKey, instance: dg.DagsterInstance) -> str | None:
    for record in instance.fetch_observations(asset, limit=1).records:
        observation = record.asset_observation
        if observation:
            return observation.tags.get(DATA)
    return None


def observe(versions: Mapping[dg.AssetKey, str], instance: dg.DagsterInstance) -> list[dg.AssetObservation]:
    """Observations of those external assets whose version is another than the last one on record."""
    return [
        dg.AssetObservation(asset, tags={DATA: version})
        for asset, version in versions.items()
        if _observed(asset, instance) != version
    ]
