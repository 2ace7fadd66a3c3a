"""The team's machine: where its services are, what each needs before it starts, and Dagster's instance in Postgres.

Every setting comes from docker-compose.yml. A service checks what it needs first, so that what is missing is one
sentence in its log instead of a traceback.
"""

import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from m2v.errors import HostError
from m2v.files import storage
from m2v.files.whole import replacing
from m2v_resources.store.home import mark_folder
from m2v_resources.team.services import ServiceAddress, address

DATABASE = "dagster"
# Label Studio 1.23 and Dagster 1.13 both work with these; measured is 15, which docker-compose.yml pins.
POSTGRES_MAJORS = range(14, 19)
# Dagster's own retries last two seconds; Postgres takes up to a minute to recover after it was killed.
PATIENCE_S = 90.0
# Below this the next table or checkpoint would not fit.
FREE_BYTES = 1 << 30
LOCATION = "m2v"
GIVEN = ("M2V_MEDIA", "M2V_PUBLISHED_DIR")
# Of object storage, each in a file of its name in small letters.
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# One run that trains and one that people wait for; what else is asked for waits in the queue by its priority.
MAX_RUNS = 2
# A run whose process was killed goes on from what is complete.
MAX_RETRIES = 3


def secret(name: str) -> str:
    """Return a secret, from the file of its name in ``M2V_SECRETS``.

    Raises:
        HostError: The file is missing, unreadable or empty.
    """
    path = Path(os.environ.get("M2V_SECRETS") or "/run/secrets") / name
    way_out = "`make secrets` makes those that are missing, and docker-compose.yml hands them over as files."
    try:
        secret_text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise HostError(f"The secret {name} cannot be read from {path}: {reason}. {way_out}") from error
    if not secret_text:
        raise HostError(f"The secret {name} in {path} is empty. Delete that file; {way_out}")
    return secret_text


def use(home: Path) -> None:
    """Point Dagster at its instance in Postgres and Label Studio's client at its token; write Dagster's two files.

    The password stays out of the files: Postgres' client takes it from ``PGPASSWORD``.
    """
    postgres = address("M2V_POSTGRES")
    os.environ["PGPASSWORD"] = secret("dagster_database")
    os.environ.setdefault("LABEL_STUDIO_URL", f"http://{os.environ.get('M2V_LABEL_STUDIO', '')}")
    os.environ.setdefault("LABEL_STUDIO_TOKEN", secret("label_studio_token"))
    for given in GIVEN:
        # Docker mounts a folder even where nobody gave one.
        where = os.environ.get(given)
        if where and not storage.is_remote(where) and not any(Path(where).glob("*")):
            del os.environ[given]
    if os.environ.get("M2V_STORAGE"):
        for key in KEYS:
            os.environ.setdefault(key, secret(key.lower()))
    folder = home / "dagster"
    _write(folder / "dagster.yaml", instance(postgres, folder))
    _write(folder / "workspace.yaml", workspace(address("M2V_CODE")))
    os.environ["DAGSTER_HOME"] = str(folder)


def instance(postgres: ServiceAddress, folder: Path) -> dict[str, Any]:
    """Dagster's instance: everything in Postgres, runs through a queue, killed ones noticed and gone on with."""
    return {
        "storage": {
            "postgres": {"postgres_url": f"postgresql+psycopg2://{DATABASE}@{postgres.name}:{postgres.port}/{DATABASE}"}
        },
        "run_launcher": {"module": "m2v_resources.team.run_workers", "class": "RunWorkers"},
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(folder / "storage")},
        },
        # A run holds a place in the pool `accelerator` as long as it works; `m2v host code` says how many there are.
        "concurrency": {
            "runs": {"max_concurrent_runs": MAX_RUNS},
            "pools": {"granularity": "run", "default_limit": 1},
        },
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 10,
            "start_timeout_seconds": 300,
            "free_slots_after_run_end_seconds": 5,
            "max_resume_run_attempts": 0,
        },
        # What failed for a reason of its own fails again: it waits until something that it rests on has changed.
        "run_retries": {"enabled": True, "max_retries": MAX_RETRIES, "retry_on_asset_or_op_failure": False},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }


def workspace(code: ServiceAddress) -> dict[str, Any]:
    """Where the webserver and the daemon find the graph."""
    return {"load_from": [{"grpc_server": {"host": code.name, "port": code.port, "location_name": LOCATION}}]}


def command(service: str, home: Path) -> list[str]:
    """Return the program that a service is, on the port that docker-compose.yml gives it.

    Raises:
        HostError: What it needs is not there.
    """
    listen = os.environ.get("M2V_LISTEN") or "127.0.0.1"
    there = ["--workspace", str(home / "dagster" / "workspace.yaml")]
    programs = Path(sys.executable).parent
    if service == "daemon":
        return [str(programs / "dagster-daemon"), "run", *there]
    port = address(f"M2V_{service.upper()}").port
    check_port(port, listen=listen, service=service)
    where = ["--host", listen, "--port", str(port)]
    if service == "webserver":
        return [sys.executable, "-m", "m2v_resources.team.webserver", *there, *where]
    graph = ["--module-name", "m2v_assets.definitions", "--location-name", LOCATION]
    return [str(programs / "dagster"), "api", "grpc", *where, *graph]


def check_port(port: int, *, listen: str, service: str) -> None:
    """Raise unless the port is free.

    Raises:
        HostError: It is not.
    """
    with socket.socket() as probe:
        # As the servers themselves do: a connection that has just ended does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            raise HostError(
                f"The {service} cannot listen on {listen}:{port}: {error.strerror}. Stop what listens there, or give "
                f"it another port in M2V_{service.upper()}."
            ) from error


def check_volume(home: Path) -> None:
    """Raise unless the home can be written and has room.

    Raises:
        HostError: It cannot, or has not.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with replacing(home / ".writable") as scratch:
            scratch.write_bytes(b"")
        (home / ".writable").unlink(missing_ok=True)
        mark_folder(home)
        free = shutil.disk_usage(home).free
    except OSError as error:
        raise HostError(
            f"{home} cannot be written: {error.strerror}. Give the volume to the service's user."
        ) from error
    if free < FREE_BYTES:
        raise HostError(
            f"The volume of {home} is full: {free / 2**20:.0f} MiB are free, {FREE_BYTES / 2**20:.0f} are needed. Make "
            "room; nothing was lost."
        )


def check_postgres(patience_s: float = PATIENCE_S) -> None:
    """Raise unless Postgres answers and is of a known version.

    Raises:
        HostError: It does not answer in that time, refuses, or is of another version.
    """
    import psycopg2

    postgres, deadline = address("M2V_POSTGRES"), time.monotonic() + patience_s
    place = f"Postgres at {postgres.name}:{postgres.port}"
    while True:
        try:
            connection = psycopg2.connect(
                host=postgres.name, port=postgres.port, user=DATABASE, dbname=DATABASE, connect_timeout=5
            )
            break
        except psycopg2.OperationalError as error:
            words = str(error).strip().splitlines()[-1].removeprefix("FATAL:").strip()
            if "password authentication failed" in words or "does not exist" in words:
                raise HostError(
                    f"{place} refuses: {words}. Its databases and roles are made once, from the secrets of that time; "
                    "put those secrets back, or set the roles' passwords anew (docs/team.md)."
                ) from error
            if time.monotonic() > deadline:
                raise HostError(
                    f"{place} does not answer within {patience_s:.0f} s: {words}. `docker compose logs postgres` says "
                    "why."
                ) from error
            time.sleep(0.5)
    try:
        check_version(connection.server_version, place)
    finally:
        connection.close()


def check_version(version: int, place: str) -> None:
    """Raise unless a server's version (150018 is 15.18) is a known one.

    Raises:
        HostError: It is not.
    """
    major = version // 10_000
    if major not in POSTGRES_MAJORS:
        raise HostError(
            f"{place} is version {major}; M2V works with {POSTGRES_MAJORS[0]} to {POSTGRES_MAJORS[-1]}. Start the "
            "version that docker-compose.yml names, and move the data by dump and restore (docs/team.md)."
        )


def _write(path: Path, content: dict[str, Any]) -> None:
    text = yaml.safe_dump(content, sort_keys=False)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as scratch:
            scratch.write_text(text, encoding="utf-8")
