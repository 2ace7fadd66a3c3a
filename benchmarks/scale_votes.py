"""A hundred million votes through the table store, in parts; each way in a process of its own.

The votes are those of ``voting.final_labels`` over parts of a million synthetic memes, two fifths of them conflicts
with one to three answers; a part holds all rows of its memes. The alternative writes the same votes by Polars' own
streaming sink, flushes them and takes the file's sha256; it checks no row and knows no version. Run by ``scale.py``.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from figure import peak_mib
from m2v import schemas
from m2v.annotation import voting
from m2v.entries.study import VoteRule
from m2v_resources.store.versions import TableStore

N_PARTS, PART_ROWS = 100, 1_000_000
WAYS = ("votes alone", "plain", "store", "scan")


def measured(way: str, folder: Path) -> dict[str, Any]:
    """Seconds and highest resident size of this process; of the votes alone, also the size of their frame."""
    ways = {"votes alone": alone, "plain": plain, "store": store, "scan": scan}
    began = time.perf_counter()
    result = ways[way](folder)
    return {"seconds": time.perf_counter() - began, "peak_mib": peak_mib(), **result}


def alone(_: Path) -> dict[str, Any]:
    """Synthetic rows and voting, which all ways of writing have in common."""
    return {"frame_mib": sum(part.estimated_size("mb") for part in votes())}


def plain(folder: Path) -> dict[str, Any]:
    path = folder / "plain.parquet"
    schema = dict(schemas.VOTED_LABELS.columns)
    register_io_source(lambda *_: votes(), schema=schema).sink_parquet(path, statistics=False)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        hashlib.file_digest(file, "sha256").hexdigest()
    path.unlink()
    return {}


def store(folder: Path) -> dict[str, Any]:
    version = TableStore(folder / "tables").write_parts(votes(), schemas.VOTED_LABELS, "leeks_carrots")
    assert version.n_rows == N_PARTS * PART_ROWS
    return {"file_mib": version.n_bytes / 2**20}


def scan(folder: Path) -> dict[str, Any]:
    """Verified, then counted by who decided."""
    rows = TableStore(folder / "tables").scan(schemas.VOTED_LABELS.name, "leeks_carrots")
    counted = rows.group_by("decided_by").agg(pl.len(), pl.col("margin").mean()).collect(engine="streaming")
    assert counted["len"].sum() == N_PARTS * PART_ROWS
    return {}


def votes() -> Iterator[pl.DataFrame]:
    """Parts in the order of the key."""
    for number in range(N_PARTS):
        yield voting.final_labels(*alignment(number), rule=VoteRule(min_answers=1))


def alignment(number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions and answers about the memes of one part."""
    generator = np.random.default_rng(number)
    first = number * PART_ROWS
    ids = pl.select(pl.int_range(first, first + PART_ROWS).cast(pl.String).str.zfill(16)).to_series()
    original = generator.random(PART_ROWS) < 0.4
    predicted = np.where(generator.random(PART_ROWS) < 0.4, ~original, original)
    predictions = pl.DataFrame({"meme_id": ids, "original": original, "predicted": predicted})
    disputed = np.flatnonzero(original != predicted)
    asked = [disputed, *(disputed[generator.random(len(disputed)) < 0.5] for _ in range(2))]
    answers = [
        pl.DataFrame({"meme_id": ids.gather(rows), "label": generator.random(len(rows)) < 0.5}).select(
            "meme_id", annotator=pl.lit(f"a{person}"), label="label", round=pl.lit("r"), role=pl.lit("annotator")
        )
        for person, rows in enumerate(asked)
    ]
    return predictions, pl.concat(answers)
