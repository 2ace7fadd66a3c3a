"""Servers and platforms that die in the middle of their work."""

import contextlib
import http.server
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v.errors import LabelStudioError, StoreError
from m2v.files.checkout import CHECKOUT
from m2v_resources.annotators import label_studio, label_studio_server
from m2v_resources.annotators.label_studio import AnnotationServer, LabelStudioAddress
from m2v_resources.annotators.rounds import Rounds
from tests import warm
from tests.conftest import free_port, running
from tests.m2v_resources.annotators.asking import leeks, plan, question, rounds, tasks
from tests.people import join

# More than one import's worth of items.
N_KILLS, N_KILLED = 50, label_studio.BATCH + 100


@pytest.fixture
def mortal(migrated: Path, tmp_path: Path) -> Iterator[running]:
    with running(migrated, tmp_path / "home") as server:
        yield server


def pull_for_ever(found: Rounds) -> None:
    while True:
        found.pull(full=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("after_s", [0.4, 0.9])
def test_a_server_killed_during_the_import_ends_with_each_item_once(mortal: running, after_s: float) -> None:
    found, asked = rounds(mortal.home, "import"), question(leeks(3000))
    threading.Timer(after_s, kill, [mortal.process]).start()
    with pytest.raises(LabelStudioError, match=r"Round import_001: .* did not answer .*Start it with"):
        found.open(plan(), asked)
    mortal.start()
    (this,) = found.open(plan(), asked)
    assert len(tasks(found, this)) == 3000


def test_a_server_killed_during_a_pull_loses_no_answer(mortal: running) -> None:
    found = rounds(mortal.home, "pull")
    (this,) = found.open(plan(n_annotators=1), question(leeks(1500)))
    person, where = join(mortal.home), tasks(found, this)
    for meme in list(where)[:5]:
        person.answer(where[meme], "positive").raise_for_status()
    assert found.pull() == 5
    for meme in list(where)[5:8]:
        person.answer(where[meme], "negative").raise_for_status()
    threading.Timer(0.3, kill, [mortal.process]).start()
    with pytest.raises(LabelStudioError, match=r"Round pull_001: .* did not answer"):
        pull_for_ever(found)
    assert found.ledger.judged(this).answers.height >= 5
    mortal.start()
    found.pull()
    assert found.ledger.judged(this).answers["label"].sum() == 5
    assert found.ledger.judged(this).answers.height == 8


def platform(home: Path, alignment: str) -> "subprocess.Popen[bytes]":
    """A platform that opens and pulls the same round over and over, ready to begin."""
    command = [warm.python(), "-m", "tests.m2v_resources.annotators.dying", str(home), alignment, str(N_KILLED)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=CHECKOUT)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


def test_fifty_kills_of_the_platform_lose_and_double_nothing(mortal: running) -> None:
    home = mortal.home
    draw = random.Random(7)  # noqa: S311
    found, person, answered = rounds(home, "kills"), join(home), {}
    # What opening a round takes on this machine now; a server's first takes longer.
    opening_s = 0.0
    for alignment in ("first", "undisturbed"):
        with platform(home, alignment) as undisturbed:
            began = time.monotonic()
            assert undisturbed.stdout
            assert undisturbed.stdout.readline() == b"opened\n"
            opening_s = time.monotonic() - began
            undisturbed.kill()
    for n in range(N_KILLS):
        with platform(home, "kills") as killed:
            # The first few while the round is made, the others wherever they hit, also while answers are pulled.
            time.sleep(draw.uniform(0, opening_s if n < 10 else 2 * opening_s))
            killed.kill()
        opened = found.ledger.rounds()
        if n % 5 == 4 and opened and found.server.projects(opened[0].uid):
            item = person.next_item(found.server.projects(opened[0].uid)[0].project_id)
            if item.status_code == 200:
                label = draw.choice(["positive", "negative"])
                person.answer(item.json()["id"], label).raise_for_status()
                answered[item.json()["data"]["item_key"]] = label == "positive"
    found.pull(full=True)
    (this,) = found.open(plan(n_annotators=1), question(leeks(N_KILLED)))
    listed = tasks(found, this)
    memes = dict(found.ledger.items(this).select("item_key", "meme_id").iter_rows())
    assert len(listed) == N_KILLED
    assert len(answered) >= 5
    assert dict(found.ledger.judged(this).answers.select("meme_id", "label").iter_rows()) == {
        memes[item_key]: label for item_key, label in answered.items()
    }


def test_a_server_that_is_down_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    nobody = AnnotationServer(LabelStudioAddress(f"http://127.0.0.1:{free_port()}", "0" * 40, "salt"))
    with pytest.raises(LabelStudioError, match=r"did not answer \(ConnectError\).*make label-studio"):
        Rounds(tmp_path, "down", nobody).open(plan(), question(leeks(1)))


def test_another_program_on_the_port_is_told_apart() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = other.server_address[1]
        with pytest.raises(LabelStudioError, match=r"another program answers there|is not Label Studio"):
            AnnotationServer(LabelStudioAddress(f"http://127.0.0.1:{port}", "0" * 40, "salt")).check()
        other.shutdown()


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        port = other.server_address[1]
        with pytest.raises(LabelStudioError, match=rf"Port {port} is taken"):
            label_studio_server.start(tmp_path, port=port, exposure=label_studio_server.Exposure())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_ledger_loses_nothing(mortal: running) -> None:
    home = mortal.home
    small = home / "rounds"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(small)], check=True)
    try:
        found = rounds(home, "full")
        (this,) = found.open(plan(n_annotators=1), question(leeks(40)))
        person, where = join(home), tasks(found, this)
        person.answer(where["leek 0000"], "positive")
        found.pull()
        (small / "filler").write_bytes(b"")
        with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"0" * 1024)
        for number in range(1, 30):
            person.answer(where[f"leek {number:04}"], "negative").raise_for_status()
        with pytest.raises(StoreError, match=r"cannot be written: No space left"):
            found.pull()
        assert found.ledger.judged(this).answers.height == 1
        (small / "filler").unlink()
        found.pull()
        assert found.ledger.judged(this).answers.height == 30
    finally:
        subprocess.run(["umount", str(small)], check=True)
        shutil.rmtree(small)
