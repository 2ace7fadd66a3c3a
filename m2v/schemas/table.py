"""What a table is: its columns, its key, and whether rows are its rows.

A table's rows are validated before they are written: exact columns in order, exact dtypes, no nulls except where
allowed, unique keys. The validator is our own because it must name the offending row and cost little at five million
rows (docs/adr/0004).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from m2v.errors import InvalidRows

DType: TypeAlias = pl.DataType | type[pl.DataType]

SLICE_ROWS = 1 << 17


@dataclass(frozen=True)
class Table:
    """What one row of a table is.

    Attributes:
        name: The table's name, which is its folder in the store and its group in the graph.
        row: What one row is, in a few words.
        columns: Dtype of each column, in order.
        key: Columns that together identify a row; unique, never null.
        nullable: Columns that may hold nulls.
        hidden: Columns with item texts; previews leave them out unless asked.
        is_checked: Whether checks look at its rows, so that with each version there are rows of ``findings``.
        former: Columns that versions of earlier code have; whoever has others is newer than we are.
    """

    name: str
    row: str
    columns: Mapping[str, DType]
    key: tuple[str, ...]
    nullable: frozenset[str] = field(default_factory=frozenset)
    hidden: frozenset[str] = field(default_factory=frozenset)
    is_checked: bool = False
    former: frozenset[str] = field(default_factory=frozenset)

    def empty(self) -> pl.DataFrame:
        """Return a frame of this table with no rows."""
        return pl.DataFrame(schema=dict(self.columns))

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame itself, if its rows are this table's rows.

        Raises:
            InvalidRows: Names the table, the column and the first offending row (counted from 0).
        """
        self._validate_columns(frame)
        self._validate_nulls(frame)
        self._validate_key(frame)
        return frame

    def validate_parts(self, parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the parts themselves, as they come, as long as together they are this table's rows in its key's order.

        The order, which ``validate`` does not ask for, shows repeated keys without a look at the parts before the last.

        Raises:
            InvalidRows: As ``validate``, when the part comes; rows are counted over all parts.
        """
        n_before, last = 0, self.empty().select(self.key)
        for part in parts:
            self._validate_columns(part)
            self._validate_nulls(part, n_before=n_before)
            self._validate_order(pl.concat([last, part.select(self.key)]), n_before=n_before - last.height)
            n_before += part.height
            last = part.select(self.key).tail(1) if part.height else last
            yield part

    def _validate_columns(self, frame: pl.DataFrame) -> None:
        if frame.columns != list(self.columns):
            missing = sorted(set(self.columns) - set(frame.columns))
            extra = sorted(set(frame.columns) - set(self.columns))
            detail = f"missing {missing}, unexpected {extra}" if missing or extra else f"order is {frame.columns}"
            raise InvalidRows(f"{self.name}: columns must be {list(self.columns)}; {detail}.")
        for column, dtype in self.columns.items():
            if frame.schema[column] != dtype:
                raise InvalidRows(f"{self.name}: column {column!r} is {frame.schema[column]}, it must be {dtype}.")

    def _validate_nulls(self, frame: pl.DataFrame, *, n_before: int = 0) -> None:
        for column in self.columns:
            if column not in self.nullable and frame[column].null_count():
                row = n_before + (frame[column].is_null().arg_max() or 0)
                raise InvalidRows(f"{self.name}: column {column!r} is null in row {row}; it must have a value.")

    def _validate_order(self, key: pl.DataFrame, *, n_before: int) -> None:
        is_equal, is_after = pl.lit(True), pl.lit(False)
        for name in self.key:
            here, before = pl.col(name), pl.col(name).shift()
            # Nulls come first, as sorting has them.
            is_higher = pl.when(here.is_null()).then(pl.lit(False)).when(before.is_null()).then(pl.lit(True))
            is_after |= is_equal & is_higher.otherwise(here > before)
            is_equal &= here.eq_missing(before)
        wrong = ~key.select(is_after.alias("fine")).to_series()[1:]
        if not wrong.any():
            return
        row = wrong.arg_max() or 0
        here, before = key.row(row + 1, named=True), key.row(row, named=True)
        what = f"stands in rows {n_before + row} and {n_before + row + 1}; {', '.join(self.key)} must be unique"
        if here != before:
            what = (
                f"comes after {before} in row {n_before + row + 1}; rows that come in parts must be in the key's order"
            )
        raise InvalidRows(f"{self.name}: key {here} {what}.")

    def _validate_key(self, frame: pl.DataFrame) -> None:
        key = frame.select(self.key)
        first = key[self.key[0]]
        # Tables are mostly sorted by a one-column key; comparing neighbours is then ten times cheaper than hashing.
        if len(self.key) == 1 and first.is_sorted():
            if not _has_equal_neighbours(first):
                return
        elif (key.n_unique() if len(self.key) > 1 else first.n_unique()) == frame.height:
            return
        row = key.is_duplicated().arg_max() or 0
        n_times = key.filter(pl.all_horizontal(pl.col(name) == key[name][row] for name in self.key)).height
        raise InvalidRows(
            f"{self.name}: key {dict(key.row(row, named=True))} stands in {n_times} rows, first in row {row}; "
            f"{', '.join(self.key)} must be unique."
        )


def _has_equal_neighbours(values: pl.Series) -> bool:
    # Piece by piece: comparing strings takes a copy of what is compared.
    pieces = (values[start : start + SLICE_ROWS + 1] for start in range(0, len(values), SLICE_ROWS))
    return any((piece[1:] == piece[:-1]).any() for piece in pieces)


SPLITS = pl.Enum(["train", "validation", "test"])
