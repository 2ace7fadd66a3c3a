"""Runs a command and takes down everything that it started, however its own parent ends.

``python -m m2v_resources.launching.reaper -- COMMAND …``: standard input is a pipe from the parent. When it closes (the
parent ended, by ``kill -9`` even) or when TERM, INT or HUP arrives, the command and all its descendants get TERM, and
KILL after five seconds. When the command ends by itself, what it left behind is taken down too. The exit code is the
command's, 128 + n for signal n.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

import psutil

GRACE_S = 5.0
POLL_S = 0.1
PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run the command under watch; give its exit code."""
    adopt_orphans()
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked_to_stop.append(number))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not asked_to_stop and not parent_is_gone():
        pass
    take_down(child)
    code = child.wait()
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """Let descendants whose parent ended become our children (Linux), so that none can slip away."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parent_is_gone() -> bool:
    """Wait a moment for the pipe from the parent to close."""
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], POLL_S)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


def take_down(child: "subprocess.Popen[bytes]") -> None:
    """TERM once, then KILL until all are gone: what the child started, in its own group or in others."""
    send(signal.SIGTERM)
    if not all_gone(child, patience_s=GRACE_S):
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and not all_gone(child, patience_s=POLL_S):
            # Again and again, for what is forked meanwhile.
            send(signal.SIGKILL)


def send(number: int) -> None:
    """Signal every descendant of ours."""
    for process in descendants():
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def all_gone(child: "subprocess.Popen[bytes]", *, patience_s: float) -> bool:
    """Whether the child, its group and all descendants end within that time."""
    deadline = time.monotonic() + patience_s
    while True:
        child.poll()
        left = descendants()
        collect(process.pid for process in left if process.pid != child.pid)
        if child.returncode is not None and not left and group_is_gone(child.pid):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def collect(pids: Iterable[int]) -> None:
    """Read the exit codes of adopted processes, which would stay as zombies otherwise."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def group_is_gone(group: int) -> bool:
    """Whether no process of the group is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # the second is what macOS says of zombies
        return True
    return False


def descendants() -> list[psutil.Process]:
    """Return every process below this one, ended ones among them whose exit code nobody has read."""
    return psutil.Process().children(recursive=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
