"""``m2v host``: one service of a team's machine, as docker-compose.yml starts it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from m2v_resources.team import services

app = typer.Typer(help="One service of a team's machine, as docker-compose.yml starts it.", no_args_is_help=True)

Patience = Annotated[float, typer.Option("--patience", help="How many seconds Postgres may take to answer.")]


@app.command(epilog="docker-compose.yml starts it; settings and secrets come from there")
def code(patience: Patience = 90.0) -> None:
    """Serve the study's graph, and start the processes of its runs."""
    _start("code", patience)


@app.command(epilog="docker-compose.yml starts it; settings and secrets come from there")
def webserver(patience: Patience = 90.0) -> None:
    """Dagster's UI."""
    _start("webserver", patience)


@app.command(epilog="docker-compose.yml starts it; settings and secrets come from there")
def daemon(patience: Patience = 90.0) -> None:
    """Take runs off the queue, look after them, and tick the sensors."""
    _start("daemon", patience)


@app.command(epilog="Example: m2v host health webserver")
def health(service: str) -> None:
    """Whether a service of this machine answers: exit code 0 or 1."""
    if service != "daemon":
        services.check(service)
        return
    from m2v_resources.store.home import home
    from m2v_resources.team import host

    host.use(home())
    asked = [str(Path(sys.executable).with_name("dagster-daemon")), "liveness-check"]
    raise typer.Exit(subprocess.run(asked, check=False, capture_output=True).returncode and 1)


def _start(service: str, patience: float) -> None:
    from m2v_cli import console
    from m2v_resources.launching import launchers
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store
    from m2v_resources.team import host

    host.check_volume(home())
    host.use(home())
    started = host.command(service, home())
    open_store(home()).ready()
    launchers.chosen()
    host.check_postgres(patience)
    if service == "code":
        console.out.print(_prepare())
    console.out.print(f"Starting the {service} of study {os.environ.get('M2V_STUDY') or 'published'}")
    os.execv(started[0], started)  # noqa: S606 (no shell on purpose)


def _prepare() -> str:
    """Bring what an earlier version wrote up to date, check the study, and say how many accelerators runs may share."""
    import dagster as dg

    from m2v.catalog import open_study
    from m2v_assets.definitions import DEFAULT_STUDY
    from m2v_assets.describe import ACCELERATOR
    from m2v_resources.launching import accelerators

    open_study(os.environ.get("M2V_STUDY") or DEFAULT_STUDY)
    n = max(len(accelerators.memories_gib()), 1)
    with dg.DagsterInstance.get() as instance:
        instance.upgrade()
        instance.event_log_storage.set_concurrency_slots(ACCELERATOR, n)
    return f"Runs share {n} place{'s' if n > 1 else ''} for work on accelerators"
