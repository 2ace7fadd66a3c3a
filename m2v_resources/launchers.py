"""Where programs work: on this machine, on a Ray cluster, or in a Slurm allocation. ``M2V_LAUNCHER`` says which.

``local`` (the default), ``ray:http://head:8265``, or ``slurm`` with sbatch's arguments behind a colon. On a cluster
every host sees the same home, on a disk that all share, and has the same code, which a program checks first of all.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from m2v import programfiles
from m2v.catalog import CHECKOUT
from m2v.errors import ClusterError

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
    """

    module: str
    out: Path
    environment: Mapping[str, str]
    n_processes: int | None = None
    gpus: float = 0

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
        return f"m2v-{programfiles.digest(str(self.out))[:20]}"

    def on_a_cluster(self) -> dict[str, str]:
        """The environment for hosts that may have another one, and other code."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        return ALLOCATOR | ours | paths | dict(self.environment) | {programfiles.CODE: programfiles.code_digest()}


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
        """Nothing, where it answers.

        Raises:
            ClusterError: It does not.
        """
        ...

    def find(self, program: Program) -> Job | None:
        """The job for this folder that still works: the worker of the run that started it was killed."""
        ...

    def start(self, program: Program) -> Job:
        """Start it.

        Raises:
            ClusterError: The engine does not answer, refuses, or lacks what the program needs.
        """
        ...


def chosen() -> Launcher:
    """The engine that ``M2V_LAUNCHER`` names.

    Raises:
        ClusterError: It names none.
    """
    setting = os.environ.get("M2V_LAUNCHER") or "local"
    engine, _, rest = setting.partition(":")
    if engine == "local" and not rest:
        return Local()
    if engine == "ray" and rest:
        from m2v_resources.ray_jobs import Ray

        return Ray(rest)
    if engine == "slurm":
        from m2v_resources.slurm import Slurm

        return Slurm(rest)
    raise ClusterError(
        f"M2V_LAUNCHER is {setting!r}. It must be local, ray:http://HEAD:8265 with the address of Ray's dashboard, or "
        "slurm, with sbatch's arguments behind a colon."
    )


class Local:
    """This machine: a process under a reaper, which takes all of it down when we end, however we end."""

    def ready(self) -> None:
        """Always."""

    def find(self, program: Program) -> Job | None:
        """None: nothing outlives the run that started it."""

    def start(self, program: Program) -> Job:
        """A process, and all that it starts."""
        if program.n_processes and os.environ.get("M2V_TORCHRUN"):
            write_for_the_others(program)
        with (program.out / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "m2v_resources.reaper", "--", *program.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=ALLOCATOR | os.environ | dict(program.environment),
                cwd=CHECKOUT,
            )
        return LocalJob(process)


class LocalJob:
    """A process on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def wait(self, seconds: float) -> int | None:
        """Its exit code, where it ends within that time."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=seconds)
        return None

    def stop(self) -> None:
        """End it: closing the pipe is what tells the reaper to; it waits for nothing else."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def distributed(module: str, n_processes: int | None) -> list[str]:
    """The arguments of Python that start a program: plainly, or in several processes on this machine.

    ``M2V_HOSTFILE`` names DeepSpeed's list of machines instead, which are reached by ssh; ``M2V_TORCHRUN`` holds
    torchrun's arguments for this machine's part in a group of several. Both need the home on a disk that all share.
    """
    if not n_processes:
        return ["-m", module]
    if hosts := os.environ.get("M2V_HOSTFILE"):
        return ["-m", "m2v_resources.ssh_hosts", hosts, module]
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
