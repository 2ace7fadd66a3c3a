"""A program that was forked is, to whoever started it, the process that Python would have been."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import warm
from tests.cluster import namespaces
from tests.patience import PATIENCE_S

PROGRAM = "tests.warm.probe"


@pytest.fixture(scope="module")
def parents() -> Iterator[warm.Parents]:
    parents = warm.Parents({"probe": warm.Family((PROGRAM,), (PROGRAM, "polars"), {"LEEKS": "green"})})
    yield parents
    parents.stop()


@pytest.fixture(params=["true", "warm"])
def python(request: pytest.FixtureRequest, parents: warm.Parents) -> str:
    return sys.executable if request.param == "true" else str(parents.bin / "python")


def start(python: str, *words: str, folder: Path = warm.CHECKOUT, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [python, "-m", PROGRAM, *words],
        env={**os.environ, "LEEKS": "green", "PYTHONPATH": str(warm.CHECKOUT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        text=True,
    )


def test_it_has_what_it_was_given(python: str, tmp_path: Path) -> None:
    words = ["a leek", "", "käse\n"]
    process = start(python, "tell", *words, folder=tmp_path, PEAS="two\nlines")
    said, errors = process.communicate("from outside")
    assert (process.returncode, errors) == (0, "")
    told = json.loads(said)
    assert told["arguments"] == ["tell", *words]
    assert told["input"] == "from outside"
    assert (told["folder"], told["peas"], told["name"]) == (str(tmp_path), "two\nlines", "__main__")
    # Python looks in the folder first, then where PYTHONPATH says.
    assert told["path"][:2] == [str(tmp_path), str(warm.CHECKOUT)]
    assert told["cores"] == sorted(os.sched_getaffinity(0))
    assert told["n_open"] == 3


@pytest.mark.parametrize(("word", "code"), [("0", 0), ("7", 7), ("leeks", 1), ("raise", 1)])
def test_it_ends_with_its_own_exit_code_and_last_word(python: str, word: str, code: int) -> None:
    process = start(python, "end", word)
    _, errors = process.communicate()
    assert process.returncode == code
    last = {"leeks": "leeks", "raise": "ValueError: the soil is dry"}.get(word, "")
    assert (errors.splitlines() or [""])[-1] == last


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_that_ends_it_is_the_signal_that_ended_it(python: str, number: signal.Signals) -> None:
    process = start(python, "die", str(int(number)))
    process.communicate()
    assert process.returncode == -number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_it_hears_signals(python: str, number: signal.Signals) -> None:
    process = start(python, "hear", str(int(number)))
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate()[0] == "heard\n"
    assert process.returncode == 5


def test_killed_it_writes_nothing_more(python: str, tmp_path: Path) -> None:
    for _ in range(10):
        path = tmp_path / "growing"
        process = start(python, "grow", str(path))
        while not path.exists() or path.stat().st_size < 100:
            assert process.poll() is None
        process.kill()
        process.communicate()
        size = path.stat().st_size
        time.sleep(0.02)
        assert path.stat().st_size == size
        path.unlink()


def test_what_it_starts_ends_with_it(parents: warm.Parents, tmp_path: Path) -> None:
    # A test that kills a program with all that is below it does not see what a fork has started: the kernel ends that.
    path = tmp_path / "growing"
    process = start(str(parents.bin / "python"), "start", str(path))
    while not path.exists() or path.stat().st_size < 100:
        assert process.poll() is None
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while (size := path.stat().st_size) is not None:
        time.sleep(0.1)
        if path.stat().st_size == size:
            break
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["-m", PROGRAM, "warm"], {"LEEKS": "blue"}),  # imported under another setting
        (["-m", PROGRAM, "warm"], {"PYTHONPATH": "/nowhere"}),  # other code may stand there
        (["-X", "dev", "-m", PROGRAM, "warm"], {}),  # an option of Python's
    ],
)
def test_whatever_would_not_be_the_same_starts_truly(
    parents: warm.Parents, words: list[str], environment: dict[str, str]
) -> None:
    given = {**os.environ, "LEEKS": "green", "PYTHONPATH": str(warm.CHECKOUT)}
    for changes, expected in (({}, "warm"), (environment, "true")):
        asked = words if changes is environment else ["-m", PROGRAM, "warm"]
        done = subprocess.run(
            [parents.bin / "python", *asked],
            env={**given, **changes},
            cwd=warm.CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_forks_find_what_was_imported_and_work_at_once(parents: warm.Parents) -> None:
    processes = [start(str(parents.bin / "python"), "polars", str(number)) for number in range(8)]
    assert [process.communicate()[0] for process in processes] == [f"{number}\n" for number in range(8)]


@pytest.fixture(params=["true", "warm"])
def there(request: pytest.FixtureRequest, parents: warm.Parents) -> list[str]:
    """Python on a host of its own: with its own processes, mounts, name and network."""
    python = sys.executable if request.param == "true" else str(parents.bin / "python")
    return [*namespaces.UNSHARE, "sh", "-c", 'hostname allotment; "$0" "$@"', python, "-m", PROGRAM]


def test_on_another_host_it_is_a_process_of_that_host(there: list[str]) -> None:
    environment = {**os.environ, "LEEKS": "green", "PYTHONPATH": str(warm.CHECKOUT)}
    done = subprocess.run(
        [*there, "look"], env=environment, cwd=warm.CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    # The shell is the first process there, a stand-in is the second.
    assert told["number"] in told["processes"]
    assert max(told["processes"]) < 10
    assert (told["host"], told["networks"]) == ("allotment", ["lo"])


@pytest.mark.parametrize("word", ["0", "7"])
def test_on_another_host_it_ends_with_its_own_exit_code(there: list[str], word: str) -> None:
    environment = {**os.environ, "LEEKS": "green", "PYTHONPATH": str(warm.CHECKOUT)}
    done = subprocess.run([*there, "end", word], env=environment, cwd=warm.CHECKOUT, check=False)
    assert done.returncode == int(word)


def test_on_another_host_it_is_killed_and_hears_signals(there: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "LEEKS": "green", "PYTHONPATH": str(warm.CHECKOUT)}
    for number in (signal.SIGKILL, signal.SIGTERM):
        path = tmp_path / f"growing {int(number)}"
        # Of several processes there, so that a signal by its number there hits this one.
        words = [*namespaces.UNSHARE, "sh", "-c", 'sleep 600 & "$0" "$@" & echo $!; wait $!', *there[-3:], "grow"]
        process = subprocess.Popen([*words, str(path)], env=environment, cwd=warm.CHECKOUT, stdout=subprocess.PIPE)
        assert process.stdout
        program = int(process.stdout.readline())
        while not path.exists() or path.stat().st_size < 100:
            assert process.poll() is None
        [init] = psutil.Process(process.pid).children()
        kill = ["nsenter", f"--target={init.pid}", "--pid", "--mount", "kill", f"-{int(number)}", str(program)]
        # It may end with the host, whose first process waits for the program.
        subprocess.run(kill, check=False)
        assert process.wait() == 128 + number
        size = path.stat().st_size
        time.sleep(0.02)
        assert path.stat().st_size == size


WOKEN = """
import subprocess, time
from tests import warm
parents = warm.Parents({"tool": warm.Family(("json.tool",), ("json",), {})})
subprocess.run([parents.bin / "python", "-m", "json.tool", "--help"], check=True, stdout=subprocess.DEVNULL)
print(parents.folder, flush=True)
time.sleep(600)
"""


def test_parents_end_with_whoever_started_them() -> None:
    process = subprocess.Popen([sys.executable, "-c", WOKEN], cwd=warm.CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    listed = ["pgrep", "-f", f"tests.warm.parent .* {process.stdout.readline().strip()}/"]
    deadline = time.monotonic() + PATIENCE_S
    # It is a copy of the process above until it has become its own program.
    while not subprocess.run(listed, check=False, capture_output=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while subprocess.run(listed, check=False, capture_output=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
