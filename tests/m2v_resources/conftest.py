from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v_resources.store.versions import TableStore
from tests.buckets import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(params=["disk", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableStore:
    """A store on a local disk, and one in object storage."""
    if request.param == "disk":
        return TableStore(tmp_path / "tables")
    server: Server = request.getfixturevalue("server")
    for name, value in {**server.environment, "M2V_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return TableStore(f"{server.new()}/tables")
