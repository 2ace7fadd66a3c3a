"""A wire from each process of a group to the first one, by which all hear when one is gone.

The kernel asks the other end whether it is there while nothing is said, so that a host without power or cable is missed
as well as a killed one. What is said is ``bye`` of whoever has finished, and ``lost RANK`` of the first to all others.
"""

import contextlib
import os
import secrets
import select
import socket
import threading
import traceback
from collections.abc import Sequence

from m2v.errors import HostLost

# Half a minute without an answer, and a host counts as gone: first asked after so long, then so often.
IDLE_S, INTERVAL_S, N_PROBES = 10, 5, 4
JOIN_S = 300.0
TOKEN_BYTES = 32


class HostWatch:
    """This process's end of the wires. While it is open, a lost host ends the process with an error that names it.

    Args:
        hosts: The host of each process, by rank.
    """

    def __init__(self, hosts: Sequence[str], *, rank: int) -> None:
        self.hosts, self.rank = hosts, rank
        self.peers: dict[int, socket.socket] = {}
        self.token = secrets.token_hex(TOKEN_BYTES // 2)
        self.server: socket.socket | None = None
        self.is_closed = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def listen(self) -> tuple[int, str]:
        """Wait for the others at a free port; give it, and the word by which they are known."""
        # All addresses, as torch's own: by which one the others know this host is not known here.
        self.server = socket.create_server(("", 0), backlog=len(self.hosts))
        self.server.settimeout(JOIN_S)
        return self.server.getsockname()[1], self.token

    def accept(self) -> None:
        """Connect with all others."""
        assert self.server
        while len(self.peers) < len(self.hosts) - 1:
            peer, _ = self.server.accept()
            peer.settimeout(JOIN_S)
            token, _, rank = _read(peer).partition(" ")
            if secrets.compare_digest(token, self.token):
                self._add(int(rank), peer)
        self.server.close()

    def connect(self, address: tuple[str, int], *, token: str) -> None:
        """Connect with the first process."""
        peer = socket.create_connection(address, timeout=JOIN_S)
        peer.sendall(f"{token} {self.rank}\n".encode())
        self._add(0, peer)

    def leave(self) -> None:
        """Say that this process has done its part."""
        for peer in self.peers.values():
            _say(peer, "bye")

    def __enter__(self) -> "HostWatch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed.set()
        self.thread.join()
        for peer in self.peers.values():
            peer.close()

    def _add(self, rank: int, peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, N_PROBES)
        self.peers[rank] = peer

    def _listen(self) -> None:
        wires = dict(self.peers)
        while not self.is_closed.is_set():
            readable = select.select(list(wires.values()), [], [], 0.2)[0]
            for rank in [rank for rank, peer in wires.items() if peer in readable]:
                self._hear(rank, wires.pop(rank))

    def _hear(self, rank: int, peer: socket.socket) -> None:
        try:
            heard = _read(peer)
        except OSError as error:
            heard = f"lost {rank} does not answer any more ({error.strerror})"
        if not heard:
            heard = f"lost {rank} has ended; its own log says why, if it still could"
        if heard != "bye":
            _, lost, how = heard.split(maxsplit=2)
            self._lost(int(lost), how=how)

    def _lost(self, rank: int, *, how: str) -> None:
        """Tell the others, and end."""
        if self.rank == 0:
            for other, peer in self.peers.items():
                if other != rank:
                    _say(peer, f"lost {rank} {how}")
        if self.hosts[rank] == self.hosts[self.rank] or self.is_closed.is_set():
            return  # torchrun takes this one down, and the log has the other one's reason
        try:
            raise HostLost(
                f"{self.hosts[rank]}, where process {rank} of {len(self.hosts)} worked, {how}. Start all hosts again: "
                "the training goes on from its last complete state."
            )
        except HostLost:
            traceback.print_exc()
        # The main thread may wait in a collective that nothing ends.
        os._exit(1)


def _say(peer: socket.socket, what: str) -> None:
    with contextlib.suppress(OSError):  # its own wire says so
        peer.sendall(f"{what}\n".encode())


def _read(peer: socket.socket) -> str:
    """Return a line, which is one packet; nothing where the other end is closed."""
    return peer.recv(1024).decode(errors="replace").strip()
