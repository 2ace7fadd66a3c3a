"""Runs a command and takes down everything that it started, however its own parent ends.

``python -m m2v_resources.reaper -- COMMAND …``: standard input is a pipe from the parent. When it closes (the parent
ended, by ``kill -9`` even) or when TERM or INT arrives, the command and all its descendants get TERM, and KILL after five
seconds. When the command ends by itself, what it left behind is killed. The exit code is the command's, 128 + n for
signal n.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 5.0
POLL_S = 0.1
PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run the command under watch; give its exit code."""
    adopt_orphans()
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
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
    """TERM, then KILL, for the child's group and every descendant of ours."""
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        deadline = time.monotonic() + patience_s
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)
        while time.monotonic() < deadline:
            child.poll()
            collect_orphans(child.pid)
            if child.returncode is not None and not descendants(os.getpid()):
                return
            time.sleep(0.02)


def collect_orphans(child: int) -> None:
    """Read the exit codes of adopted processes, which would stay as zombies otherwise."""
    for pid in descendants(os.getpid()):
        if pid != child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def descendants(root: int) -> list[int]:
    """Every living process below ``root``; none where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent …; the name may hold spaces and brackets.
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, pending = [], [root]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
