"""What a service of the team's machine says when it lacks something; it has not started then."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from m2v.errors import HostError
from m2v_resources.team import host
from tests.conftest import free_port


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A team's machine with everything but Postgres."""
    for name in ("dagster_database", "label_studio_token"):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets" / name).write_text("turnip", encoding="utf-8")
    return {
        "M2V_HOME": str(tmp_path / "home"),
        "M2V_SECRETS": str(tmp_path / "secrets"),
        "M2V_STUDY": "sample-recorded",
        "M2V_POSTGRES": f"127.0.0.1:{free_port()}",
        "M2V_CODE": f"127.0.0.1:{free_port()}",
        "M2V_WEBSERVER": f"127.0.0.1:{free_port()}",
        "M2V_LABEL_STUDIO": f"127.0.0.1:{free_port()}",
    }


def refused(settings: dict[str, str], service: str = "code") -> str:
    """What a service says that must not start, with exit code 1 and no traceback."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
    done = subprocess.run(
        [Path(sys.executable).with_name("m2v"), "host", service, "--patience", "1"],
        env={**clean, "COLUMNS": "1000", **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    # No password in what it says.
    assert "turnip" not in done.stdout + done.stderr
    return done.stderr


def test_postgres_that_is_not_there_is_named(settings: dict[str, str]) -> None:
    said = refused(settings)
    assert f"Postgres at {settings['M2V_POSTGRES']} does not answer within 1 s" in said
    assert "docker compose logs postgres" in said


@pytest.mark.parametrize(("content", "problem"), [(None, "No such file"), ("", "is empty"), ("\n", "is empty")])
def test_a_missing_or_empty_secret_is_named(settings: dict[str, str], content: str | None, problem: str) -> None:
    path = Path(settings["M2V_SECRETS"]) / "dagster_database"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    said = refused(settings, "daemon")
    assert "dagster_database" in said
    assert problem in said
    assert "make secrets" in said


@pytest.mark.parametrize("service", ["code", "webserver"])
def test_a_port_in_use_is_named(settings: dict[str, str], service: str) -> None:
    variable = f"M2V_{service.upper()}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings[variable].rpartition(":")[2])))
        taken.listen()
        said = refused(settings, service)
    assert f"cannot listen on {settings[variable]}: Address already in use" in said
    assert variable in said


@pytest.mark.parametrize("value", ["", "postgres", "postgres:", ":5432", "postgres:five"])
def test_an_address_that_is_none_is_named(settings: dict[str, str], value: str) -> None:
    said = refused({**settings, "M2V_CODE": value})
    assert f"M2V_CODE is {value!r}; it must be name:port" in said


def test_an_engine_that_is_none_is_named(settings: dict[str, str]) -> None:
    assert "M2V_LAUNCHER is 'rye'. It must be local, " in refused({**settings, "M2V_LAUNCHER": "rye"})


def test_object_storage_without_keys_or_without_an_answer_is_named(settings: dict[str, str]) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    stored = {**settings, "M2V_STORAGE": "s3://garden/tables", "AWS_ENDPOINT_URL": address}
    assert "The secret aws_access_key_id cannot be read from" in refused(stored)
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        (Path(settings["M2V_SECRETS"]) / name).write_text("turnip", encoding="utf-8")
    said = refused(stored)
    assert "s3://garden/tables" in said
    assert "does not answer" in said


def test_a_volume_without_room_is_named(settings: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        settings["M2V_HOME"] = "/proc/home"
        assert "cannot be written" in refused(settings)
        return
    home = Path(settings["M2V_HOME"])
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)], check=True)
    try:
        assert "is full: 1 MiB are free, 1024 are needed" in refused(settings)
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_a_volume_that_cannot_be_written_is_named(settings: dict[str, str]) -> None:
    said = refused({**settings, "M2V_HOME": "/proc/home"})
    assert "/proc/home cannot be written" in said


@pytest.mark.parametrize(
    ("version", "is_known"), [(130_011, False), (140_000, True), (180_001, True), (190_000, False)]
)
def test_postgres_of_another_version_is_named(version: int, is_known: bool) -> None:
    if is_known:
        host.check_version(version, "Postgres")
    else:
        with pytest.raises(HostError, match=f"Postgres is version {version // 10_000}; M2V works with 14 to 18"):
            host.check_version(version, "Postgres")
