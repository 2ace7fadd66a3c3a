"""Where programs work: on this machine, on a Ray cluster, or in a Slurm allocation. ``M2V_LAUNCHER`` says which.

``local`` (the default), ``ray:http://head:8265``, or ``slurm`` with sbatch's arguments behind a colon. On a cluster
every host sees the same home, on a disk that all share, and has the same code, which a program checks first of all.
"""

import os
import subprocess
import sys
from contextlib import suppress

from m2v.errors import ClusterError
from m2v.files.checkout import CHECKOUT
from m2v_resources.launching.program import ALLOCATOR, LOG, Job, Launcher, Program, write_for_the_others
from m2v_resources.launching.ray_jobs import Ray
from m2v_resources.launching.slurm import Slurm


def chosen() -> Launcher:
    """Return the engine that ``M2V_LAUNCHER`` names.

    Raises:
        ClusterError: It names none.
    """
    setting = os.environ.get("M2V_LAUNCHER") or "local"
    engine, _, rest = setting.partition(":")
    if engine == "local" and not rest:
        return Local()
    if engine == "ray" and rest:
        return Ray(rest)
    if engine == "slurm":
        return Slurm(rest)
    raise ClusterError(
        f"M2V_LAUNCHER is {setting!r}. It must be local, ray:http://HEAD:8265 with the address of Ray's dashboard, or "
        "slurm, with sbatch's arguments behind a colon."
    )


class Local:
    """This machine: a process under a reaper, which takes all of it down when we end, however we end."""

    def ready(self) -> None:
        """Do nothing: this machine answers always."""

    def find(self, program: Program) -> Job | None:
        """None: nothing outlives the run that started it."""

    def start(self, program: Program) -> Job:
        """Return a process, and all that it starts."""
        if program.n_processes and os.environ.get("M2V_TORCHRUN"):
            write_for_the_others(program)
        with (program.out / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "m2v_resources.launching.reaper", "--", *program.command],
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
