"""A command that starts more: writes its pid, starts a child in a session of its own, and sleeps.

``python -m tests.m2v_resources.launching.tree FOLDER [stubborn]``: a stubborn one does not end on TERM.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def main(folder: Path, *, stubborn: bool, is_child: bool) -> None:
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not is_child:
        subprocess.Popen([sys.executable, "-m", __spec__.name, *sys.argv[1:], "child"], start_new_session=True)
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(600)


def grown(folder: Path, n_processes: int) -> None:
    """Wait until so many processes have written their pids."""
    while len([*folder.glob("*.pid")]) < n_processes:
        time.sleep(0.01)


def gone(folder: Path, *, within_s: float) -> bool:
    """Whether every process that wrote its pid ends within that time."""
    deadline = time.monotonic() + within_s
    while any(_lives(int(path.stem)) for path in folder.glob("*.pid")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), stubborn="stubborn" in sys.argv, is_child="child" in sys.argv)
