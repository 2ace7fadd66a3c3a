"""``kill -9`` of a program and of all that it started."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

# A program that came to its end before it was caught was not killed: on a busy machine it is started again.
N_TRIES = 20


def kill_tree(pid: int) -> None:
    """Kill a process's descendants, then the process."""
    process = psutil.Process(pid)
    for doomed in (*process.children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed.kill()


def kill_when(
    seen: Callable[[], object], command: list[str], environment: dict[str, str], *, made: tuple[Path, ...]
) -> None:
    """Start a program and kill it with all its processes within its work.

    Args:
        seen: Whether it has come to where it is to die.
        command: The program.
        environment: Its environment.
        made: What it makes, its manifest within the first: taken away before it is started again, where it was
            quicker than the kill.
    """
    for _ in range(N_TRIES):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not seen():
            time.sleep(0.001)
        if process.poll() is None:
            kill_tree(process.pid)
        process.wait()
        if not (made[0] / "manifest.json").exists():
            assert seen(), f"The program ended with {process.returncode} before it came so far."
            return
        for folder in made:
            shutil.rmtree(folder)
    raise AssertionError(f"The program was quicker than the kill {N_TRIES} times.")
