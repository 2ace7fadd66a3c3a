"""Several hosts that train together: that they fit each other, and that none waits for one that is gone.

Where all processes are on one host, torchrun sees to that, and nothing here has anything to do. Across hosts nobody
does: a host without power sends no farewell, and the others would wait for half an hour and more.
"""

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from m2v.detectors.trainer.watch import HostWatch
from m2v.errors import HostsDiffer
from m2v.programs import contract

# How long a disk may take to show a file that another host has written.
DISK_S = 5.0
# Until the watch has said which host is gone, when the first sign of it is a message that could not be sent.
GRACE_S = 5.0
STORE_S = timedelta(seconds=300)


class Place(TypedDict):
    """A process of the group: its host's name, and what it would run."""

    host: str
    versions: dict[str, str]


@contextlib.contextmanager
def together(out: Path) -> Iterator[None]:
    """Work with other hosts, each of which ends with an error when another one is gone.

    Args:
        out: A folder that all must see.

    Raises:
        HostsDiffer: They run different code, or do not share the folder's disk.
    """
    if os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]:
        yield
        return
    board = _board()
    places = _places(board)
    refuse_other_code(places)
    _refuse_other_disk(board, places, out=out)
    with _watch(board, places) as watch:
        try:
            yield
        except RuntimeError:  # what torch raises when another process is gone
            time.sleep(GRACE_S)
            raise
        watch.leave()


def refuse_other_code(places: list[Place]) -> None:
    """Compare what each host would run with the first one's.

    Raises:
        HostsDiffer: Names the host and the part that differs.
    """
    first = places[0]
    for place in places[1:]:
        for name, version in place["versions"].items():
            expected = first["versions"][name]
            if version != expected:
                what = f"version {version} of {name}" if name != "m2v" else f"other code of M2V ({version[:8]}…)"
                raise HostsDiffer(
                    f"{place['host']} has {what}, {first['host']} has "
                    f"{expected if name != 'm2v' else expected[:8] + '…'}. Install the same on all hosts."
                )


def _board() -> Store:
    """Where the processes of this start write what the others read: the store by which they joined."""
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=STORE_S)
    return PrefixStore(f"m2v/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _places(board: Store) -> list[Place]:
    mine = Place(host=socket.gethostname(), versions=contract.code_versions())
    return [json.loads(text) for text in _exchanged(board, "place", json.dumps(mine))]


def _exchanged(board: Store, name: str, mine: str) -> list[str]:
    """Return what each process says, by rank."""
    n_processes = int(os.environ["WORLD_SIZE"])
    board.set(f"{name}/{os.environ['RANK']}", mine)
    texts = [board.get(f"{name}/{rank}").decode() for rank in range(n_processes)]
    # Who refuses what it has read ends, and with the first host the board does: not before all have read.
    board.set(f"{name}/read/{os.environ['RANK']}", "")
    with contextlib.suppress(RuntimeError):
        board.wait([f"{name}/read/{rank}" for rank in range(n_processes)])
    return texts


def _refuse_other_disk(board: Store, places: list[Place], *, out: Path) -> None:
    """Let every process look for a file that the first one has written."""
    is_first, token = os.environ["RANK"] == "0", secrets.token_hex(8)
    if is_first:
        (out / f".shared.{token}").touch()
    # Told only now, so that nobody has looked for it before: NFS remembers what was not there.
    sign = out / f".shared.{_exchanged(board, 'token', token)[0]}"
    deadline = time.monotonic() + DISK_S
    while not (is_seen := sign.exists()) and time.monotonic() < deadline:
        time.sleep(0.2)
    seen = _exchanged(board, "seen", str(is_seen))
    if is_first:
        sign.unlink()
    blind = sorted({place["host"] for place, sees in zip(places, seen, strict=True) if sees != "True"})
    if blind:
        raise HostsDiffer(
            f"{', '.join(blind)} cannot see what {places[0]['host']} writes to {out}. "
            "M2V_HOME must lie on a disk that all hosts share, at the same path."
        )


def _watch(board: Store, places: list[Place]) -> HostWatch:
    """Connect this process with the first one, or the first one with all."""
    watch = HostWatch([place["host"] for place in places], rank=int(os.environ["RANK"]))
    if watch.rank == 0:
        board.set("watch", json.dumps(watch.listen()))
        watch.accept()
    else:
        port, token = json.loads(board.get("watch"))
        watch.connect((os.environ["MASTER_ADDR"], port), token=token)
    return watch
