"""What tables cost in object storage over a local disk: votes written as a new version, and read back verified.

The server is moto's, in Python on this machine, and answers one request at a time. So what is measured is our client,
hashing and this server over loopback, without a network. A real store adds its latency for each request (five to write
a version, four to read one, six where the host has it not yet) and the time that the bytes take. Both disks alternate
in one run; the fastest of five counts.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from figure import report, scratch_folder
from m2v import schemas
from m2v_resources.store.versions import TableStore

N_ROWS = 5_000_000
REPEATS = 5


def votes(seed: int) -> pl.DataFrame:
    """A table of final labels, sorted by id; each seed has other labels."""
    generator = np.random.default_rng(seed)
    n_humans = generator.integers(0, 4, N_ROWS).astype(np.uint32)
    columns = {
        "meme_id": pl.select(pl.int_range(N_ROWS).cast(pl.String).str.zfill(8)).to_series(),
        "label": generator.random(N_ROWS) > 0.5,
        "decided_by": np.array(["agreement", "humans", "majority"])[generator.integers(0, 3, N_ROWS)],
        "n_votes": n_humans + 2,
        "n_humans": n_humans,
        "margin": generator.integers(-3, 4, N_ROWS).astype(np.int32),
    }
    return pl.DataFrame(columns, schema=dict(schemas.VOTED_LABELS.columns))


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measured(stores: dict[str, TableStore], folder: Path) -> dict[tuple[str, str], float]:
    """Seconds of each action on each disk, the fastest of all rounds."""
    measurements: dict[tuple[str, str], list[float]] = {}
    for number in range(REPEATS):
        frame = votes(number)
        for name, store in stores.items():

            def note(action: str, call: Callable[[], object], name: str = name) -> None:
                measurements.setdefault((name, action), []).append(seconds(call))

            def read(store: TableStore = store) -> None:
                store.read(schemas.VOTED_LABELS.name, "garden")

            note("write", lambda store=store, frame=frame: store.write(frame, schemas.VOTED_LABELS, "garden"))
            # As another host, which has nothing of it yet.
            os.environ["M2V_CACHE"] = str(folder / f"cache-{number}")
            note("first read", read)
            note("later read", read)
            note("small claim", lambda store=store: store.latest(schemas.VOTED_LABELS.name, "garden"))
    return {key: min(repeats) for key, repeats in measurements.items()}


def main() -> None:
    # The tests know how to start a server.
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.buckets import Server

    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch, Server() as server:
        folder = Path(scratch)
        os.environ.update(server.environment, M2V_CACHE=str(folder / "cache"))
        stores = {"disk": TableStore(folder / "tables"), "objects": TableStore(f"{server.new()}/tables")}
        seconds = measured(stores, folder)
    rows = f"{N_ROWS // 1_000_000} M rows of votes"
    for action, title in (
        ("write", f"write {rows} to"),
        ("first read", f"read {rows}, not in the cache, from"),
        ("later read", f"read {rows}, in the cache, from"),
    ):
        share = seconds["objects", action] / seconds["disk", action]
        sys.stderr.write(
            f"{action}: disk {seconds['disk', action]:.3f} s, objects {seconds['objects', action]:.3f} s\n"
        )
        report(f"hosts: {title} object storage, over local disk", share, unit="×", target="–", holds=True)
    claim = 1000 * seconds["objects", "small claim"]
    report("hosts: which version of a table is the latest, in object storage", claim, unit="ms", target="–", holds=True)


if __name__ == "__main__":
    main()
