import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, Page, expect, sync_playwright
from xdist.remote import Producer

from m2v.files.checkout import CHECKOUT
from m2v_resources.annotators import label_studio_server as server
from tests import order, shared, warm
from tests.patience import PATIENCE_S

Start = Callable[..., Path]
ENDLESS = server.Exposure(items_per_day=100_000, minutes_per_day=100_000, minutes_before_break=100_000)


def pytest_configure(config: pytest.Config) -> None:
    """Make the session's folder, and have programs imported from now on, once for all of its workers."""
    # Threads that wait for others sleep: with more programs than cores, spinning takes three times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A law that takes its time on a busy machine is not broken.
    # The same examples in every run: whoever looks for more raises `max_examples` and gives a seed.
    settings.register_profile("m2v", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("m2v")
    if shared.FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="m2v-tests-")
        os.environ[shared.FOLDER] = folder.name
        config.add_cleanup(folder.cleanup)
    if warm.FOLDER not in os.environ and not os.environ.get(warm.COLD):
        parents = warm.Parents()
        os.environ[warm.FOLDER] = str(parents.folder)
        config.add_cleanup(parents.stop)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order.arrange(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> order.Groups:
    config.option.loadscopereorder = False
    return order.Groups(config, log)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start programs truly: each one is, somewhere."""
    monkeypatch.setenv(warm.COLD, "1")


@pytest.fixture(scope="session")
def migrated() -> Path:
    """A home whose Label Studio was started once on an empty database, which takes half a minute, and stopped."""
    return shared.once("migrated", migrate)


def migrate(home: Path) -> None:
    server.stop(server.start(home, port=free_port(), exposure=server.Exposure()))


@pytest.fixture(scope="session")
def label_studio(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a running Label Studio, shared by all tests; each asks about an alignment of its own."""
    with running(migrated, tmp_path_factory.mktemp("label_studio") / "home") as server:
        yield server.home


class running:  # noqa: N801 (reads as a statement)
    """A copy of the migrated home with its server running; whatever happens, its whole process group ends."""

    def __init__(self, migrated: Path, home: Path, *, exposure: server.Exposure | None = None):
        # Tests answer faster, and on a busy machine longer, than people may; limits are tried where they are named.
        self.home, self.exposure = home, exposure or ENDLESS
        shutil.copytree(migrated / "label_studio", home / "label_studio", dirs_exist_ok=True)

    def __enter__(self) -> "running":
        self.port = free_port()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, or start it again where it was."""
        self.process = server.start(self.home, port=self.port, exposure=self.exposure)

    def stop(self) -> None:
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
    context.set_default_timeout(1000 * PATIENCE_S)
    expect.set_options(timeout=1000 * PATIENCE_S)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def wild() -> Path:
    """Real label files without texts, a folder for each dataset, which stand beside the checkout."""
    folder = CHECKOUT.parent / "shared" / "data" / "wild"
    assert folder.is_dir(), f"{folder} is wanted: label files as the datasets' authors distribute them."
    return folder
