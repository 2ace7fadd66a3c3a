"""Dagster's UI on a finished sample study, in a real browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

START_S = 90


@pytest.fixture(scope="module")
def address(finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The UI as ``m2v ui`` starts it, on a free port; its whole process group ends with the tests."""
    home = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(finished_home, home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
    command = [Path(sys.executable).with_name("m2v"), "ui", "--study", "sample-recorded", "--port", str(port)]
    log = (home.parent / "log.txt").open("w+", encoding="utf-8")
    server = subprocess.Popen(
        command, env={**clean, "M2V_HOME": str(home)}, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/server_info", server, log.name)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(address: str, server: "subprocess.Popen[bytes]", log: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, Path(log).read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"The UI did not answer within {START_S} s: {Path(log).read_text(encoding='utf-8')}")


def test_the_collapsed_graph_shows_the_tables_as_the_pipeline(page: Page, address: str) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if address not in request.url else None)
    page.goto(f"{address}/asset-groups")
    for group in ("memes", "videos", "predictions", "conflicts", "human_labels", "voted_labels", "results", "reports"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Welcome to Dagster")).to_have_count(0)
    if os.environ.get("M2V_SCREENSHOTS"):
        page.wait_for_timeout(3000)
        page.screenshot(path=f"{os.environ['M2V_SCREENSHOTS']}/graph.png")
    assert [url for url in outside if url.startswith("http")] == [], "the UI asked somebody else"


def test_a_materialised_asset_shows_its_rows_checks_and_a_preview_without_text(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/memes/veggie")
    expect(page.get_by_text("One row is a meme").first).to_be_visible(timeout=60_000)
    page.goto(f"{address}/assets/memes/veggie?view=events")
    expect(page.get_by_text("dagster/row_count").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Materialized in run").first).to_be_visible()
    expect(page.get_by_text("memes/veggie@1").first).to_be_visible()
    assert "this garden" not in page.content(), "no item text is shown unless asked for"
    page.goto(f"{address}/assets/videos/garden?view=checks")
    for check in ("ids_in_one_split", "texts_in_one_split", "texts_present", "audio_present"):
        expect(page.get_by_text(check).first).to_be_visible(timeout=60_000)


def test_dagster_finds_a_finished_study_as_fresh_as_our_plan_does(address: str) -> None:
    query = {"query": "{ assetNodes { assetKey { path } staleStatus } }"}
    request = urllib.request.Request(  # noqa: S310
        f"{address}/graphql", data=json.dumps(query).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        nodes = json.load(answer)["data"]["assetNodes"]
    assert len(nodes) > 30
    assert [node["assetKey"]["path"] for node in nodes if node["staleStatus"] == "STALE"] == []
