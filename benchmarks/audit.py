"""An audit of one row among five million, in a store of 200 versions; and how fast files are verified."""

import os
import tempfile
import time
from pathlib import Path

import polars as pl

from figure import report, scratch_folder
from m2v import schemas
from m2v_resources.record import Record
from m2v_resources.store import TableStore
from m2v_resources.stories import Stories
from m2v_resources.verification import verify

N_ROWS, N_VERSIONS = 5_000_000, 200


def main() -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        store = TableStore(Path(folder) / "tables")
        _fill(store)
        began = time.monotonic()
        story = Stories(Record(store)).meme("large/2500000")
        seconds = time.monotonic() - began
        assert len(story["rows"]) == 2
        report("audit one row, 5 M rows, 200 versions", seconds, unit="s", target="≤ 1", holds=seconds <= 1)
        paths = list(store.root.glob("*/*/*.parquet"))
        began = time.monotonic()
        n_bytes = sum(len(path.read_bytes()) for path in paths)
        scan_s = time.monotonic() - began
        began = time.monotonic()
        _, problems = verify(Path(folder))
        verify_s = time.monotonic() - began
        assert not problems
        target = f"a plain scan of the {n_bytes / 1e6:.0f} MB: × 1 (cached, {os.cpu_count()} cores)"
        report("verify against a plain scan", verify_s / scan_s, unit="×", target=target, holds=verify_s <= scan_s)


def _fill(store: TableStore) -> None:
    ids = pl.select(pl.int_range(N_ROWS).cast(pl.String).str.zfill(7).alias("meme_id"))
    large = ids.with_columns(original=True, predicted=False, reason=pl.lit("audit"), inclusion_probability=1.0)
    large = large.cast({"reason": schemas.CONFLICTS.columns["reason"]})
    memes = ids.with_columns(
        split=pl.lit("train").cast(schemas.SPLITS),
        text=pl.lit("a leek"),
        label=False,
        image=pl.lit(None, pl.String),
        text_sha256=pl.lit("0" * 64),
    )
    parent = store.write(memes, schemas.MEMES, "large")
    read = {"memes/large": {"version": parent.number, "rows_hash": parent.rows_hash}}
    store.write(large, schemas.CONFLICTS, "large", provenance={"parents": read, "files": {}})
    for number in range(N_VERSIONS - 2):
        store.write(memes.head(number + 1), schemas.MEMES, "small")


if __name__ == "__main__":
    main()
