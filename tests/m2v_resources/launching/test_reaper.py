"""The reaper leaves nothing behind, however it or its parent ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.encoders import CHECKOUT
from tests.m2v_resources.launching import tree
from tests.patience import PATIENCE_S

TREE = [sys.executable, "-m", "tests.m2v_resources.launching.tree"]


def reaper(command: list[str]) -> "subprocess.Popen[bytes]":
    whole = [sys.executable, "-m", "m2v_resources.launching.reaper", "--", *command]
    return subprocess.Popen(whole, stdin=subprocess.PIPE, cwd=CHECKOUT)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)],
)
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    with reaper(["sh", "-c", script]) as process:
        assert process.wait(timeout=PATIENCE_S) == code


def test_what_a_command_leaves_behind_is_taken_down(tmp_path: Path) -> None:
    script = f"{' '.join(TREE)} {tmp_path} & while [ $(ls {tmp_path} | wc -l) -lt 2 ]; do sleep 0.05; done; exit 3"
    with reaper(["sh", "-c", script]) as process:
        assert process.wait(timeout=PATIENCE_S) == 3
    assert tree.gone(tmp_path, within_s=0)
    assert len([*tmp_path.glob("*.pid")]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_takes_the_whole_tree_down(tmp_path: Path, number: signal.Signals) -> None:
    with reaper([*TREE, str(tmp_path)]) as process:
        tree.grown(tmp_path, 2)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
    assert tree.gone(tmp_path, within_s=0)


def test_a_tree_that_ignores_term_is_killed(tmp_path: Path) -> None:
    with reaper([*TREE, str(tmp_path), "stubborn"]) as process:
        tree.grown(tmp_path, 2)
        process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    assert tree.gone(tmp_path, within_s=0)


def test_kill_9_of_the_parent_takes_torchruns_workers_down(tmp_path: Path) -> None:
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "tests.m2v_resources.launching.tree",
    ]
    command = [sys.executable, "-m", "m2v_resources.launching.reaper", "--", sys.executable, *torchrun, str(tmp_path)]
    script = f"import subprocess; subprocess.Popen({command!r}, stdin=subprocess.PIPE).wait()"
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    tree.grown(tmp_path, 4)
    assert not tree.gone(tmp_path, within_s=0)
    parent.kill()
    parent.wait()
    assert tree.gone(tmp_path, within_s=PATIENCE_S)
