"""A program to start, and what starts it and watches it: `launchers.py` says which engines do."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from m2v.files.checkout import CHECKOUT
from m2v.files.digests import text_sha256
from m2v.programs import contract

LOG = "log.txt"
OTHERS = "other-hosts.sh"
# What a host of a cluster is told; secrets are its own, because Ray shows what a job is given to whoever asks.
PASSED_ON = (
    *("M2V_", "DAGSTER_PIPES_", "MALLOC_", "HF_HOME", "HF_HUB_OFFLINE"),
    *("AWS_ENDPOINT", "AWS_REGION", "AWS_ALLOW_HTTP"),
)
# glibc gives a freed tensor's memory back to the kernel and takes it again, page by page, for the next one, which is a
# fifth of labelling's time on CPUs, and more where two processes do so at once. It is to keep it (man 3 mallopt).
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


@dataclass(frozen=True)
class Program:
    """A program to start: ``python -m module --spec <out>/spec.json --out <out>``, what it says added to its log.

    Attributes:
        out: Its folder.
        environment: What it gets besides our own.
        n_processes: Start by torchrun with this many; None starts one plain process.
        gpus: That one process of it takes; a fraction shares one.
        spreads: Whether it spreads its items over a cluster's hosts itself; else it works on one.
    """

    module: str
    out: Path
    environment: Mapping[str, str]
    n_processes: int | None = None
    gpus: float = 0
    spreads: bool = False

    @property
    def arguments(self) -> list[str]:
        """Behind the module's name."""
        return ["--spec", str(self.out / "spec.json"), "--out", str(self.out)]

    @property
    def command(self) -> list[str]:
        """How Python starts it."""
        return [sys.executable, *distributed(self.module, self.n_processes), *self.arguments]

    @property
    def name(self) -> str:
        """The same for everybody who wants this folder made: who comes second finds the first one's job by it."""
        return f"m2v-{text_sha256(str(self.out))[:20]}"

    def on_a_cluster(self) -> dict[str, str]:
        """Return the environment for hosts that may have another one, and other code."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        return ALLOCATOR | ours | paths | dict(self.environment) | {contract.CODE: contract.code_digest()}


class Job(Protocol):
    """A program that was started."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code, as a shell gives it, where it ends within about that time.

        Raises:
            ClusterError: It is not known whether it still works.
        """
        ...

    def stop(self) -> None:
        """Take down all that is left of it."""
        ...


class Launcher(Protocol):
    """An engine that starts programs."""

    def ready(self) -> None:
        """Raise unless it answers.

        Raises:
            ClusterError: It does not.
        """
        ...

    def find(self, program: Program) -> Job | None:
        """Return the job for this folder that still works: the worker of the run that started it was killed."""
        ...

    def start(self, program: Program) -> Job:
        """Start it.

        Raises:
            ClusterError: The engine does not answer, refuses, or lacks what the program needs.
        """
        ...


def distributed(module: str, n_processes: int | None) -> list[str]:
    """Return the arguments of Python that start a program: plainly, or in several processes on this machine.

    ``M2V_HOSTFILE`` names DeepSpeed's list of machines instead, which are reached by ssh; ``M2V_TORCHRUN`` holds
    torchrun's arguments for this machine's part in a group of several. Both need the home on a disk that all share.
    """
    if not n_processes:
        return ["-m", module]
    if hosts := os.environ.get("M2V_HOSTFILE"):
        return ["-m", "m2v_resources.launching.ssh_hosts", hosts, module]
    group = shlex.split(os.environ.get("M2V_TORCHRUN") or "--standalone")
    return ["-m", "torch.distributed.run", *group, f"--nproc-per-node={n_processes}", "-m", module]


def write_for_the_others(program: Program) -> None:
    """Write what each other host of a group by ``M2V_TORCHRUN`` is to run, which may have arguments of its own."""
    group = shlex.split(os.environ["M2V_TORCHRUN"])
    front, back = program.command[:3], program.command[3 + len(group) :]
    text = (
        "#!/bin/sh\n# Run this on each other host of the group, while the first one works.\n"
        f"cd {shlex.quote(str(CHECKOUT))} && exec {shlex.join(front)} "
        f"${{M2V_TORCHRUN:-{shlex.join(group)}}} {shlex.join(back)}\n"
    )
    (program.out / OTHERS).write_text(text, encoding="utf-8")
