"""Programs as jobs of a Slurm cluster, by its own commands: sbatch, squeue, scancel.

A job is a script in the program's folder. It writes its exit code there last of all, because a cluster without
accounting forgets a job some minutes after it has ended, and a controller that is away can be asked nothing.
"""

import math
import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from m2v.errors import ClusterError, SilentCluster, SlurmRefuses
from m2v.files.checkout import CHECKOUT
from m2v_resources.launching.program import LOG, Program
from m2v_resources.launching.slurm_script import script

# The controller serves the whole cluster: it is asked rarely. That a job has ended is seen by its file before.
ASK_EVERY_S = 5.0
# So long the controller may be silent, while it is restarted, before its jobs count as lost.
PATIENCE_S = 300.0
COMMAND_S = 120.0
# Slurm gives a cancelled job half a minute (KillWait) before it kills it.
STOP_S = 90.0
WORKING = {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESV_DEL_HOLD"}
WORKING |= {"REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "COMPLETING"}
# How a job ends that did not end by itself, and what to do about it.
ENDS = {
    "TIMEOUT": "ran into its time limit. Ask for more, as by M2V_LAUNCHER='slurm:--time=12:00:00', and run again.",
    "DEADLINE": "ran into its deadline. Run again.",
    "OUT_OF_MEMORY": "took more memory than it had asked for. Ask for more, as by M2V_LAUNCHER='slurm:--mem=64G'.",
    "NODE_FAIL": "lost its node. Run again; if the node stays down (`sinfo --list-reasons`), ask for another one.",
    "BOOT_FAIL": "got a node that did not start. Run again; if it happens again, tell the cluster's administrators.",
    "PREEMPTED": "had to make room for another one. Run again.",
    "CANCELLED": "was cancelled, by you or by an administrator. Run again.",
    "FORGOTTEN": "is not known to Slurm any more and has left no exit code. Run again.",
    "REVOKED": "was moved to another cluster, where nobody watches it. Log in there, and run again.",
}
# Why a job waits that will wait for ever.
HOPELESS = {"BadConstraints", "PartitionNodeLimit", "PartitionTimeLimit", "DependencyNeverSatisfied", "InvalidAccount"}
HOPELESS |= {"InvalidQOS", "AccountNotAllowed", "QOSNotAllowed", "JobHeldAdmin", "JobHeldUser", "JobHoldMaxRequeue"}
CONF = "SLURM_CONF"
WIDTH = 200
LOOK = "Look with `scontrol ping`; jobs go on meanwhile, and the next run finds them."
SILENT = re.compile(r"Unable to contact slurm controller|Socket timed out|Connection refused|Zero Bytes", re.IGNORECASE)


class Slurm:
    """The Slurm cluster that this machine belongs to.

    Args:
        arguments: For sbatch.
        patience_s: How long its controller may be silent.
    """

    def __init__(self, arguments: str = "", *, patience_s: float = PATIENCE_S) -> None:
        self.arguments, self.patience_s = shlex.split(arguments), patience_s

    def ready(self) -> None:
        """Raise unless its controller answers."""
        self.ask(["sinfo", "--noheader", "--format=%P"])

    def find(self, program: Program) -> "SlurmJob | None":
        """Return the job for this folder that still works."""
        listed = self.ask(["squeue", "--me", f"--name={program.name}", "--noheader", "--format=%i %T"])
        for number, state in (line.split() for line in listed.splitlines()):
            job = SlurmJob(self, number, out=program.out)
            if state != "COMPLETING":
                return job
            job.until_ended()
        return None

    def start(self, program: Program) -> "SlurmJob":
        """Return a job of the cluster, named as the folder."""
        n_nodes = self._n_nodes() if program.n_processes else 1
        n_here, rest = divmod(program.n_processes or 1, n_nodes)
        if rest or not n_here:
            raise ClusterError(
                f"{program.module} has n_processes {program.n_processes}, which {n_nodes} nodes cannot share evenly. "
                "Change --nodes in M2V_LAUNCHER, or n_processes in the model's YAML."
            )
        path = program.out / "slurm.sh"
        path.write_text(script(program, n_nodes=n_nodes, n_here=n_here), encoding="utf-8")
        asked = [f"--job-name={program.name}", f"--output={program.out / LOG}", "--open-mode=append"]
        asked += [f"--nodes={n_nodes}", f"--ntasks={n_nodes}", f"--chdir={CHECKOUT}", "--export=ALL"]
        answer = self.ask(
            ["sbatch", "--parsable", *self._shares(program, n_here), *self.arguments, *asked, str(path)],
            environment=program.on_a_cluster(),
        )
        # NUMBER, or NUMBER;CLUSTER
        return SlurmJob(self, answer.strip().splitlines()[-1].partition(";")[0], out=program.out)

    def ask(self, command: Sequence[str], *, environment: dict[str, str] | None = None) -> str:
        """Return what one of Slurm's commands says.

        Raises:
            ClusterError: It is not there, the controller does not answer, or it refuses.
        """
        # We may ourselves be in a job, whose variables would count as arguments.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == CONF}
        try:
            done = subprocess.run(
                command, env=ours | (environment or {}), capture_output=True, text=True, check=False, timeout=COMMAND_S
            )
        except FileNotFoundError:
            raise ClusterError(
                f"There is no {command[0]} on this machine, which M2V_LAUNCHER=slurm needs. Run on a login node of the "
                "cluster, or install its client programs (Debian's slurm-client)."
            ) from None  # the command line shows the innermost cause
        except subprocess.TimeoutExpired:
            raise SilentCluster(f"{command[0]} has not answered for {COMMAND_S:.0f} s. {LOOK}") from None
        if done.returncode == 0:
            return done.stdout
        message = " ".join(done.stderr.split())[-500:] or f"exit code {done.returncode}"
        if SILENT.search(message):
            raise SilentCluster(f"Slurm's controller does not answer: {message}. {LOOK}")
        given = f" M2V_LAUNCHER gave it: {shlex.join(self.arguments)}." if self.arguments else ""
        raise SlurmRefuses(f"Slurm refuses: {message}.{given}")

    def _n_nodes(self) -> int:
        """As many as sbatch's arguments ask for."""
        given = re.search(r"(?:^|\s)(?:--nodes[=\s]|-N[=\s]?)(\d+)", " ".join(self.arguments))
        return int(given[1]) if given else 1

    def _shares(self, program: Program, n_here: int) -> list[str]:
        """Return what each node is to give, unless the arguments behind say otherwise."""
        gpus = math.ceil(program.gpus * n_here)
        asked = [f"--cpus-per-task={n_here}"] if n_here > 1 else []
        is_named = any("gpu" in argument or argument.startswith("--gres") for argument in self.arguments)
        return [*asked, f"--gpus-per-node={gpus}"] if gpus and not is_named else asked


class SlurmJob:
    """A job of a Slurm cluster."""

    def __init__(self, slurm: Slurm, number: str, *, out: Path) -> None:
        self.slurm, self.number, self.out = slurm, number, out
        self.heard_at, self.asked_at, self.why = time.monotonic(), 0.0, ""

    def wait(self, seconds: float) -> int | None:
        """Its exit code, where it has ended after that time.

        Raises:
            ClusterError: It ended otherwise than by itself, will never start, or nobody knows what became of it.
        """
        time.sleep(seconds)
        if (code := self._code()) is not None or time.monotonic() - self.asked_at < ASK_EVERY_S:
            return code
        self.asked_at = time.monotonic()
        try:
            state = self.state()
        except SilentCluster:
            if time.monotonic() - self.heard_at > self.slurm.patience_s:
                raise
            return None
        self.heard_at = time.monotonic()
        if state.state in WORKING:
            self._tell(state)
            return None
        # The file once more: what Slurm says is newer than what we read.
        if (written := self._code()) is not None or state.state == "COMPLETED":
            return written or 0
        how = ENDS.get("OUT_OF_MEMORY" if self._ran_out_of_memory() else state.state)
        if how is None:
            how = (
                f"ended as {state.state} before its script did ({state.why}). Does the node see {self.out}, and the "
                "same checkout at the same path?"
            )
        place = f" on {state.nodes}" if state.nodes else ""
        raise ClusterError(f"Slurm's job {self.number}{place} {how} What it kept stands. Its log: {self.out / LOG}.")

    def state(self) -> "JobState":
        """Return what Slurm says of it."""
        fields = ",".join(f"{name}:{WIDTH}" for name in ("State", "Reason", "NodeList"))
        command = ["squeue", "--states=all", f"--jobs={self.number}", "--noheader", f"--Format={fields}"]
        try:
            answer = self.slurm.ask(command)
        except SlurmRefuses as error:
            if "Invalid job id" not in str(error):
                raise
            answer = ""
        if not answer.strip():
            return JobState("FORGOTTEN", "", "")
        return JobState(*(answer[start : start + WIDTH].strip() for start in range(0, 3 * WIDTH, WIDTH)))

    def stop(self) -> None:
        """Cancel it, where it has not ended."""
        if self._code() is not None or not self._works():
            return
        self.slurm.ask(["scancel", self.number])
        self.until_ended()

    def until_ended(self) -> None:
        """Wait until nothing of it is left, or Slurm's own patience with it must be over."""
        deadline = time.monotonic() + STOP_S
        while self._works() and time.monotonic() < deadline:
            time.sleep(0.5)

    def _works(self) -> bool:
        return self.state().state in WORKING

    def _ran_out_of_memory(self) -> bool:
        """Whether the node's daemon has said so in the log: without cgroups Slurm calls it only FAILED."""
        try:
            log = (self.out / LOG).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False
        return re.search(rf"StepId={self.number}\.\w+ exceeded memory limit", log) is not None

    def _code(self) -> int | None:
        """Return what the script wrote last."""
        try:
            return int((self.out / f".slurm-{self.number}").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _tell(self, state: "JobState") -> None:
        """Say in the log why it waits.

        Raises:
            ClusterError: It would wait for ever.
        """
        if state.state != "PENDING" or state.why in {"None", self.why}:
            return
        self.why = state.why
        if self.why.split(",")[0] in HOPELESS:
            raise ClusterError(
                f"Slurm's job {self.number} will never start: {self.why}. Change sbatch's arguments in M2V_LAUNCHER "
                f"(now {shlex.join(self.slurm.arguments) or 'none'}); what the cluster offers: `sinfo`."
            )
        with (self.out / LOG).open("a", encoding="utf-8") as log:
            log.write(f"Slurm's job {self.number} waits: {self.why}\n")


class JobState(NamedTuple):
    """What Slurm says of a job: its state, why it is so, and its nodes."""

    state: str
    why: str
    nodes: str
