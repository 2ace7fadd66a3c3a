"""Text files from outside, read line by line, and the rows made of them; errors show at most a bit of a cell."""

import codecs
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from m2v.errors import BadInput

MAX_CELL_CHARACTERS = 1 << 20
# A line is read in one piece; a longer one than a few of the longest cells is refused before it fills the memory.
MAX_LINE_BYTES = 8 * MAX_CELL_CHARACTERS
N_QUOTED = 20
PIECE_BYTES = 1 << 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A record of a file.

    Attributes:
        number: From 1, as a spreadsheet counts: a header is 1, a record over several lines is one.
    """

    path: Path
    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def bad(self, column: str, problem: str) -> BadInput:
        """Return the error for a cell of this row."""
        return BadInput(self.path, problem, row=self.number, column=column)

    def choice(self, column: str, choices: Mapping[str, T]) -> T:
        """Return the cell's meaning among named choices."""
        cell = self.cells[column]
        if cell not in choices:
            known = ", ".join(map(repr, choices))
            raise self.bad(column, f"{cell[:N_QUOTED]!r} is not one of {known}.")
        return choices[cell]

    def filled(self, column: str) -> str:
        """Return the cell, which must not be empty."""
        if not self.cells[column].strip():
            raise self.bad(column, "is empty; every row needs one.")
        return self.cells[column]


def lines(path: Path, *, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a text file, each with its end of line; a byte order mark at the start is left out.

    Raises:
        BadInput: The file cannot be read, or names the line that is not UTF-8 or too long.
    """
    offset = 0
    try:
        with path.open("rb") as file:
            # Bytes first: decoded line by line, a wrong byte is met on its own line and not a buffer ahead of it.
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
                if len(line) > MAX_LINE_BYTES:
                    raise BadInput(path, f"line {number} has more than {MAX_LINE_BYTES:,} bytes. Split or shorten it.")
                is_utf8 = encoding == "utf-8"
                yield _decoded(path, line, number=number, offset=offset) if is_utf8 else line.decode(encoding)
                offset += len(line)
    except OSError as error:
        raise BadInput(path, f"cannot be read: {error.strerror}.") from error


def pieces(path: Path) -> Iterator[str]:
    """Yield the text of a UTF-8 file piece by piece, whatever its lines; a byte order mark at the start is left out.

    Raises:
        BadInput: The file cannot be read, or is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(PIECE_BYTES), b""):
                yield decoder.decode(piece)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise BadInput(path, "is not UTF-8. Save the file as UTF-8, or use iconv.") from error
    except OSError as error:
        raise BadInput(path, f"cannot be read: {error.strerror}.") from error


def check_unique(keys: Iterable[tuple[tuple[str, ...], Row]]) -> None:
    """Refuse a key that stands in two rows, naming both."""
    seen: dict[tuple[str, ...], Row] = {}
    for key, row in keys:
        if key in seen:
            raise repeated(key, row, seen[key])
        seen[key] = row


def repeated(key: Iterable[str], row: Row, first: Row) -> BadInput:
    """Return the error for a key that stands in two rows, naming both."""
    place = f"row {first.number}" + ("" if first.path == row.path else f" of {first.path}")
    shown = ", ".join(repr(part[:N_QUOTED]) for part in key)
    return BadInput(row.path, f"{shown} stands in {place} too. Leave one of them out.", row=row.number)


def called(column: str, aliases: Mapping[str, Iterable[str]], there: Container[str]) -> str | None:
    """Return what a column is called in a file: by its own name, or the first of its others; None if it is not there.

    Args:
        aliases: Other names, by column.
        there: The file's columns.
    """
    return next((name for name in (column, *aliases.get(column, ())) if name in there), None)


def _decoded(path: Path, line: bytes, *, number: int, offset: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        place = f"byte 0x{line[error.start]:02x} at offset {offset + error.start}"
        raise BadInput(path, f"line {number} is not UTF-8 ({place}). Save the file as UTF-8, or use iconv.") from error
