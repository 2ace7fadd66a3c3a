"""Items worked on side by side, each result kept as it comes; a file that kills its worker costs only itself."""

import hashlib
import json
import multiprocessing
import os
import resource
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from m2v.programfiles import replace
from m2v.progress import Report

Work = Callable[[dict[str, Any], Path], dict[str, Any]]
# Of address space, for each worker: decoding 8K takes 2 GiB; a hostile header asks for hundreds.
WORKER_GIB = 8


def results(
    tasks: Mapping[str, dict[str, Any]], work: Work, *, folder: Path, report: Report, unit: str
) -> dict[str, dict[str, Any]]:
    """Each task's result by name, computed unless it is known.

    A result is known by a hash of its task, so a changed task is done anew and a killed program goes on.

    Args:
        tasks: Plain data by name.
        work: A function of a module; gets a task and a folder of its own, which exists only if the result does.
        folder: For results of all programs.
    """
    places = {name: folder / key(task) for name, task in tasks.items()}
    found = {name: known for name, place in places.items() if (known := _known(place)) is not None}
    todo = {name: task for name, task in tasks.items() if name not in found}
    n_workers = min(len(todo), os.cpu_count() or 1)
    n_done = len(found)
    while todo:
        # Spawned: a fork of a process with threads may hang. One that dies takes the whole pool with it; then each of
        # the rest has a pool of its own, so that the culprit is known.
        n_at_once = max(1, n_workers)
        crashed = False
        with ProcessPoolExecutor(
            n_at_once, mp_context=multiprocessing.get_context("spawn"), initializer=_limit
        ) as pool:
            batch = todo if n_workers else dict([next(iter(todo.items()))])
            futures = {pool.submit(_worked, work, task, places[name]): name for name, task in batch.items()}
            for future in as_completed(futures):
                name = futures[future]
                try:
                    found[name] = future.result()
                except BrokenProcessPool:
                    crashed = True
                    if n_workers:
                        continue
                    found[name] = {"problem": "crashed"}
                todo.pop(name)
                n_done += 1
                report.step(n_done, len(tasks), unit=unit)
        if crashed:
            n_workers = 0
    return found


def key(task: Mapping[str, Any]) -> str:
    """The name of a task's folder."""
    return hashlib.sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()[:32]


def stamp(path: Path) -> list[int]:
    """What changes when a file does, without reading it."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = WORKER_GIB * 2**30
    if soft == resource.RLIM_INFINITY or soft > wanted:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _worked(work: Work, task: dict[str, Any], place: Path) -> dict[str, Any]:
    place.mkdir(parents=True, exist_ok=True)
    try:
        found = work(task, place)
    except MemoryError:
        found = {"problem": "too_large"}
    replace(place / "result.json", json.dumps(found).encode())
    return found


def _known(place: Path) -> dict[str, Any] | None:
    try:
        return json.loads((place / "result.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
