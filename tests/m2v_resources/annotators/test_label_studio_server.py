"""Our own Label Studio on this machine: closed to its other accounts, and gone when we are."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m2v.errors import UnknownName
from m2v_resources.annotators import label_studio_server as server
from tests.conftest import free_port

# Stands in for a server that takes its time: it says where it is, and ends when it is told to.
SLOW = '#!/bin/sh\necho $$ > "$HOME/pid"\numask > "$HOME/umask"\nexec sleep 600\n'
STARTS = """
import sys
from pathlib import Path
from m2v_resources.annotators import label_studio_server as server
server.PROGRAM = Path(sys.argv[2])
server.end_with_us()
started = server.start(Path(sys.argv[1]), port=int(sys.argv[3]), exposure=server.Exposure())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_server_ends_with_the_command_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    program = tmp_path / "label-studio"
    program.write_text(SLOW)
    program.chmod(0o755)
    arguments = [str(tmp_path / "home"), str(program), str(free_port())]
    pid, umask = (tmp_path / "home" / "label_studio" / "data" / name for name in ("pid", "umask"))
    with subprocess.Popen([sys.executable, "-c", STARTS, *arguments], stderr=subprocess.DEVNULL) as command:
        while not (umask.exists() and umask.read_text().strip()):
            assert command.poll() is None
        command.send_signal(number)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert int(umask.read_text(), 8) == 0o077


def test_the_server_ends_after_a_kill_of_the_command(migrated: Path, tmp_path: Path) -> None:
    """The real one: with -9 nobody is left who could stop it, and its port and limits would stay."""
    home, port = tmp_path / "home", free_port()
    shutil.copytree(migrated, home)
    arguments = [str(home), str(server.PROGRAM), str(port)]
    with subprocess.Popen([sys.executable, "-c", STARTS + "\nserver.wait(started)", *arguments]) as command:
        while not is_open(port):
            assert command.poll() is None
            time.sleep(0.1)
        command.kill()
    while is_open(port):
        time.sleep(0.1)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_other_accounts_of_the_machine_read_nothing_of_the_server(label_studio: Path) -> None:
    folder = label_studio / "label_studio"
    assert [
        path for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077 and path.parent == folder
    ] == []
    open_files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert [path.name for path in open_files if "sqlite" in path.name or path.suffix in {".txt", ".json"}] == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_day_ends_where_the_machine_says_or_somebody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Kolkata")
    assert server.Exposure().time_zone == "Asia/Kolkata"
    monkeypatch.setenv("TZ", "Garden/Shed")
    assert server.local_zone() != "Garden/Shed"
    with pytest.raises(UnknownName, match=r"No time zone is called 'Europe/Belin'\. Did you mean .*Europe/Berlin"):
        server.Exposure(time_zone="Europe/Belin")
