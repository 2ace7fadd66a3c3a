"""Items worked on side by side, each result kept as it comes; a file that kills its worker costs only itself."""

import json
import multiprocessing
import resource
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from m2v.files import storage
from m2v.files.digests import data_sha256
from m2v.programs import cores
from m2v.programs.progress import Report

Work = Callable[[dict[str, Any], Path], dict[str, Any]]
# Of address space, for each worker: decoding 8K takes 2 GiB; a hostile header asks for hundreds.
WORKER_GIB = 8
# What one needs for the largest picture that is read: a WebP of 64 million pixels takes 1.1 GB.
PICTURE_GIB = 1.25
RESULT = "result.json"


def results(
    tasks: Mapping[str, dict[str, Any]], work: Work, *, folder: storage.Place, report: Report, unit: str
) -> dict[str, dict[str, Any]]:
    """Each task's result by name, computed unless it is known.

    A result is known by a hash of its task, so a changed task is done again and a killed program goes on.

    Args:
        tasks: Plain data by name.
        work: A function of a module; gets a task and a folder of its own, which exists only if the result does.
        folder: For results of all programs.
    """
    places = {name: storage.join(folder, key(task)) for name, task in tasks.items()}
    with ThreadPoolExecutor(storage.N_AT_ONCE) as pool:
        known = dict(zip(places, pool.map(_known, places.values()), strict=True))
    results_by_name = {name: result for name, result in known.items() if result is not None}
    todo = {name: task for name, task in tasks.items() if name not in results_by_name}
    n_workers = min(len(todo), cores.n_cores(), _n_that_fit())
    n_done = len(results_by_name)
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
                    results_by_name[name] = future.result()
                except BrokenProcessPool:
                    crashed = True
                    if n_workers:
                        continue
                    results_by_name[name] = {"problem": "crashed"}
                todo.pop(name)
                n_done += 1
                report.step(n_done, len(tasks), unit=unit)
        if crashed:
            n_workers = 0
    return results_by_name


def key(task: Mapping[str, Any]) -> str:
    """Return the name of a task's folder."""
    return data_sha256(task)[:32]


def _n_that_fit() -> int:
    """Return for how many workers' largest pictures there is memory at once; at least 1."""
    free = psutil.virtual_memory().available
    # A container's limit, which the machine's memory says nothing of.
    limit, used = (Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    with suppress(OSError, ValueError):
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(1, int(free / (PICTURE_GIB * 2**30)))


def _limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = WORKER_GIB * 2**30
    if soft == resource.RLIM_INFINITY or soft > wanted:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _worked(work: Work, task: dict[str, Any], place: storage.Place) -> dict[str, Any]:
    with storage.filled(place) as folder:
        try:
            result = work(task, folder)
        except MemoryError:
            result = {"problem": "too_large"}
    # Last: what has one is complete.
    storage.write(storage.join(place, RESULT), json.dumps(result).encode())
    return result


def _known(place: storage.Place) -> dict[str, Any] | None:
    content = storage.read(storage.join(place, RESULT))
    try:
        return json.loads(content) if content is not None else None
    except ValueError:
        return None
