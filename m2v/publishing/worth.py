"""What a card says a run's scores are worth: thresholds, calibration, and where it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from m2v.evaluation import slices as slicing

# The last digits differ between machines, and no version of a release is made for them.
N_DIGITS = 6


@dataclass(frozen=True)
class Worth:
    """What is known of one run besides its scores; plain data, so that a release's content has a hash.

    Attributes:
        operating_points, review_bands, calibration: Rows of these tables, of the run.
        worst_slice: One sentence.
    """

    operating_points: tuple[Mapping[str, Any], ...]
    review_bands: tuple[Mapping[str, Any], ...]
    calibration: tuple[Mapping[str, Any], ...]
    worst_slice: str

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as lists and mappings."""
        tables = {name: [dict(row) for row in getattr(self, name)] for name in TABLES}
        return {**tables, "worst_slice": self.worst_slice}


TABLES = ("operating_points", "review_bands", "calibration")


def of_run(run: str, tables: Mapping[str, pl.DataFrame]) -> Worth:
    """Return what a study's tables say of one of its runs.

    Args:
        tables: Rows of ``operating_points``, ``review_bands``, ``calibration`` and ``slices``, by name.
    """
    rows = {name: tuple(_rounded(tables[name].filter(run=run)).to_dicts()) for name in TABLES}
    return Worth(**rows, worst_slice=slicing.worst_in_words(tables["slices"].filter(run=run)))


def _rounded(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.Float64).round(N_DIGITS))
