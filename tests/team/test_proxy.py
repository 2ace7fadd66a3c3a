"""The example of a reverse proxy, on a real Caddy with a real certificate: nobody passes unknown."""

import contextlib
import http.server
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from m2v.files.checkout import CHECKOUT
from tests.conftest import free_port
from tests.patience import PATIENCE_S

KNOWN = "session=leek"


class Server:
    """A real HTTP server on loopback that answers 200, or 401 to whoever lacks the cookie it asks for."""

    def __init__(self, *, wants: str | None = None) -> None:
        self.seen: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append(f"{self.headers['Host'].partition(':')[0]}{self.path}")
                is_known = wants is None or wants in (self.headers["Cookie"] or "")
                self.send_response(200 if is_known else 401)
                self.end_headers()
                self.wfile.write(b"vegetables")

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def dagster() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()


@pytest.fixture
def proxy(dagster: Server, tmp_path: Path) -> Iterator[httpx.Client]:
    name = [
        "-subj",
        "/CN=m2v.garden.example",
        "-addext",
        "subjectAltName=DNS:m2v.garden.example,DNS:label.garden.example",
    ]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *name]
    files = ["-keyout", str(tmp_path / "tls_key"), "-out", str(tmp_path / "tls_certificate")]
    subprocess.run([*new, *files], check=True, capture_output=True)
    sign_on, port = Server(wants=KNOWN), free_port()
    caddy = subprocess.Popen(
        ["caddy", "run", "--config", str(CHECKOUT / "docker" / "Caddyfile.proxy"), "--adapter", "caddyfile"],
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "M2V_LISTEN": "127.0.0.1",
            "M2V_DOMAIN": "garden.example",
            "M2V_TLS_PORT": str(port),
            "M2V_SECRETS": str(tmp_path),
            "M2V_WEBSERVER": dagster.address,
            "M2V_LABEL_STUDIO": dagster.address,
            "M2V_SIGN_ON": sign_on.address,
            "M2V_WEBSERVER_DOOR": str(free_port()),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    trust = ssl.create_default_context(cafile=str(tmp_path / "tls_certificate"))
    host = {"headers": {"Host": "m2v.garden.example"}, "extensions": {"sni_hostname": "m2v.garden.example"}}
    try:
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust) as client:
            for _ in range(200):
                with contextlib.suppress(httpx.ConnectError):
                    client.get("/oauth2/ping", **host)
                    break
                time.sleep(0.1)
            yield client
    finally:
        caddy.terminate()
        caddy.wait(PATIENCE_S)
        sign_on.http.shutdown()


@pytest.mark.parametrize("name", ["m2v.garden.example", "label.garden.example"])
def test_only_who_is_signed_on_passes(proxy: httpx.Client, dagster: Server, name: str) -> None:
    host = {"extensions": {"sni_hostname": name}}
    unknown = proxy.get("/graphql?query=x", headers={"Host": name}, **host)
    assert unknown.status_code == 302
    assert unknown.headers["Location"].startswith("https://m2v.garden.example/oauth2/start?rd=")
    assert dagster.seen == []
    known = proxy.get("/graphql", headers={"Host": name, "Cookie": KNOWN}, **host)
    assert known.text == "vegetables"
    assert "max-age" in known.headers["Strict-Transport-Security"]
    assert dagster.seen == [f"{name}/graphql"]
    stolen = proxy.get("/graphql", headers={"Host": name, "X-Forwarded-User": "owner"}, **host)
    assert stolen.status_code == 302
