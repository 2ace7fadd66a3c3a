"""Delimited files read strictly: what is wrong is named by file, row and column, and never by its content."""

import contextlib
import csv
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from m2v.datasets.textfiles import MAX_CELL_CHARACTERS, N_QUOTED, Row, lines
from m2v.errors import BadInput

# No decoded file holds a lone surrogate. Sent after the last line, it comes back as a record of its own, unless a quote
# that was never closed has swallowed it, and with it rows that nobody would miss.
END = "\udcff"
_READING = threading.Lock()


def read(path: Path, *, columns: Sequence[str], others: bool = False, delimiter: str = ",") -> list[Row]:
    """Every record of a delimited UTF-8 file with a header; empty lines are none.

    Args:
        columns: The columns that it must have.
        others: Whether it may have more, which are read too.

    Raises:
        BadInput: Names the file and, where there is one, the row and column.
    """
    with _cells_limited():
        records = _records(path, delimiter)
        number, header = next(records, (0, None))
        if header is None:
            raise BadInput(path, f"is empty; expected a header with {', '.join(columns)}.")
        _check_header(path, number, header, columns, others=others)
        return [_row(path, number, header, cells) for number, cells in records]


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        problem = f"has {len(cells)} cells, the header has {len(header)}. Look for a missing quote or delimiter."
        raise BadInput(path, problem, row=number)
    row = Row(path, number, dict(zip(header, cells, strict=True)))
    for column in header:
        if "\0" in row[column]:
            raise row.bad(column, "holds a NUL byte; the file is damaged, get it again.")
    return row


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        # Not strict: a published table has a bare quote inside a quoted cell. A row torn by one is found by its cells.
        for number, cells in enumerate(csv.reader(_closed(path), delimiter=delimiter), start=1):
            if cells and cells[-1].endswith(END) and cells != [END]:
                raise BadInput(path, "opens a quote that is never closed.", row=number)
            if cells and cells != [END]:
                yield number, cells
    except csv.Error as error:
        if "field limit" in str(error):
            problem = f"has a cell of more than {MAX_CELL_CHARACTERS:,} characters. Close its quote, or shorten it."
        else:
            problem = f"cannot be parsed: {error}."
        raise BadInput(path, problem, row=number + 1) from error


def _closed(path: Path) -> Iterator[str]:
    yield from lines(path)
    yield END


@contextlib.contextmanager
def _cells_limited() -> Iterator[None]:
    """Our limit instead of the csv module's, which is one for the whole process: so one reader at a time."""
    with _READING:
        before = csv.field_size_limit(MAX_CELL_CHARACTERS)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _check_header(path: Path, number: int, header: list[str], columns: Sequence[str], *, others: bool) -> None:
    missing = [column for column in columns if column not in header]
    extra = [] if others else [column for column in header if column not in columns]
    repeated = sorted({column for column in header if header.count(column) > 1})
    for problem, names in (("lacks", missing), ("has the unexpected", extra), ("repeats", repeated)):
        if names:
            shown = ", ".join(name[:N_QUOTED] for name in names)
            raise BadInput(path, f"{problem} column {shown}; expected {', '.join(columns)}.", row=number)
