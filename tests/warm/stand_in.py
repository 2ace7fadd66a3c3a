"""Stands in for Python: has a parent that has imported a program fork it, and is that program to whoever started us.

Its file is written by ``Parents``, which puts a first line and the settings ``PYTHON``, ``PARENTS`` and ``STARTED_BY``
before it. Whatever is not a warm program, or would see other settings than those that its parent was imported under,
is Python itself.

To whoever waits, kills or signals, this process is the program: it passes signals on, ends as the program ends, and
the kernel kills the program when this process ends, by ``kill -9`` too: the program's end of a pipe to us is to be
told by SIGKILL that the other end closed (``F_SETSIG``), before anybody who waits for us hears that we have ended.
"""

import array
import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1


def wanted(name: str, arguments: list[str]) -> tuple[str, list[str]] | None:
    """Which module runs with which arguments, where that is all that Python is asked for."""
    if name != "python":
        return name, arguments
    if arguments[:1] == ["-u"]:
        arguments = arguments[1:]
    return (arguments[1], arguments[2:]) if arguments[:1] == ["-m"] and len(arguments) > 1 else None


def is_like(environment: Mapping[str, str], parent: Mapping[str, object]) -> bool:
    """Whether we would import what the parent did: the same code, in the same world, under the same settings."""
    settings, checkout = parent["settings"], parent["checkout"]
    assert isinstance(settings, dict)
    path = environment.get("PYTHONPATH", "").split(os.pathsep)[0]
    return (
        (path or os.getcwd()) == checkout
        and all(environment.get(name) == value for name, value in settings.items())
        and not any(environment.get(name) for name in ("M2V_SPREAD", "PYTHONSAFEPATH", "PYTHONOPTIMIZE"))
    )


def become(module: str, arguments: list[str], address: str, namespaces: Mapping[str, int]) -> None:
    """Have the parent fork the program; end as it does."""
    if os.environ.get(STARTED_BY):
        # What a warm program starts ends with it: whoever kills that by our numbers cannot see ours below it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = socket.socket(socket.AF_UNIX)
    parent.connect(address)
    hears, lives = os.pipe()
    cores = " ".join(map(str, os.sched_getaffinity(0)))
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    said = "\0".join([module, os.getcwd(), cores, str(len(arguments)), *arguments, *variables])
    said = said.encode(errors="surrogateescape")
    # The fork is to live where we do.
    ours = [
        f"/proc/self/ns/{name}"
        for name, number in namespaces.items()
        if os.stat(f"/proc/self/ns/{name}").st_ino != number
    ]
    files = array.array("i", [0, 1, 2, hears, *(os.open(path, os.O_RDONLY) for path in ours)])
    parent.sendmsg([len(said).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files.tobytes())])
    parent.sendall(said)
    for file in files[3:]:
        os.close(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    program = int.from_bytes(received(parent, 8), "big")

    def pass_on(number: int, _: object) -> None:
        try:
            os.kill(program, number)
        except ProcessLookupError:
            return

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = int.from_bytes(received(parent, 8), "big")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os.close(lives)
    os._exit(os.WEXITSTATUS(status))


def received(parent: socket.socket, n_bytes: int) -> bytes:
    """So many bytes; the parent's end is ours."""
    found = b""
    while len(found) < n_bytes:
        part = parent.recv(n_bytes - len(found))
        if not part:
            sys.stderr.write("The parent of warm programs has ended.\n")
            os._exit(70)
        found += part
    return found


def main() -> None:
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    found = wanted(name, arguments)
    parent = PARENTS.get(found[0]) if found else None
    if found and parent and is_like(os.environ, parent):
        become(*found, parent["address"], parent["namespaces"])
    python = [PYTHON] if name == "python" else [PYTHON, os.path.join(os.path.dirname(PYTHON), name)]
    os.execv(PYTHON, [*python, *arguments])


main()
