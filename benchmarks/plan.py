"""The stale plan of a study with a thousand assets, cold (nothing made yet) and warm (everything made).

A study of one meme dataset, one target and as many seeds as it takes; the records of a finished run are reported to a
real SQLite instance, which a plan then reads. Nothing is trained.
"""

import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from figure import report
from m2v import catalog
from m2v.entries.study import Study, TrainingPlan
from m2v_assets import staleness
from m2v_assets.definitions import assets

N_ASSETS = 1_000


def study() -> Study:
    strategies = ("om_ft", "rm_ft", "vid_ft", "vid_rm_ft")
    plan = TrainingPlan(
        model="minilm-probe", strategies=strategies, seeds=tuple(range(N_ASSETS // 3 // len(strategies)))
    )
    return Study(name="thousand", title="A thousand assets", memes=("fhm",), targets=("hatemm",), training=(plan,))


def record(graph: staleness.AssetGraph, instance: dg.DagsterInstance) -> None:
    """Report every asset as materialised from its present parents."""
    for asset in graph.order:
        tags = {staleness.CODE: graph.specs[asset].code_version or "", staleness.DATA: "1"}
        for parent in graph.parents[asset]:
            known = "1" if parent in graph.specs else staleness.INITIAL
            tags[f"{staleness.INPUT}{parent.to_user_string()}"] = known
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, tags=tags))


def seconds(graph: staleness.AssetGraph, instance: dg.DagsterInstance) -> tuple[float, int]:
    began = time.perf_counter()
    pending = staleness.stale(graph, staleness.recall(graph, instance))
    staleness.wave(graph, pending)
    return time.perf_counter() - began, len(pending)


def main() -> None:
    plan = catalog.resolve(study(), catalog.load())
    began = time.perf_counter()
    graph = staleness.AssetGraph(assets(plan))
    building = time.perf_counter() - began
    sys.stderr.write(f"{len(graph.order)} assets built in {building:.2f} s\n")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
        with dg.DagsterInstance.from_config(folder) as instance:
            cold, n_missing = seconds(graph, instance)
            record(graph, instance)
            warm, n_stale = seconds(graph, instance)
    assert n_missing == len(graph.order)
    assert n_stale == 0, f"{n_stale} assets are stale after a complete record"
    for name, figure in (("cold", building + cold), ("warm", building + warm)):
        title = f"plan: {len(graph.order)} assets built and planned, {name}"
        report(title, figure, unit="s", target="≤ 2", holds=figure <= 2)


if __name__ == "__main__":
    main()
