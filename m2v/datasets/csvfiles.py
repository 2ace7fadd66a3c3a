"""Delimited files read strictly: what is wrong is named by file, row and column, and never by its content."""

import contextlib
import csv
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from m2v.datasets.textfiles import MAX_CELL_CHARACTERS, N_QUOTED, Row, called, lines
from m2v.errors import BadInput, MissingColumn

# No decoded file holds a lone surrogate. Sent after the last line, it comes back as a record of its own, unless a quote
# that was never closed has swallowed it, and with it rows that nobody would miss.
END = "\udcff"
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_READING = threading.Lock()
# Rows that are parsed at a time, under the lock.
CHUNK_ROWS = 1 << 12


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written: declared by who reads it, and never guessed.

    Attributes:
        is_quoted: A cell may stand in quotes, and then hold delimiters and line breaks; else a quote is a character.
        is_lenient: A quoted cell may hold single quotes, and no cell a line break.
        encoding: ``utf-8``, with or without a byte order mark, or a single-byte one.
        header: Names of the columns of a file that has no header.
    """

    delimiter: str = ","
    is_quoted: bool = True
    is_lenient: bool = False
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()


COMMAS, TABS = Dialect(), Dialect("\t")
PLAIN_TABS = Dialect("\t", is_quoted=False)
# Descriptions in the paper's demonstrations quote what is said in a video, and do not double these quotes.
LENIENT = Dialect(is_lenient=True)


def read(path: Path, *, columns: Sequence[str], others: bool = False, dialect: Dialect = COMMAS) -> list[Row]:
    """Return every record of a delimited UTF-8 file with a header; empty lines are none.

    Args:
        columns: The columns that it must have.
        others: Whether it may have more, which are checked and not kept.

    Raises:
        BadInput: Names the file and, where there is one, the row and column.
    """
    return list(rows(path, columns=columns, others=others, dialect=dialect))


def rows(
    path: Path,
    *,
    columns: Sequence[str],
    others: bool = False,
    optional: Sequence[str] = (),
    aliases: Mapping[str, Sequence[str]] | None = None,
    dialect: Dialect = COMMAS,
) -> Iterator[Row]:
    """As ``read``, a record at a time.

    Args:
        optional: Columns that are kept where the file has them.
        aliases: Other names that a column may have, by its name in the rows.
    """
    records = _records(path, dialect)
    with _cells_limited():
        number, header = (0, list(dialect.header)) if dialect.header else next(records, (0, None))
    if header is None:
        raise BadInput(path, f"is empty; expected a header with {', '.join(columns)}.")
    named = _named(header, [*columns, *optional], aliases or {})
    _check_header(path, number, named, columns, others=others, dialect=dialect)
    places = {column: named.index(column) for column in (*columns, *optional) if column in named}
    while True:
        with _cells_limited():
            chunk = list(itertools.islice(records, CHUNK_ROWS))
        for number, cells in chunk:
            _check_cells(path, number, header, cells, dialect)
            yield Row(path, number, {column: cells[place] for column, place in places.items()})
        if len(chunk) < CHUNK_ROWS:
            return


def _named(header: list[str], columns: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the header with the columns' own names in place of others that they have here."""
    named = list(header)
    for column in columns:
        if name := called(column, aliases, named):
            named[named.index(name)] = column
    return named


def _check_cells(path: Path, number: int, header: list[str], cells: list[str], dialect: Dialect) -> None:
    if len(cells) != len(header):
        problem = f"has {len(cells)} cells, the header has {len(header)}. Look for a missing quote or delimiter."
        raise BadInput(path, problem, row=number)
    for place, cell in enumerate(cells):
        if "\0" in cell:
            problem = "holds a NUL byte; the file is damaged, get it again."
            raise BadInput(path, problem, row=number, column=header[place])
        if "\n" not in cell:
            continue
        if dialect.is_lenient or _holds_rows(cells, place, dialect.delimiter):
            problem = (
                f"goes on over {cell.count(chr(10)) + 1} lines, which look like rows of their own after a stray quote. "
                "Double it or remove it; if the lines are one text, replace its line breaks by blanks."
            )
            raise BadInput(path, problem, row=number, column=header[place])


def _holds_rows(cells: list[str], place: int, delimiter: str) -> bool:
    """Return whether a cell of several lines is what a stray quote makes of several rows.

    Then its first line ends a row, its last one begins one, each with as many delimiters as the cell's place tells, and
    those between are whole rows. In prose a blank follows a comma, and lines begin with more than one word.
    """
    n = len(cells) - 1
    first, *others = cells[place].replace("\r\n", "\n").split("\n")
    wanted = [n - place, *[n] * (len(others) - 1), place]
    if place == n and others[-1] == "" and len(others) > 1:
        # The quote that closes it stands alone behind the last row.
        others.pop()
        wanted = [0, *[n] * len(others)]
    if n == 0 or [line.count(delimiter) for line in (first, *others)] != wanted:
        return False
    key = cells[0] if place else first.partition(delimiter)[0]
    is_prose = any(f"{delimiter} " in line for line in others)
    has_words = any(len(line.partition(delimiter)[0].split()) > 1 for line in others)
    return not is_prose and (len(key.split()) > 1 or not has_words)


def header(path: Path, *, dialect: Dialect = COMMAS) -> list[str]:
    """Return the names of a delimited file's columns, none if it is empty.

    Raises:
        BadInput: Its first row cannot be read.
    """
    with _cells_limited():
        return next(_records(path, dialect), (0, []))[1]


def _records(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    number = 0
    reader = csv.reader(
        _closed(path, dialect.encoding),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.is_quoted else csv.QUOTE_NONE,
        strict=not dialect.is_lenient,
    )
    try:
        for number, cells in enumerate(reader, start=1):
            if cells and cells[-1].endswith(END) and cells != [END]:
                raise BadInput(path, "opens a quote that is never closed.", row=number)
            if cells and cells != [END]:
                yield number, cells
    except csv.Error as error:
        if "field limit" in str(error):
            problem = f"has a cell of more than {MAX_CELL_CHARACTERS:,} characters. Close its quote, or shorten it."
        elif "unexpected end" in str(error):
            problem = "opens a quote that is never closed."
        elif "expected after" in str(error):
            problem = "has a quote inside a quoted cell, or a stray one before. Double it, or remove it."
        else:
            problem = f"cannot be parsed: {error}."
        raise BadInput(path, problem, row=number + 1) from error


def _closed(path: Path, encoding: str) -> Iterator[str]:
    yield from lines(path, encoding=encoding)
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


def _check_header(
    path: Path, number: int, header: list[str], columns: Sequence[str], *, others: bool, dialect: Dialect
) -> None:
    missing = [column for column in columns if column not in header]
    extra = [] if others else [column for column in header if column not in columns]
    repeated = sorted({column for column in header if header.count(column) > 1})
    for problem, names in (("lacks", missing), ("has the unexpected", extra), ("repeats", repeated)):
        if names:
            shown = ", ".join(name[:N_QUOTED] for name in names)
            kind, hint = (MissingColumn, _hint(header, columns, dialect)) if names is missing else (BadInput, "")
            raise kind(path, f"{problem} column {shown}; expected {', '.join(columns)}.{hint}", row=number)


def _hint(header: list[str], columns: Sequence[str], dialect: Dialect) -> str:
    """Return a sentence if the columns would be there with another delimiter, else nothing."""
    line = dialect.delimiter.join(header)
    for delimiter, name in DELIMITERS.items():
        if delimiter != dialect.delimiter and set(columns) <= {cell.strip('"') for cell in line.split(delimiter)}:
            return f" It is separated by {name}; {DELIMITERS[dialect.delimiter]} are read here."
    return ""
