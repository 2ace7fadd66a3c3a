"""What differs between two copies of a dataset: releases, phases, splits of somebody else."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from m2v.catalog.check import Checked, check
from m2v.errors import M2VError

COLUMNS = ("split", "label", "text")


@dataclass(frozen=True)
class Differences:
    """What one copy of a dataset says otherwise than another.

    Attributes:
        rows: An item in both that differs: ``id``, ``what`` (a column), ``left``, ``right``; never a text.
        only_left, only_right: Ids of items that the other one lacks.
        n_both: Items in both.
    """

    left: str
    right: str
    rows: pl.DataFrame
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    n_both: int

    def summary(self) -> dict[str, Any]:
        """Return the counts in plain data."""
        counts = {what: self.rows.filter(what=what).height for what in COLUMNS}
        return {
            "left": self.left,
            "right": self.right,
            "n_both": self.n_both,
            "n_only_left": len(self.only_left),
            "n_only_right": len(self.only_right),
            **{f"n_{what}_differs": n for what, n in counts.items()},
        }


def differences(left: Path, right: Path, *, layouts: tuple[str | None, str | None] = (None, None)) -> Differences:
    """Return what differs between the datasets in two folders; where several lie there, between the most alike.

    Items are the same where their ids are, or where numbers are once zeros in front of them are gone.

    Args:
        layouts: Of each folder, where more than one fits.

    Raises:
        M2VError: A folder holds no dataset, or they have no item in common.
    """
    sides = [
        [(found, _keyed(found.rows)) for found in check(folder, layout=layout).datasets]
        for folder, layout in zip((left, right), layouts, strict=True)
    ]
    pairs = [(pair, _joined(*pair)) for pair in itertools.product(*sides)]
    ((ours, our_rows), (theirs, their_rows)), both = max(pairs, key=lambda pair: pair[1].height)
    if both.is_empty():
        problem = "have no item in common: their ids are of other datasets, or written otherwise."
        raise M2VError(f"{left} and {right} {problem}")
    found = []
    for what in COLUMNS:
        differing = both.filter(pl.col(what) != pl.col(f"{what}_right"))
        # A text is an item's content: that it differs is said, and no more.
        values = [pl.lit("") if what == "text" else pl.col(name).cast(pl.String) for name in (what, f"{what}_right")]
        found.append(differing.select("id", what=pl.lit(what), left=values[0], right=values[1]))
    alone = [tuple(sorted(rows.join(both, on="key", how="anti")["id"])) for rows in (our_rows, their_rows)]
    return Differences(
        ours.release or ours.dataset.layout,
        theirs.release or theirs.dataset.layout,
        pl.concat(found).sort("what", "id"),
        *alone,
        n_both=both.height,
    )


def _joined(one: tuple[Checked, pl.DataFrame], other: tuple[Checked, pl.DataFrame]) -> pl.DataFrame:
    return one[1].join(other[1], on="key", suffix="_right")


def _keyed(rows: pl.DataFrame) -> pl.DataFrame:
    """Return items by their ids without zeros in front, each once."""
    item_id = rows.columns[0]
    bare = pl.col(item_id).str.strip_chars_start("0")
    key = pl.when(pl.col(item_id).str.contains(r"^[0-9]+$")).then(bare).otherwise(pl.col(item_id))
    named = rows.select(id=item_id, key=key, split=pl.col("split").cast(pl.String), label="label", text="text")
    return named.unique("key", keep="first", maintain_order=True)
