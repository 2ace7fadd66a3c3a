"""Secrets in every setting, calls that fail with all that was sent in the answer, then a search for them everywhere."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.m2v_assets.conftest import Run

SECRETS = {
    "HF_TOKEN": "hf_aLeekThatNobodyShouldSee",
    "LABEL_STUDIO_TOKEN": "0123456789abcdef0123456789abcdef01234567",
    "AWS_ACCESS_KEY_ID": "AKIALEEKLEEKLEEKLEEK",
    "AWS_SECRET_ACCESS_KEY": "aSecretCarrotThatNobodyShouldSee",
    "GARDEN_KEY": "sk-aSecretParsnipThatNobodyShouldSee",
    "POSTGRE_PASSWORD": "aSecretBeetThatNobodyShouldSee",
}


class Echo(BaseHTTPRequestHandler):
    """A server that refuses everything, and repeats what it was sent."""

    def answer(self) -> None:
        self.server.heard.append(str(self.headers))  # pyright: ignore[reportAttributeAccessIssue]
        self.rfile.read(int(self.headers.get("content-length") or 0))
        said = str(dict(self.headers))
        body = json.dumps({"detail": said, "error": {"message": said}, "message": said}).encode()
        self.send_response(403)
        for name, value in (("content-type", "application/json"), ("x-error-message", said[:900])):
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


for _method in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH"):
    setattr(Echo, f"do_{_method}", Echo.answer)


@pytest.fixture
def echo() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.heard = []  # pyright: ignore[reportAttributeAccessIssue]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_no_secret_is_found_anywhere(m2v: Run, home: Path, tmp_path: Path, echo: ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{echo.server_port}"
    settings = {
        **SECRETS,
        "HF_ENDPOINT": address,
        "LABEL_STUDIO_URL": address,
        "AWS_ENDPOINT_URL": address,
        "AWS_REGION": "us-east-1",
        "M2V_STORAGE_PATIENCE_S": "2",
    }
    m2v("study", "copy", "sample", str(tmp_path / "mine"), **settings)
    path = tmp_path / "mine" / "study.yaml"
    study = yaml.safe_load(path.read_text())
    server = {"url": f"{address}/v1", "model": "leek", "key": "GARDEN_KEY"}
    study |= {"predictions": {"model": "tiny-mllama", "pictures": False, "server": server}}
    path.write_text(yaml.safe_dump(study))
    calls = [
        ("run", "--study", "sample-recorded", "--select", "voted_labels/veggie_garden"),
        ("publish", "dataset", "veggie_garden", "--study", "sample-recorded", "--to", "gardener/veggies"),
        ("rehydrate", "gardener/veggies", "--texts", "nowhere.csv"),
        ("rounds", "annotators"),
        ("rounds", "invite"),
        ("rounds", "pull", "--study", "sample-live"),
        ("run", "--study", str(path), "--select", "predictions/veggie_garden"),
        ("status", "--study", str(path)),
        ("tables", "list"),
    ]
    said = ""
    for call in calls:
        done = m2v(*call, code=None, **settings)
        said += f"\n$ m2v {' '.join(call)}\n{done.stdout}{done.stderr}"
    done = m2v("run", "--study", "sample-recorded", code=None, M2V_STORAGE="s3://garden/mine", **settings)
    said += done.stdout + done.stderr
    # They were sent, so that there was something to repeat.
    heard = "".join(echo.heard)  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("HF_TOKEN", "LABEL_STUDIO_TOKEN", "GARDEN_KEY", "AWS_ACCESS_KEY_ID"):
        assert SECRETS[name] in heard, f"{name} was never sent: {said[-3000:]}"
    for name, secret in SECRETS.items():
        assert secret not in said, f"{name} is shown: {said[max(0, said.index(secret) - 600) : said.index(secret)]}"
        for place in (home, tmp_path / "mine"):
            for file in place.rglob("*"):
                if file.is_file():
                    assert secret.encode() not in file.read_bytes(), f"{name} is in {file}"
