"""Ten thousand assets built, planned and readied for a run; and the event log that materialising really leaves.

The study is ``plan.py``'s with more seeds, its record that of a finished run on a real SQLite instance. The event log
is measured on the recorded sample: what a second, forced run of seven assets adds to it. Run by ``scale.py``.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import plan as thousand

from figure import peak_mib
from m2v import catalog
from m2v_assets import staleness
from m2v_assets.definitions import assets, build

N_ASSETS = 10_000
M2V = str(Path(sys.executable).with_name("m2v"))
RUN = [M2V, "run", "--study", "sample-recorded", "--select", '+tag:"m2v/table"="voted_labels"', "--json"]


def planned(folder: Path) -> dict[str, Any]:
    """Seconds of building, of a cold and a warm plan and of readying a run; the record's rows and bytes."""
    thousand.N_ASSETS = N_ASSETS
    plan = catalog.resolve(thousand.study(), catalog.load())
    building, made = timed(lambda: list(assets(plan)))
    graph = staleness.AssetGraph(made)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        cold, n_missing = thousand.seconds(graph, instance)
        recording, _ = timed(lambda: thousand.record(graph, instance))
        warm, n_stale = thousand.seconds(graph, instance)
    assert (n_missing, n_stale) == (len(graph.order), 0)
    # What every process does before its first asset: one job over all, and its snapshot for the record of runs.
    readying, _ = timed(lambda: ready(build(plan, made=made)))
    return {
        "n_assets": len(graph.order), "building": building, "cold": cold, "warm": warm, "recording": recording,
        "readying": readying, "peak_mib": peak_mib(),
    }  # fmt: skip


def ready(defs: dg.Definitions) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    job.get_job_snapshot_id()


def logged(folder: Path) -> dict[str, Any]:
    """Event-log rows and bytes, and files, that each asset of a run adds, without what the first run founds."""
    environment = {**os.environ, "M2V_HOME": str(folder)}
    made, sizes = [], []
    for force in ([], ["--force"]):
        done = subprocess.run([*RUN, *force], env=environment, check=True, stdout=subprocess.PIPE, text=True)
        made.append(len(json.loads(done.stdout.splitlines()[-1])["assets"]))
        sizes.append(size(folder / "dagster"))
    return {name: (sizes[1][name] - sizes[0][name]) / made[1] for name in sizes[0]}


def size(folder: Path) -> dict[str, int]:
    """Rows of event logs, bytes and files below Dagster's folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    n_bytes, rows = sum(path.stat().st_size for path in files), 0
    for path in files:
        if path.suffix == ".db" or path.name == ".db":
            with closing(sqlite3.connect(path)) as connection:
                names = {name for (name,) in connection.execute("select name from sqlite_master")}
                if "event_logs" in names:
                    rows += connection.execute("select count(*) from event_logs").fetchone()[0]
    return {"rows": rows, "bytes": n_bytes, "files": len(files)}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result
