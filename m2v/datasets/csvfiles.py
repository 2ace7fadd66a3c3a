"""Delimited files read strictly: what is wrong is named by file, row and column, and never by its content."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from m2v.errors import BadInput

MAX_CELL_CHARACTERS = 1 << 20
# A line is read in one piece; a longer one than a few of the longest cells is refused before it fills the memory.
MAX_LINE_CHARACTERS = 8 * MAX_CELL_CHARACTERS
N_QUOTED = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A record of a file.

    Attributes:
        number: From 1, the header being 1, as a spreadsheet counts.
    """

    path: Path
    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def bad(self, column: str, problem: str) -> BadInput:
        """The error for a cell of this row."""
        return BadInput(self.path, problem, row=self.number, column=column)

    def choice(self, column: str, choices: Mapping[str, T]) -> T:
        """The cell's meaning among named choices."""
        cell = self.cells[column]
        if cell not in choices:
            known = ", ".join(map(repr, choices))
            raise self.bad(column, f"{cell[:N_QUOTED]!r} is not one of {known}.")
        return choices[cell]

    def filled(self, column: str) -> str:
        """The cell, which must not be empty."""
        if not self.cells[column].strip():
            raise self.bad(column, "is empty; every row needs one.")
        return self.cells[column]


def read(path: Path, *, columns: Sequence[str], others: bool = False, delimiter: str = ",") -> list[Row]:
    """Every record of a delimited UTF-8 file with a header.

    Args:
        columns: The columns that it must have.
        others: Whether it may have more, which are read too.

    Raises:
        BadInput: Names the file and, where there is one, the row and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rows(path, file, columns, others=others, delimiter=delimiter))
    except OSError as error:
        raise BadInput(path, f"cannot be read: {error.strerror}.") from error


def _rows(path: Path, file: TextIO, columns: Sequence[str], *, others: bool, delimiter: str) -> Iterator[Row]:
    header: list[str] | None = None
    for number, cells in enumerate(_records(path, file, delimiter), start=1):
        if header is None:
            header = cells
            _check_header(path, header, columns, others=others)
            continue
        if len(cells) != len(header):
            raise BadInput(
                path,
                f"has {len(cells)} cells, the header has {len(header)}. Look for a missing quote or delimiter.",
                row=number,
            )
        for column, cell in zip(header, cells, strict=True):
            if "\0" in cell:
                raise BadInput(path, "holds a NUL byte; the file is damaged, get it again.", row=number, column=column)
        yield Row(path, number, dict(zip(header, cells, strict=True)))
    if header is None:
        raise BadInput(path, f"is empty; expected a header with {', '.join(columns)}.")


def _records(path: Path, file: TextIO, delimiter: str) -> Iterator[list[str]]:
    before = csv.field_size_limit(MAX_CELL_CHARACTERS)
    number = 1
    try:
        # Not strict: a published table has a bare quote inside a quoted cell. A row torn by one is found by its cells.
        for cells in csv.reader(_lines(path, file), delimiter=delimiter):
            if cells:
                yield cells
                number += 1
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}). Convert the file: iconv -f LATIN1 -t UTF-8."
        raise BadInput(path, problem, row=number) from error
    except csv.Error as error:
        raise BadInput(path, f"{error}. A cell may have {MAX_CELL_CHARACTERS:,} characters.", row=number) from error
    finally:
        csv.field_size_limit(before)


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            raise BadInput(path, f"line {number} has more than {MAX_LINE_CHARACTERS:,} characters.")
        yield line


def _check_header(path: Path, header: list[str], columns: Sequence[str], *, others: bool) -> None:
    missing = [column for column in columns if column not in header]
    extra = [] if others else [column for column in header if column not in columns]
    repeated = sorted({column for column in header if header.count(column) > 1})
    for problem, names in (("lacks", missing), ("has the unexpected", extra), ("repeats", repeated)):
        if names:
            shown = ", ".join(name[:N_QUOTED] for name in names)
            raise BadInput(path, f"{problem} column {shown}; expected {', '.join(columns)}.", row=1)
