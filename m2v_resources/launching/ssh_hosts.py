"""Starts torchrun on each host of DeepSpeed's hostfile, by ssh, and takes all of it down when one of them ends badly.

``python -m m2v_resources.launching.ssh_hosts HOSTFILE MODULE ARGUMENTS…``, on the first host of the file. On the others
the same checkout lies at the same path. ``M2V_SSH`` holds the command with options; without it ``ssh``, which knows
users and keys from its own configuration.
"""

import math
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from m2v.errors import ClusterError
from m2v.files.checkout import CHECKOUT
from m2v_resources.launching.program import PASSED_ON

# No passwords; half a minute without an answer ends a connection.
OPTIONS = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
OPTIONS += ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
# What the others are told besides, and what not: Dagster listens on the first one.
NETWORK = ("PYTHONPATH", "NCCL_", "GLOO_")
DAGSTER = "DAGSTER_PIPES_"
# What ssh says of its own failures.
SSH_FAILED = 255
# Of a process that failed the others hear by themselves, and say so; then they are taken down.
GRACE_S = 10.0
POLL_S = 0.2


def main(hostfile: Path, module: str, arguments: Sequence[str]) -> int:
    """Run to the end of all; the exit code of the first that failed.

    Raises:
        ClusterError: A host cannot be reached.
    """
    slots = read(hostfile)
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    started = {host: start(host, [*group(host, slots, port=port), "-m", module, *arguments]) for host in slots}
    failed = until_one_fails(started)
    if failed is None:
        return 0
    code = started[failed].returncode
    if code == SSH_FAILED:
        raise ClusterError(
            f"{failed} of {hostfile} cannot be reached by ssh any more, or never could; what ssh said stands above. "
            f"Try: ssh -o BatchMode=yes {failed} true"
        )
    sys.stderr.write(f"{failed} ended with exit code {code}.\n")
    return code if code > 0 else 128 - code


def until_one_fails(started: Mapping[str, "subprocess.Popen[bytes]"]) -> str | None:
    """Wait for all, or until the others had their time after one has failed, and take down what is left; that one."""
    failed, deadline = None, math.inf
    while time.monotonic() < deadline and any(process.poll() is None for process in started.values()):
        time.sleep(POLL_S)
        if failed is None and (failed := next((host for host, process in started.items() if process.poll()), None)):
            deadline = time.monotonic() + (0 if started[failed].returncode == SSH_FAILED else GRACE_S)
    for process in started.values():
        # What the reaper there waits for.
        assert process.stdin
        process.stdin.close()
    for process in started.values():
        process.wait()
    return failed or next((host for host, process in started.items() if process.returncode), None)


def read(hostfile: Path) -> dict[str, int]:
    """How many processes each host starts.

    Raises:
        ClusterError: A line that is not ``name slots=N``, or no line.
    """
    try:
        lines = [line.partition("#")[0].split() for line in hostfile.read_text(encoding="utf-8").splitlines()]
        slots = {host: int(rest.removeprefix("slots=")) for host, rest in filter(None, lines)}
    except (OSError, ValueError) as error:
        raise ClusterError(f"M2V_HOSTFILE {hostfile} cannot be used ({error}). Each line: name slots=N") from error
    if not slots:
        raise ClusterError(f"M2V_HOSTFILE {hostfile} lists no host. Each line: name slots=N")
    return slots


def group(host: str, slots: dict[str, int], *, port: int) -> list[str]:
    """Return the arguments of Python that start torchrun for one host's part."""
    part = [f"--nnodes={len(slots)}", f"--node-rank={[*slots].index(host)}", f"--master-addr={next(iter(slots))}"]
    where = [*part, f"--master-port={port}"] if len(slots) > 1 else ["--standalone"]
    return ["-m", "torch.distributed.run", *where, f"--nproc-per-node={slots[host]}"]


def start(host: str, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start Python there, or here, below a reaper."""
    program = [sys.executable, "-m", "m2v_resources.launching.reaper", "--", sys.executable, *arguments]
    if host in {"localhost", socket.gethostname()}:
        return subprocess.Popen(program, stdin=subprocess.PIPE, cwd=CHECKOUT)
    names = [name for name in os.environ if name.startswith((*PASSED_ON, *NETWORK)) and not name.startswith(DAGSTER)]
    given = [f"{name}={os.environ[name]}" for name in names]
    line = f"cd {shlex.quote(str(CHECKOUT))} && exec env {shlex.join([*given, *program])}"
    ssh = shlex.split(os.environ.get("M2V_SSH") or "ssh")
    return subprocess.Popen([*ssh, *OPTIONS, host, line], stdin=subprocess.PIPE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
