import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from m2v_resources import label_studio_server as server

Start = Callable[..., Path]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose Label Studio was started once on an empty database, which takes half a minute, and stopped."""
    home = tmp_path_factory.mktemp("migrated") / "home"
    server.stop(server.start(home, port=free_port(), media=None, exposure=server.Exposure()))
    return home


@pytest.fixture(scope="module")
def label_studio(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a running Label Studio, shared by a module's tests; each asks about an alignment of its own."""
    with running(migrated, tmp_path_factory.mktemp("label_studio") / "home") as (home, _):
        yield home


class running:  # noqa: N801 (reads as a statement)
    """A copy of the migrated home with its server running; whatever happens, its whole process group ends."""

    def __init__(
        self, migrated: Path, home: Path, *, exposure: server.Exposure | None = None, media: str | None = None
    ):
        self.home, self.exposure, self.media = home, exposure or server.Exposure(), media
        shutil.copytree(migrated / "label_studio", home / "label_studio", dirs_exist_ok=True)

    def __enter__(self) -> tuple[Path, subprocess.Popen[bytes]]:
        self.process = server.start(self.home, port=free_port(), media=self.media, exposure=self.exposure)
        return self.home, self.process

    def __exit__(self, *_: object) -> None:
        server.stop(self.process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        system = shutil.which("chromium") or shutil.which("google-chrome")
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=system, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()
