"""The one door to heavy work: programs with files in and files out, started, watched and taken down."""

import contextlib
import json
import re
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from m2v.errors import InputGone, ProgramFailed, RunInProgress, StoreError
from m2v.files import locks
from m2v.files.whole import replacing
from m2v.programs import kept
from m2v.programs.contract import complete
from m2v.programs.progress import quiet
from m2v_resources.launching import launchers
from m2v_resources.launching.messages import Messages
from m2v_resources.launching.program import LOG, Program

POLL_S = 0.5
# Exit codes above this one are signals.
SIGNALLED = 128


class Programs(dg.ConfigurableResource):
    """Programs whose folders lie in ``<home>/programs``."""

    home: str

    def folder(self, kind: str, variant: str, fingerprint: str) -> Path:
        """Return the output folder that belongs to these inputs.

        Raises:
            UnknownName: The kind is not registered in ``m2v/programs/kept.py``, so that no take-down would reach it.
        """
        return Path(self.home) / kept.program(kind) / variant / fingerprint

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
        gpus: float = 0,
        spreads: bool = False,
    ) -> dict[str, Any]:
        """Run ``python -m module --spec … --out …``, unless it is complete; return its manifest.

        Args:
            n_processes: Start by torchrun with this many; None starts one plain process.
            gpus: That one process of it takes on a cluster.
            spreads: Whether it spreads its items over a cluster's hosts itself.

        Raises:
            ClusterError: The cluster that ``M2V_LAUNCHER`` names does not answer, or lacks what the program needs.
            ProgramFailed: Names the program, its exit code, the exception and the log.
            RunInProgress: Another run works in the same folder.
        """

        def work() -> None:
            try:
                self._start(context, Program(module, out, {}, n_processes, gpus, spreads))
            except ProgramFailed as error:
                _refuse_lost(spec, module=module, cause=error)
                raise

        return self._made(work, spec=spec, out=out, what=module)

    def call(self, function: Callable[..., None], *, spec: Mapping[str, Any], out: Path) -> dict[str, Any]:
        """Call a program's function in this process, unless it is complete; return its manifest.

        Args:
            function: Takes the spec, the folder and a ``Report``.

        Raises:
            RunInProgress: Another run works in the same folder.
        """
        what = f"{function.__module__}.{function.__name__}"
        return self._made(lambda: function(dict(spec), out, quiet()), spec=spec, out=out, what=what)

    def _made(self, work: Callable[[], None], *, spec: Mapping[str, Any], out: Path, what: str) -> dict[str, Any]:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{out} cannot be made: {error.strerror}. Free space, or move M2V_HOME.") from error
        with only_one(out):
            manifest = complete(out)
            if manifest is None:
                with replacing(out / "spec.json") as scratch:
                    scratch.write_text(json.dumps(spec, indent=1, sort_keys=True), encoding="utf-8")
                work()
                manifest = complete(out)
            if manifest is None:
                raise ProgramFailed(f"{what} ended without a manifest in {out}. Its log: {out / LOG}.")
            return manifest

    def _start(self, context: dg.AssetExecutionContext, program: Program) -> None:
        engine = launchers.chosen()
        # Named, and not ours alone: whoever finds the job that a killed run left hears what it says from now on.
        injector = dg.PipesFileContextInjector(str(program.out / ".pipes-context.json"))
        reader = Messages(program.out / ".pipes-messages")
        log = program.out / LOG
        n_bytes_before = log.stat().st_size if log.exists() else 0
        with (
            warnings.catch_warnings(action="ignore", category=dg.PreviewWarning),  # Pipes' own, about itself
            dg.open_pipes_session(context, injector, reader) as session,
        ):
            progress = Progress(context, session)
            job = engine.find(program) or engine.start(replace(program, environment=session.get_bootstrap_env_vars()))
            try:
                while (code := job.wait(POLL_S)) is None:
                    progress.pass_on()
            finally:
                job.stop()
        progress.pass_on()
        if code:
            with log.open("rb") as file:
                file.seek(n_bytes_before)
                why = reason(file.read().decode(errors="replace"), code=code)
            raise ProgramFailed(f"{program.module} ended with exit code {code}: {why} Its log: {log}.")


def _refuse_lost(spec: Mapping[str, Any], *, module: str, cause: ProgramFailed) -> None:
    """Raise where a program failed and a table that it was to read is not there any more."""
    gone = [value for value in spec.values() if str(value).endswith(".parquet") and not Path(value).exists()]
    if gone:
        raise InputGone(
            f"{module} lost {gone[0]} while it ran: something in it was taken down, or somebody deleted it. Run again: "
            "what is stale is then made without it."
        ) from cause


class Progress:
    """Passes a program's messages on as observations of its asset, as they come."""

    def __init__(self, context: dg.AssetExecutionContext, session: dg.PipesSession) -> None:
        self.context, self.session, self.n_seen = context, session, 0

    def pass_on(self) -> None:
        """Those that came since the last time."""
        messages = self.session.get_custom_messages()
        for message in messages[self.n_seen :]:
            figures = {name: float(value) for name, value in message["figures"].items()}
            figures_text = "".join(f", {name} {value:.4g}" for name, value in figures.items())
            self.context.log_event(
                dg.AssetObservation(
                    self.context.asset_key,
                    description=f"{message['done']} of {message['total']} {message['unit']}{figures_text}",
                    metadata={"done": message["done"], "total": message["total"], "unit": message["unit"], **figures},
                )
            )
        self.n_seen = len(messages)


def reason(log: str, *, code: int) -> str:
    """Why a program ended, from what it said: type and message of its last exception. Ours print no item texts."""
    lines = [re.sub(r"^\[rank\d+\]: ?", "", line) for line in log.splitlines() if line.strip()]
    exceptions, is_inside = [], False
    for line in lines:
        if line.startswith("Traceback ("):
            is_inside = True
        elif is_inside and not line[0].isspace():
            is_inside = False
            exceptions.append(line)
    # torchrun adds one of its own, which only says that there was one.
    exceptions = [line for line in exceptions if "ChildFailedError" not in line]
    if not exceptions and code > SIGNALLED:
        return f"{signal.Signals(code - SIGNALLED).name} ended it; if nobody sent that, memory ran out."
    return (exceptions or lines or ["it said nothing."])[-1][:600]


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        RunInProgress: Somebody else does.
    """
    busy = f"Another run works in {folder}. Wait for it, or stop it, then run again."
    with locks.held(folder / ".lock", busy=lambda: RunInProgress(busy)):
        yield
