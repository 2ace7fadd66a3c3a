"""Hosts made of namespaces: each has its own processes, network, name and view of the disk, and shares all files.

Nothing is left of them: a host lives as long as its first process, which ends when whoever made it ends, and takes its
processes, its addresses and its mounts with it. Needs root, and Debian's ``iproute2``.
"""

import contextlib
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2v.files.checkout import CHECKOUT
from tests.patience import PATIENCE_S

UNSHARE = ["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
# Reads until the pipe from whoever made the host closes; as the first process it collects its orphans.
INIT = "hostname {name}; mount --bind {hosts} /etc/hosts; mount -t tmpfs none /run; echo ready; read -r _"


class Host:
    """A machine of its own, as far as programs can tell.

    Args:
        name: Its name, by which the others reach it.
        hosts: The names of all, as in ``/etc/hosts``.
    """

    def __init__(self, name: str, *, hosts: Path) -> None:
        self.name = name
        init = ["sh", "-c", INIT.format(name=name, hosts=hosts)]
        self.boundary = subprocess.Popen(
            [*UNSHARE, *init], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.boundary.stdout
        assert self.boundary.stderr
        if self.boundary.stdout.readline() != "ready\n":
            raise AssertionError(f"No namespaces here; they need root: {self.boundary.stderr.read()}")
        children = Path(f"/proc/{self.boundary.pid}/task/{self.boundary.pid}/children")
        self.init = int(children.read_text(encoding="utf-8"))
        self.do("ip", "link", "set", "lo", "up")

    def command(self, command: Sequence[str]) -> list[str]:
        """What runs a command there."""
        enter = ["nsenter", f"--target={self.init}", "--net", "--uts", "--ipc", "--mount", "--pid", "--"]
        # Entering the mounts changes the folder.
        return [*enter, "env", f"--chdir={CHECKOUT}", *command]

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Start a command there."""
        return subprocess.Popen(self.command(command), text=True, **options)

    def run(self, *command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command there to its end."""
        return subprocess.run(self.command(command), capture_output=True, text=True, check=False, **options)

    def do(self, *command: str) -> str:
        """Run a command that must not fail; what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.stderr}"
        return done.stdout

    def end(self) -> None:
        """``kill -9`` of everything there at once: by the kernel's rules all of it ends with the first process."""
        self.boundary.kill()
        self.boundary.wait()
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{self.init}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


class Network:
    """Hosts on one switch, which is a host that does nothing else.

    Args:
        folder: For the file with the names.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.file = folder / "etc-hosts"
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 1)}
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in self.addresses.items())]
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.stack = contextlib.ExitStack()
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> "Network":
        with self.stack:
            self.switch = self._host("switch")
            self.switch.do("ip", "link", "add", "bridge", "up", "type", "bridge")
            for name in self.addresses:
                self.start(name)
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def start(self, name: str) -> Host:
        """Start a host, or start it again, with its cable in the switch."""
        # What the kernel still holds for connections of one that is gone.
        self.switch.run("ip", "link", "delete", name)
        host = self.hosts[name] = self._host(name)
        ends = [name, "netns", str(self.switch.init), "type", "veth", "peer", "name", "eth0", "netns", str(host.init)]
        subprocess.run(["ip", "link", "add", *ends], check=True)
        self.switch.do("ip", "link", "set", name, "up", "master", "bridge")
        host.do("ip", "address", "add", f"{self.addresses[name]}/24", "dev", "eth0")
        host.do("ip", "link", "set", "eth0", "up")
        return host

    def unplug(self, name: str) -> None:
        """Pull its cable: nobody hears of it again, and nobody is told."""
        self.switch.do("ip", "link", "set", name, "down")

    def plug(self, name: str) -> None:
        """Put its cable back."""
        self.switch.do("ip", "link", "set", name, "up")

    def _host(self, name: str) -> Host:
        host = Host(name, hosts=self.file)
        self.stack.callback(host.end)
        return host
