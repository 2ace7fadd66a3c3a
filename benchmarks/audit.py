"""An audit of one row among five million, in a store of 200 versions; and how fast files are verified."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import polars as pl

from figure import report, scratch_folder
from m2v import schemas
from m2v_resources.record import Record
from m2v_resources.store import TableStore
from m2v_resources.stories import Stories
from m2v_resources.verification import verify

N_ROWS, N_VERSIONS, N_PAIRS = 5_000_000, 200, 3


def main() -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        store = TableStore(Path(folder) / "tables")
        _fill(store)
        began = time.monotonic()
        story = Stories(Record(store)).meme("large/2500000")
        seconds = time.monotonic() - began
        assert len(story["rows"]) == 2
        report("audit one row, 5 M rows, 200 versions", seconds, unit="s", target="≤ 1", holds=seconds <= 1)
        paths = sorted(store.root.glob("*/*/*.parquet"))
        n_bytes = sum(path.stat().st_size for path in paths)
        # The alternative: read every file once, in large pieces, and do nothing with it. Both start from the disk.
        ratios = []
        for _ in range(N_PAIRS):
            scan_s = _timed(paths, lambda: [_read(path) for path in paths])
            verify_s = _timed(paths, lambda: _verified(Path(folder)))
            ratios.append(verify_s / scan_s)
            print(f"scan {scan_s:.2f} s, {n_bytes / scan_s / 1e6:.0f} MB/s; verify {verify_s:.2f} s")
        report(
            f"verify {n_bytes / 1e6:.0f} MB, over reading them from the disk",
            median(ratios),
            unit="×",
            target="≤ 1.2",
            holds=median(ratios) <= 1.2,
        )


def _timed(paths: list[Path], work: Callable[[], object]) -> float:
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def _verified(home: Path) -> None:
    _, problems = verify(home)
    assert not problems


def _fill(store: TableStore) -> None:
    ids = pl.select(pl.int_range(N_ROWS).cast(pl.String).str.zfill(7).alias("meme_id"))
    large = ids.with_columns(original=True, predicted=False, reason=pl.lit("audit"), inclusion_probability=1.0)
    large = large.cast({"reason": schemas.CONFLICTS.columns["reason"]})
    memes = ids.with_columns(
        split=pl.lit("train").cast(schemas.SPLITS),
        text=pl.lit("a leek"),
        label=False,
        image=pl.lit(None, pl.String),
        # As little to compress as in real hashes.
        text_sha256=pl.concat_str(pl.int_range(N_ROWS).hash(seed).cast(pl.String) for seed in range(3)),
    )
    parent = store.write(memes, schemas.MEMES, "large")
    read = {"memes/large": {"version": parent.number, "rows_hash": parent.rows_hash}}
    store.write(large, schemas.CONFLICTS, "large", provenance={"parents": read, "files": {}})
    for seed in range(3, 5):  # two versions more of about that size
        digits = pl.concat_str(pl.int_range(N_ROWS).hash(seed + each).cast(pl.String) for each in range(3))
        store.write(memes.with_columns(text_sha256=digits), schemas.MEMES, "other")
    for number in range(N_VERSIONS - 4):
        store.write(memes.head(number + 1), schemas.MEMES, "small")


if __name__ == "__main__":
    main()
