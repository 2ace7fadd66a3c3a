"""Dagster's UI on a finished sample study, in a real browser."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.patience import PATIENCE_S

START_S = 300


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
        server.wait(timeout=PATIENCE_S)


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


def test_the_collapsed_graph_shows_the_stages_as_the_pipeline(page: Page, address: str) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if address not in request.url else None)
    page.goto(f"{address}/asset-groups")
    for group in ("datasets", "features", "prediction", "annotation", "detectors", "evaluation"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    expect(page.get_by_text("Welcome to Dagster")).to_have_count(0)
    if os.environ.get("M2V_SCREENSHOTS"):
        page.wait_for_timeout(3000)
        page.screenshot(path=f"{os.environ['M2V_SCREENSHOTS']}/graph.png")
    assert [url for url in outside if url.startswith("http")] == [], "the UI asked somebody else"


def test_a_materialised_asset_shows_its_rows_checks_and_a_preview_without_text(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/memes/veggie")
    expect(page.get_by_text("One row is a meme").first).to_be_visible()
    page.goto(f"{address}/assets/memes/veggie?view=events")
    expect(page.get_by_text("dagster/row_count").first).to_be_visible()
    expect(page.get_by_text("Materialized in run").first).to_be_visible()
    expect(page.get_by_text("memes/veggie@1").first).to_be_visible()
    assert "this garden" not in page.content(), "no item text is shown unless asked for"
    page.goto(f"{address}/assets/videos/garden?view=checks")
    for check in ("ids_in_one_split", "texts_in_one_split", "texts_present", "audio_present"):
        expect(page.get_by_text(check).first).to_be_visible()


def test_dagster_finds_a_finished_study_as_fresh_as_our_plan_does(address: str) -> None:
    query = {"query": "{ assetNodes { assetKey { path } staleStatus } }"}
    request = urllib.request.Request(  # noqa: S310
        f"{address}/graphql", data=json.dumps(query).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        nodes = json.load(answer)["data"]["assetNodes"]
    assert len(nodes) > 30
    assert [node["assetKey"]["path"] for node in nodes if node["staleStatus"] == "STALE"] == []


LAUNCH = """mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
DELETE = 'mutation { deletePipelineRun(runId: "leek") { __typename } }'
ASK = "{ __typename }"
JSON = "application/json"


def answer(address: str, method: str, path: str, *, body: str | None = None, **headers: str) -> tuple[int, str]:
    """The status and text of a request with just these headers, whatever an HTTP library would add."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.putrequest(method, path, skip_host=True)
    content = (body or "").encode()
    own = {"Host": address.removeprefix("http://"), "Content-Length": str(len(content))}
    for name, value in (own | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        connection.putheader(name, value)
    connection.endheaders(content)
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


@pytest.mark.parametrize("query", [ASK, DELETE])
def test_another_sites_page_asks_nothing(address: str, query: str) -> None:
    asked, body = f"/graphql?query={urllib.parse.quote(query)}", json.dumps({"query": query})
    evil, own = "http://evil.example", address.removeprefix("http://")
    refused = {
        "an image": answer(address, "GET", asked, Accept="image/*", Sec_Fetch_Site="cross-site"),
        "an old browser's image": answer(address, "GET", asked),
        "a probe": answer(address, "HEAD", asked, Accept="text/html"),
        "a form": answer(address, "POST", asked, Content_Type="text/plain", Origin=evil),
        "a form from nowhere": answer(address, "POST", asked, Content_Type="text/plain"),
        "no type": answer(address, "POST", asked),
        "a type that only holds the word": answer(
            address, "POST", "/graphql", body=body, Content_Type="text/plain; application/json"
        ),
        "Dagster's other type": answer(address, "POST", "/graphql", body=query, Content_Type="application/graphql"),
        "a script": answer(address, "POST", "/graphql", body=body, Content_Type=JSON, Origin=evil),
        "a sandboxed frame": answer(address, "POST", "/graphql", body=body, Content_Type=JSON, Origin="null"),
        "another port's page": answer(
            address, "POST", "/graphql", body=body, Content_Type=JSON, Origin="http://127.0.0.1:8080"
        ),
        "another port's page, no origin": answer(
            address, "POST", "/graphql", body=body, Content_Type=JSON, Sec_Fetch_Site="same-site"
        ),
        "a name that was bent": answer(address, "POST", "/graphql", body=body, Content_Type=JSON, Host="evil.example"),
        "a name that holds ours": answer(
            address, "POST", "/graphql", body=body, Content_Type=JSON, Host="127.0.0.1.evil.example"
        ),
        "a report of an asset": answer(
            address, "POST", "/report_asset_materialization/leek", body="{}", Content_Type="text/plain", Origin=evil
        ),
        "a page under another name": answer(address, "GET", "/runs", Host="evil.example", Accept="text/html"),
        "logs": answer(address, "GET", "/logs/leek", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors"),
    }
    assert {name: said for name, said in refused.items() if said[0] not in {403, 405, 415, 421}} == {}
    assert all(said.count("\n") <= 1 for _, said in refused.values()), "one line each"
    status, said = answer(address, "POST", "/graphql", body=body, Content_Type=JSON, Origin=f"http://{own}")
    assert (status, "data" in json.loads(said)) == (200, True), "its own pages do"


@pytest.mark.parametrize("name", ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "LOCALHOST", "127.0.0.1"])
def test_the_ui_is_reached_by_any_port_of_loopback(address: str, name: str) -> None:
    body = json.dumps({"query": ASK})
    status, _ = answer(address, "POST", "/graphql", body=body, Content_Type=JSON, Host=name, Origin=f"http://{name}")
    assert status == 200
    page = answer(
        address, "GET", "/runs", Host=name, Accept="text/html", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"
    )
    assert page[0] == 200, "a link in another page opens it"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000", 101),
        ("127.0.0.1:9000", "http://evil.example", 403),
        ("evil.example", "http://evil.example", 403),
        ("127.0.0.1:9000", "null", 403),
    ],
)
def test_only_its_own_pages_subscribe(address: str, host: str, origin: str, status: int) -> None:
    name, _, port = address.removeprefix("http://").partition(":")
    lines = [
        "GET /graphql HTTP/1.1",
        f"Host: {host}",
        f"Origin: {origin}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-ws",
    ]
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(12).split()[1] == str(status).encode()


@pytest.mark.parametrize(("resource", "key"), [("tables", "home"), ("io_manager", "base_dir")])
def test_no_run_chooses_where_it_writes(address: str, tmp_path: Path, resource: str, key: str) -> None:
    def asked(query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables})
        return json.loads(answer(address, "POST", "/graphql", body=body, Content_Type=JSON)[1])["data"]

    location = asked("{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }")
    params = {
        "mode": "default",
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": location["repositoriesOrError"]["nodes"][0]["location"]["name"],
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["memes", "veggie"]}],
        },
        "runConfigData": {"resources": {resource: {"config": {key: str(tmp_path / "elsewhere")}}}},
    }
    said = asked(LAUNCH, params=params)["launchRun"]
    assert said["__typename"] == "RunConfigValidationInvalid"
    assert key in said["errors"][0]["message"]
