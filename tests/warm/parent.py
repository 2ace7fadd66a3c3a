"""A process that imports once what programs import, and forks one whenever a stand-in asks for it.

``python -m tests.warm.parent LISTENER PYTHON STARTED_BY MODULE …``: the listener is an open Unix socket's number. The
modules are imported, and nothing else is done with them, since a library that has begun to work does not survive a
fork. Ends when its standard input closes. A fork runs its program as Python would: arguments, environment, folder and
standard files are those of the stand-in, and the interpreter ends it as it ends every program.
"""

import array
import ctypes
import fcntl
import gc
import importlib
import os
import resource
import runpy
import select
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

F_SETSIG = 10
PR_SET_NAME = 15
# In the order in which a fork enters them: the mounts last, since the others are files.
NAMESPACES = ("net", "uts", "ipc", "pid", "mnt")
LIBC = ctypes.CDLL(None, use_errno=True)
# The command's entry point, which has no module of its own to be run as.
COMMAND = "m2v"


@dataclass(frozen=True)
class Request:
    """What a stand-in asks for.

    Attributes:
        files: Standard input, output and error, and the reading end of a pipe that closes when the stand-in ends.
        namespaces: Those of the stand-in that are not the parent's, open.
    """

    module: str
    folder: str
    cores: set[int]
    arguments: list[str]
    environment: dict[str, str]
    files: list[int]
    namespaces: list[int]


def main(listener: socket.socket, modules: list[str]) -> Request | None:
    """Fork until standard input closes; in a fork, return what it is to be."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    wakes, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting: dict[int, socket.socket] = {}
    while True:
        readable, _, _ = select.select([listener, wakes, 0], [], [])
        if 0 in readable and not os.read(0, 1):
            return None
        if wakes in readable:
            os.read(wakes, 4096)
            tell(waiting)
        if listener in readable:
            stand_in, _ = listener.accept()
            request = asked(stand_in)
            if request is None:
                stand_in.close()
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (listener, *waiting.values()):
                    each.close()
                os.close(wakes)
                os.close(woken)
                if request.namespaces:
                    move(request)
                stand_in.sendall(os.getpid().to_bytes(8, "big"))
                stand_in.close()
                return request
            for file in (*request.files, *request.namespaces):
                os.close(file)
            waiting[pid] = stand_in


def namespaces() -> dict[str, int]:
    """Return the numbers of the namespaces in which this process lives, those that a fork can leave."""
    return {name: Path(f"/proc/self/ns/{name}").stat().st_ino for name in NAMESPACES}


def move(request: Request) -> None:
    """Go where the stand-in lives; returns in a process there, while this one waits for it and ends as it does."""
    for each in request.namespaces:
        if LIBC.setns(each, 0):
            raise OSError(ctypes.get_errno(), "The fork could not enter a namespace of its stand-in.")
        os.close(each)
    # A process is of the namespace of processes that it was started in.
    program = os.fork()
    if program == 0:
        return
    for file in request.files:
        os.close(file)
    _, status = os.waitpid(program, 0)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def tell(waiting: dict[int, socket.socket]) -> None:
    """Tell each stand-in whose program has ended how."""
    for pid in list(waiting):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with waiting.pop(pid) as stand_in:
                try:
                    stand_in.sendall(status.to_bytes(8, "big"))
                except (BrokenPipeError, ConnectionResetError):
                    continue


def asked(stand_in: socket.socket) -> Request | None:
    """What a stand-in asks for; None where it ended meanwhile."""
    size, received, _, _ = stand_in.recvmsg(8, socket.CMSG_LEN(16 * array.array("i").itemsize))
    files = array.array("i")
    for _, _, content in received:
        files.frombytes(content)
    n_bytes, said = int.from_bytes(size, "big"), b""
    while len(said) < n_bytes:
        part = stand_in.recv(n_bytes - len(said))
        if not part:
            break
        said += part
    if not size or len(said) < n_bytes:
        for file in files:
            os.close(file)
        return None
    module, folder, cores, n, *words = said.decode(errors="surrogateescape").split("\0")
    variables = dict(pair.split("=", 1) for pair in words[int(n) :])
    return Request(
        module, folder, set(map(int, cores.split())), words[: int(n)], variables, list(files[:4]), list(files[4:])
    )


def become(request: Request, *, python: str, started_by: str) -> None:
    """Be the program up to its first line: everything that a process is given."""
    hears = request.files[3]
    os.set_inheritable(hears, False)
    fcntl.fcntl(hears, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(hears, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(hears, fcntl.F_SETFL, fcntl.fcntl(hears, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have ended before we asked to be told.
    if select.select([hears], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    for number, file in enumerate(request.files[:3]):
        os.dup2(file, number)
        os.close(file)
    # Libraries that started threads of their own when imported do without them; a number of its own shows in lists.
    os.setsid()
    os.sched_setaffinity(0, request.cores)
    os.environ.clear()
    os.environ.update(request.environment | {started_by: "1"})
    os.chdir(request.folder)
    LIBC.prctl(PR_SET_NAME, request.module[-15:].encode(), 0, 0, 0)
    given = [path for path in request.environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [request.folder, *given, *BASE]
    importlib.invalidate_caches()
    sys.executable = python
    sys.argv = [request.module, *request.arguments]


BASE = [path for path in sys.path if Path(path) != Path.cwd() and path]

if __name__ == "__main__":
    LISTENER, PYTHON, STARTED_BY, *MODULES = sys.argv[1:]
    REQUEST = main(socket.socket(fileno=int(LISTENER)), MODULES)
    if REQUEST is not None:
        become(REQUEST, python=PYTHON, started_by=STARTED_BY)
        if REQUEST.module == COMMAND:
            from m2v_cli.cli import main as command

            sys.exit(command())
        # Ran as a program it is not imported by its name, unless somebody else does so.
        sys.modules.pop(REQUEST.module, None)
        runpy.run_module(REQUEST.module, run_name="__main__", alter_sys=True)
