"""``kill -9`` of a program and of all that it started."""

import contextlib

import psutil


def kill_tree(pid: int) -> None:
    """Kill a process's descendants, then the process."""
    process = psutil.Process(pid)
    for doomed in (*process.children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed.kill()
