import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import shared, warm

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def m2v(home: Path) -> Run:
    """The command itself, in a home of its own, as a user calls it."""
    return command(home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def command(home: Path) -> Run:
    def run(*arguments: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
        done = subprocess.run(
            [warm.command(), *arguments],
            env={**clean, "M2V_HOME": str(home), "COLUMNS": "200", **warm.environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    return run


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    """The last line of standard output."""
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def finished_home() -> Path:
    """A home in which the sample study was run to its end, once for all tests; read it, copy it, leave it."""
    return shared.once("finished", finish)


def finish(home: Path) -> None:
    done = as_json(command(home)("run", "--study", "sample-recorded", "--json"))
    assert done["failed"] == 0
    assert done["waves"] == 1


def sample_home() -> Path:
    """A home in which the sample study was run to its end, with media and a model that looks; read it, copy it."""
    return shared.once("sample", lambda home: as_json(command(home)("run", "--study", "sample", "--json")))


@pytest.fixture
def sample(finished_home: Path, home: Path) -> Run:
    """The command in a copy of the finished home, which is the test's own."""
    shutil.copytree(finished_home, home)
    return command(home)
