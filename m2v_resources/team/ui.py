"""Dagster on this machine: the code's server, the daemon, and the webserver behind its door.

``dagster dev`` starts the same three, but its webserver answers any web page.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.load_target import ModuleTarget

from m2v.errors import ProgramFailed
from m2v.files.checkout import CHECKOUT

WATCH_S = 0.5
END_S = 30


def serve(instance: dg.DagsterInstance, *, port: int, location: str) -> None:
    """Run them until Ctrl-C or SIGTERM; all end together.

    Args:
        port: On 127.0.0.1.
        location: The code location's name; sensors are switched on by it.

    Raises:
        ProgramFailed: One of them ended by itself.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = ModuleTarget("m2v_assets.definitions", None, str(CHECKOUT), location)
    with contextlib.suppress(KeyboardInterrupt), ProxyServerManager(instance, target) as code, _written(code) as file:
        there = ["--workspace", str(file)]
        web = ["-m", "m2v_resources.team.webserver", "--host", "127.0.0.1", "--port", str(port)]
        with _running([*web, *there], ["-m", "dagster._daemon", "run", *there]) as programs:
            while all(program.poll() is None for program in programs):
                time.sleep(WATCH_S)
            name = "webserver" if programs[0].poll() is not None else "daemon"
            raise ProgramFailed(
                f"The {name} has ended by itself; what it said stands above. "
                "Start `m2v ui` again, with another --port if that one is taken."
            )


@contextlib.contextmanager
def _written(code: ProxyServerManager) -> Iterator[Path]:
    """Write the workspace that names the code's server."""
    with tempfile.TemporaryDirectory(prefix="m2v-ui-") as folder:
        file = Path(folder) / "workspace.yaml"
        file.write_text(yaml.safe_dump({"load_from": list(code.get_code_server_specs())}), encoding="utf-8")
        yield file


@contextlib.contextmanager
def _running(*commands: list[str]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Run Python with each of these arguments; end them all when the block ends."""
    programs: list[subprocess.Popen[bytes]] = []
    try:
        programs.extend(subprocess.Popen([sys.executable, *command]) for command in commands)
        yield programs
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            try:
                program.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
