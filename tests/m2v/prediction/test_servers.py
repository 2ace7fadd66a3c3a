"""Asking servers: a real `transformers serve` with a tiny model, and one that fails in every way a server can."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from m2v.entries.prompts import Server
from m2v.prediction import servers
from tests import encoders, vlms
from tests.patience import PATIENCE_S

KEY = "sk-leeks-in-a-row"
# Without torchvision it reads pictures by pillow: where torchvision's compiled operators do not load, it cannot.
SERVE = """import sys
sys.modules["torchvision"] = None
from transformers.cli.transformers import main
sys.argv[0] = "transformers"
main()
"""


@pytest.fixture(scope="module")
def real(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with a tiny Mllama."""
    from m2v.models import weights

    path = weights.whole(vlms.entry("mllama"), home=built)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-c", SERVE, "serve", str(path), "--port", str(port), "--device", "cpu"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=encoders.environment(built), stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield Server(url=f"http://127.0.0.1:{port}/v1", model=str(path), n_at_once=2, timeout_s=60)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


class Faulty:
    """A server whose answers a test decides; counts what it is asked.

    Args:
        answer: Gets the number of the request and the handler.
    """

    def __init__(self, answer: Callable[[int, BaseHTTPRequestHandler], None]) -> None:
        self.n_asked, self.n_at_once, self.most_at_once = 0, 0, 0
        self.asked: list[dict[str, Any]] = []
        lock, faulty = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with lock:
                    number = faulty.n_asked
                    faulty.n_asked += 1
                    faulty.n_at_once += 1
                    faulty.most_at_once = max(faulty.most_at_once, faulty.n_at_once)
                try:
                    faulty.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                    answer(number, self)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with lock:
                        faulty.n_at_once -= 1

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self) -> "Faulty":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"


def send(handler: BaseHTTPRequestHandler, content: Any, *, status: int = 200, **headers: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def said(word: str, words: dict[str, float] | None = None) -> dict[str, Any]:
    """A chat completion."""
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in (words or {}).items()]
    logprobs = {"content": [{"token": word, "logprob": 0.0, "bytes": None, "top_logprobs": top}], "refusal": None}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": word},
        "logprobs": logprobs if words else None,
    }
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


class Asking:
    """The prediction program, asking a server about a few items."""

    def __init__(self, folder: Path, n: int = 6) -> None:
        self.folder = folder
        self.items = vlms.written(vlms.garden(folder / "pictures", n), folder / "items.parquet")
        self.nothing = vlms.written(vlms.garden(folder / "pictures", 2, start=50), folder / "examples.parquet")

    def __call__(self, server: Server, *, mode: str = "generate", out: str = "out", **keys: str) -> tuple[int, str]:
        content = {
            "model": vlms.entry("llava_next_video"),
            "prompt": vlms.PROMPT,
            "label": vlms.LABEL,
            "items": self.items,
            "demonstrations": self.nothing,
            "mode": mode,
            "server": server,
            "home": self.folder,
        }
        path = vlms.spec(self.folder / "spec.json", **content)
        command = encoders.command("m2v.prediction.predict", spec=path, out=self.folder / out)
        environment = encoders.environment(self.folder) | keys
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        return done.returncode, done.stderr

    def answers(self, out: str = "out") -> pl.DataFrame:
        return pl.read_parquet(self.folder / out / "answers.parquet")

    def kept(self) -> int:
        """How many answers are kept for good."""
        return sum(pl.read_parquet(path).height for path in self.folder.glob("requests/*/*.parquet"))


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def test_a_real_server_is_asked_with_pictures(real: Server, asking: Asking) -> None:
    code, stderr = asking(real)
    assert code == 0, stderr[-2000:]
    found = asking.answers()
    assert found.height == 6
    # A model that knows nothing says anything but one of the two words: that is no label.
    assert set(found["outcome"]) <= {"unparsed", "refused"}
    assert found["probability"].null_count() == 6


def test_probabilities_of_first_words_become_one_of_the_positive_word(asking: Asking) -> None:
    words = {" ins": -0.5, "neigh": -1.5, "leek": -0.1, "N": -3.0}
    with Faulty(lambda _, handler: send(handler, said("ins", words))) as server:
        code, stderr = asking(Server(url=server.url), mode="score")
    assert code == 0, stderr[-2000:]
    assert asking.answers()["probability"].to_list() == pytest.approx([0.699] * 6, abs=0.01)
    assert asking.answers()["outcome"].to_list() == ["positive"] * 6
    assert all(each["logprobs"] and each["temperature"] == 0 for each in server.asked)
    content = server.asked[0]["messages"][0]["content"]
    assert content[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [message["role"] for message in server.asked[0]["messages"]] == ["user", "assistant"] * 2 + ["user"]


def test_neither_word_among_the_probable_ones_is_no_label(asking: Asking) -> None:
    with Faulty(lambda _, handler: send(handler, said("leek", {"leek": -0.1}))) as server:
        assert asking(Server(url=server.url), mode="score")[0] == 0
    assert asking.answers()["probability"].null_count() == 6
    assert asking.answers()["outcome"].to_list() == ["unparsed"] * 6


def test_a_server_that_gives_no_probabilities_says_what_to_do(asking: Asking) -> None:
    with Faulty(lambda _, handler: send(handler, said("insulting"))) as server:
        code, stderr = asking(Server(url=server.url), mode="score")
    assert code != 0
    assert "mode: generate" in stderr


def test_a_bad_key_stops_at_once_and_is_never_shown(asking: Asking) -> None:
    def refuse(_: int, handler: BaseHTTPRequestHandler) -> None:
        send(handler, {"error": {"message": f"bad key {handler.headers['Authorization']}"}}, status=401)

    with Faulty(refuse) as server:
        code, stderr = asking(Server(url=server.url, key="LEEK_KEY", n_at_once=2), LEEK_KEY=KEY)
    assert code != 0
    assert "refuses the key (401). See the variable LEEK_KEY" in stderr
    assert KEY not in stderr
    assert server.n_asked <= 2


def test_a_key_that_is_not_set_is_said_before_anything_is_asked(asking: Asking) -> None:
    with Faulty(lambda _, handler: send(handler, said("insulting"))) as server:
        code, stderr = asking(Server(url=server.url, key="LEEK_KEY"), LEEK_KEY="")
    assert code != 0
    assert "LEEK_KEY is not set" in stderr
    assert server.n_asked == 0


def test_a_key_goes_to_no_server_that_only_the_study_names(asking: Asking) -> None:
    code, stderr = asking(Server(url="https://garden.example/v1", key="LEEK_KEY"), LEEK_KEY=KEY)
    assert code != 0
    assert "export M2V_SERVER_KEYS='LEEK_KEY=garden.example'" in stderr
    assert KEY not in stderr


@pytest.mark.parametrize(
    ("url", "allowed", "expected"),
    [
        ("http://127.0.0.1:8000/v1", "", True),
        ("http://localhost/v1", "", True),
        ("http://[::1]:8000/v1", "", True),
        ("https://garden.example/v1", "", False),
        ("https://garden.example/v1", "PEA_KEY=elsewhere LEEK_KEY=garden.example", True),
        ("https://garden.example:8000/v1", "LEEK_KEY=garden.example", False),
        ("https://garden.example/v1", "PEA_KEY=garden.example", False),
        ("https://127.0.0.1@garden.example/v1", "", False),
        ("https://127.0.0.1.garden.example/v1", "", False),
    ],
)
def test_who_may_have_a_key(monkeypatch: pytest.MonkeyPatch, url: str, allowed: str, expected: bool) -> None:
    monkeypatch.setenv("M2V_SERVER_KEYS", allowed)
    assert servers.may_have(url, "LEEK_KEY") is expected


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_moment_is_asked_again(asking: Asking, status: int) -> None:
    def moody(number: int, handler: BaseHTTPRequestHandler) -> None:
        if number % 2 == 0:
            send(handler, {"error": {"message": "busy"}}, status=status, retry_after_ms="1")
        else:
            send(handler, said("insulting"))

    with Faulty(moody) as server:
        code, stderr = asking(Server(url=server.url, n_at_once=1))
    assert code == 0, stderr[-2000:]
    assert server.n_asked == 12
    assert asking.answers()["outcome"].to_list() == ["positive"] * 6


@pytest.mark.parametrize(
    ("fault", "said_of_it"),
    [
        (
            lambda handler: send(handler, {"error": {"message": "no"}}, status=500, retry_after_ms="1"),
            "answered with 500",
        ),
        (lambda handler: send(handler, {"error": {"message": "no"}}, status=429, retry_after_ms="1"), "no room (429)"),
        (lambda handler: send(handler, {"error": {"message": "no"}}, status=404), "(404)"),
        (lambda handler: send(handler, b'{"id": "1", "choices": [{"mess'), "half an answer"),
        (lambda handler: send(handler, {"id": "1", "object": "chat.completion"}), "half an answer"),
        (lambda handler: send(handler, b"<html>a proxy</html>"), "half an answer"),
    ],
)
def test_what_fails_for_good_stops_and_what_was_answered_is_kept(
    asking: Asking, fault: Callable[[BaseHTTPRequestHandler], None], said_of_it: str
) -> None:
    def breaks(number: int, handler: BaseHTTPRequestHandler) -> None:
        send(handler, said("insulting")) if number < 3 else fault(handler)

    with Faulty(breaks) as server:
        code, stderr = asking(Server(url=server.url, n_at_once=1))
    assert code != 0
    assert said_of_it in stderr
    assert "3 items are left" in stderr
    assert asking.kept() == 3
    assert not (asking.folder / "out" / "manifest.json").exists()
    with Faulty(lambda _, handler: send(handler, said("neighbourly"))) as healthy:
        assert asking(Server(url=healthy.url), out="again")[0] == 0
    # What was answered is not asked again, though the address is another one.
    assert healthy.n_asked == 3
    assert sorted(asking.answers("again")["outcome"]) == ["negative"] * 3 + ["positive"] * 3


def test_a_hang_ends_after_the_time_that_was_set(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    with Faulty(lambda _, __: time.sleep(20)) as server:
        began = time.monotonic()
        code, stderr = asking(Server(url=server.url, n_at_once=6, timeout_s=0.2))
    assert code != 0
    assert "gave no answer in 0.2 s" in stderr
    assert time.monotonic() - began < 60


def test_an_answer_that_breaks_off_is_asked_again(asking: Asking) -> None:
    def breaks(number: int, handler: BaseHTTPRequestHandler) -> None:
        if number == 0:
            handler.send_response(200)
            handler.send_header("Content-Length", "5000")
            handler.end_headers()
            handler.wfile.write(b'{"id":')
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            send(handler, said("insulting"))

    with Faulty(breaks) as server:
        code, stderr = asking(Server(url=server.url, n_at_once=1))
    assert code == 0, stderr[-2000:]
    assert server.n_asked == 7


def test_a_server_that_is_not_there_is_named(asking: Asking) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    code, stderr = asking(Server(url=url, n_at_once=1))
    assert code != 0
    assert f"The server at {url} cannot be reached" in stderr


def test_no_more_than_the_budget_is_asked_and_the_rest_the_next_time(asking: Asking) -> None:
    with Faulty(lambda _, handler: send(handler, said("insulting"))) as server:
        code, stderr = asking(Server(url=server.url, budget=4))
        assert code != 0
        assert "budget of 4 requests is spent; 2 of 6 items are left" in stderr
        assert server.n_asked == 4
        assert asking(Server(url=server.url, budget=4))[0] == 0
    assert server.n_asked == 6


def test_as_many_requests_are_under_way_as_was_set_and_no_more(tmp_path: Path) -> None:
    def slow(_: int, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)
        send(handler, said("insulting"))

    asking = Asking(tmp_path, n=12)
    with Faulty(slow) as server:
        assert asking(Server(url=server.url, n_at_once=3))[0] == 0
    assert server.most_at_once == 3


def test_once_one_failed_for_good_only_what_was_under_way_is_asked(tmp_path: Path) -> None:
    def expired(number: int, handler: BaseHTTPRequestHandler) -> None:
        # One by one, so that each answer makes room for one more.
        time.sleep(0.2 * number)
        send(
            handler,
            said("insulting") if number < 4 else {"error": {"message": "no"}},
            status=200 if number < 4 else 401,
        )

    asking = Asking(tmp_path, n=12)
    with Faulty(expired) as server:
        code, stderr = asking(Server(url=server.url, n_at_once=3))
    assert code != 0
    assert "8 items are left" in stderr
    assert server.n_asked <= 4 + 3


def test_tokens_that_begin_both_words_count_for_neither() -> None:
    label = vlms.LABEL.model_copy(update={"positive": "hateful", "negative": "harmless"})
    assert servers.scored({"h": 0.9, "hate": 0.05, "harm": 0.05}, label=label) == (0.5, "negative")
