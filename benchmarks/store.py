"""The table store against plain Polars: writing and reading five million rows, and the memory that it takes.

Two tables: votes (short columns, the worst case for hashing) and memes (texts). The alternative is
``write_parquet``, fsync and ``read_parquet``, which gives no version, no check of the rows and no verified read. Both
alternate in one run and the fastest of seven counts. Memory is the frame and what the resident size grows
by during the call, at its highest, measured in a process of its own.
"""

import os
import shutil
import subprocess
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
REPEATS = 7


def votes() -> pl.DataFrame:
    """A table of final labels, sorted by id."""
    generator = np.random.default_rng(0)
    n_humans = generator.integers(0, 4, N_ROWS).astype(np.uint32)
    codes = generator.integers(0, 3, N_ROWS)
    columns = {
        "meme_id": pl.select(pl.int_range(N_ROWS).cast(pl.String).str.zfill(8)).to_series(),
        "label": generator.random(N_ROWS) > 0.5,
        "decided_by": np.array(["agreement", "humans", "majority"])[codes],
        "n_votes": n_humans + 2,
        "n_humans": n_humans,
        "margin": generator.integers(-3, 4, N_ROWS).astype(np.int32),
    }
    return pl.DataFrame(columns, schema=dict(schemas.VOTED_LABELS.columns))


def memes() -> pl.DataFrame:
    """A table of memes with texts of some 40 characters."""
    words = pl.Series("word", ["leek", "beet", "pea", "corn", "kale", "chard", "turnip", "radish", "fennel", "sorrel"])
    generator = np.random.default_rng(0)
    picks = [words.gather(generator.integers(0, len(words), N_ROWS)) for _ in range(6)]
    ids = pl.select(pl.int_range(N_ROWS).cast(pl.String).str.zfill(8)).to_series()
    frame = pl.DataFrame({"meme_id": ids, **{str(n): pick for n, pick in enumerate(picks)}})
    return frame.select(
        "meme_id",
        split=pl.lit("train").cast(schemas.SPLITS),
        text=pl.concat_str(*(str(n) for n in range(len(picks))), "meme_id", separator=" "),
        label=pl.Series(generator.random(N_ROWS) > 0.5),
        image=pl.format("img/{}.png", "meme_id"),
        text_sha256=pl.col("meme_id").hash().cast(pl.String),
    )


TABLES = {"votes": (schemas.VOTED_LABELS, votes), "memes": (schemas.MEMES, memes)}


def through_polars(frame: pl.DataFrame, folder: Path) -> None:
    path = folder / "plain.parquet"
    frame.write_parquet(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    pl.read_parquet(path)


def through_the_store(frame: pl.DataFrame, folder: Path, table: schemas.Table) -> None:
    store = TableStore(folder / "store")
    store.write(frame, table, "benchmark")
    store.read(table.name, "benchmark")


def seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def ratio(name: str) -> float:
    table, build = TABLES[name]
    frame = build()
    plain, ours = [], []
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        folder = Path(scratch)
        for _ in range(REPEATS):
            plain.append(seconds(lambda: through_polars(frame, folder)))
            ours.append(seconds(lambda: through_the_store(frame, folder, table)))
            shutil.rmtree(folder / "store")
    sys.stderr.write(f"{name}: plain {min(plain):.3f} s, store {min(ours):.3f} s\n")
    return min(ours) / min(plain)


def resident_bytes(line: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith(line))


def memory_share(name: str, action: str, folder: Path) -> float:
    """Highest resident size during a write or a read, over the size of the frame; for a process of its own."""
    table, _ = TABLES[name]
    store = TableStore(folder)
    before = resident_bytes("VmRSS")
    if action == "read":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        frame = store.read(table.name, "benchmark")
    else:
        frame = pl.read_parquet(folder / "rows.parquet")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        # What the process holds now is the frame, and what reading it left with the allocator.
        before = resident_bytes("VmRSS") - frame.estimated_size()
        store.write(frame, table, "measured")
    return (resident_bytes("VmHWM") - before) / frame.estimated_size()


def main() -> None:
    for name, (table, build) in TABLES.items():
        share = ratio(name)
        report(
            f"store: write and read 5 M rows of {name}, over plain Polars",
            share,
            unit="×",
            target="≤ 1.3",
            holds=share <= 1.3,
        )
        with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
            TableStore(Path(scratch)).write(build(), table, "benchmark")
            build().write_parquet(Path(scratch) / "rows.parquet")
            for action in ("write", "read"):
                command = [sys.executable, __file__, name, action, scratch]
                seconds = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                title = f"store: peak memory of a {action} of {name}, over the frame"
                report(title, seconds, unit="×", target="≤ 2", holds=seconds <= 2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(memory_share(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    else:
        main()
