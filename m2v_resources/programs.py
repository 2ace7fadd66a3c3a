"""The one door to heavy work: programs with files in and files out, started, watched and taken down."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from m2v.catalog import CHECKOUT
from m2v.errors import ProgramFailed, RunInProgress, StoreError
from m2v.programfiles import MANIFEST, sha256
from m2v_resources.files import replacing

POLL_S = 0.5
N_LOG_LINES = 3


class Programs(dg.ConfigurableResource):
    """Programs whose folders lie in ``<home>/programs``."""

    home: str

    def folder(self, kind: str, variant: str, fingerprint: str) -> Path:
        """The output folder that belongs to these inputs."""
        return Path(self.home) / "programs" / kind / variant / fingerprint

    def input(self, rows: pl.DataFrame, path: Path) -> Path:
        """Write rows for a program to read; give the path."""
        with replacing(path) as scratch:
            rows.write_parquet(scratch)
        return path

    def run(
        self,
        context: dg.AssetExecutionContext,
        *,
        module: str,
        spec: Mapping[str, Any],
        out: Path,
        n_processes: int | None = None,
    ) -> dict[str, Any]:
        """Run ``python -m module --spec … --out …`` to its manifest, or find that it is there; give the manifest.

        Args:
            n_processes: Start by torchrun with this many; None starts one plain process.

        Raises:
            ProgramFailed: Names the program, its exit code, its log and the end of it.
            RunInProgress: Another run works in the same folder.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{out} cannot be made: {error.strerror}. Free space, or move M2V_HOME.") from error
        with only_one(out):
            found = manifest(out)
            if found is None:
                with replacing(out / "spec.json") as scratch:
                    scratch.write_text(json.dumps(spec, indent=1, sort_keys=True), encoding="utf-8")
                self._start(context, module, out, n_processes)
                found = manifest(out)
            if found is None:
                raise ProgramFailed(f"{module} ended without a manifest in {out}. Its log: {out / 'log.txt'}.")
            return found

    def _start(self, context: dg.AssetExecutionContext, module: str, out: Path, n_processes: int | None) -> None:
        launcher = ["-m", module]
        if n_processes:
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}", *launcher]
        program = [sys.executable, *launcher, "--spec", str(out / "spec.json"), "--out", str(out)]
        command = [sys.executable, "-m", "m2v_resources.reaper", "--", *program]
        with (
            warnings.catch_warnings(action="ignore", category=dg.PreviewWarning),  # Pipes' own, about itself
            dg.open_pipes_session(
                context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
            ) as session,
            (out / "log.txt").open("ab") as log,
        ):
            environment = os.environ | session.get_bootstrap_env_vars()
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, cwd=CHECKOUT
            )
            try:
                code = _watch(context, process, session)
            finally:
                # Closing the pipe is what tells the reaper to end; it waits for nothing else.
                if process.stdin:
                    process.stdin.close()
                process.wait()
        if code:
            raise ProgramFailed(f"{module} ended with exit code {code}: {_end_of(out / 'log.txt')}")


def _watch(
    context: dg.AssetExecutionContext, process: "subprocess.Popen[bytes]", session: dg.PipesSession
) -> int:
    """Pass the program's progress on as observations of its asset, until it ends; give the exit code."""
    n_seen = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=POLL_S)
        messages = session.get_custom_messages()
        for message in messages[n_seen:]:
            figures = {name: float(value) for name, value in message["figures"].items()}
            said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            context.log_event(
                dg.AssetObservation(
                    context.asset_key,
                    description=f"{message['done']} of {message['total']} {message['unit']}" + (said and f", {said}"),
                    metadata={"done": message["done"], "total": message["total"], "unit": message["unit"], **figures},
                )
            )
        n_seen = len(messages)
        if process.returncode is not None:
            return process.returncode


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        RunInProgress: Somebody else does.
    """
    with (folder / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInProgress(f"Another run works in {folder}. Wait for it, or stop it, then run again.") from error
        yield


def manifest(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest where it is there and its files are those that it lists."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if any(sha256(folder / name) != expected for name, expected in found["files"].items()):
            return None
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return found


def _end_of(log: Path) -> str:
    """The last lines of a log that say something; our programs print no item texts."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{' | '.join(lines[-N_LOG_LINES:])[-600:]} (all of it: {log})"
