"""JSON files read strictly: what is wrong is named by file, row and key, and never by its content."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2v.datasets.textfiles import MAX_CELL_CHARACTERS, N_QUOTED, Row, called, lines, pieces
from m2v.errors import BadInput, MissingColumn
from m2v.files import documents

PARTS = ("title", "description", "transcript")
# Of a file that is read piece by piece, the largest entry.
MAX_ENTRY_CHARACTERS = 1 << 23
ENCODE = json.JSONEncoder(ensure_ascii=False).encode
BLANK = re.compile(r"[ \t\r\n]*")
# JSON can say what UTF-8 cannot: half of a surrogate pair.
DAMAGE = re.compile("[\0\ud800-\udfff]")


def records(path: Path, *, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[Row]:
    """Every object of a file with one per line; whole numbers become text, other keys are left out.

    Raises:
        BadInput: Names the file, the line and the key.
    """
    rows = []
    for number, data in _objects(path):
        present = (*keys, *(key for key in optional if key in data))
        rows.append(Row(path, number, {key: _cell(path, number, data, key) for key in present}))
    return rows


@dataclass(frozen=True)
class Wanted:
    """Which keys of an object become cells.

    Attributes:
        columns: Keys that each must have; ``optional`` are kept where they are there.
        aliases: Other names that a key may have, by its name in the rows.
        structured: Keys that may hold lists, which the row has as JSON.
    """

    columns: Sequence[str]
    optional: Sequence[str] = ()
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    structured: Collection[str] = ()


def rows(path: Path, wanted: Wanted) -> Iterator[Row]:
    """Yield the objects of a file with one per line.

    Raises:
        BadInput: Names the file, the line and the key.
    """
    for number, data in _objects(path):
        yield _row(path, number, data, wanted)


def entries(path: Path, wanted: Wanted) -> Iterator[Row]:
    """As ``rows``, of a list of objects, or an object of objects, whose keys are the rows' ``$id``; one at a time."""
    for number, (key, data) in enumerate(_Stream(path).entries(), start=1):
        row = _row(path, number, _object(path, number, data), wanted)
        if key is not None:
            row.cells["$id"] = key
        yield row


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file with one per line, numbered by lines."""
    for number, line in enumerate(lines(path), start=1):
        if line.strip():
            yield number, _object(path, number, documents.parsed_json(line, where=path, row=number))


def _object(path: Path, number: int, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadInput(path, "is not a JSON object.", row=number)
    return data


def _row(path: Path, number: int, data: dict[str, Any], wanted: Wanted) -> Row:
    cells = {}
    for key in (*wanted.columns, *wanted.optional):
        name = called(key, wanted.aliases, data)
        if name is None and key in wanted.optional:
            continue
        is_loose = key in wanted.optional or key in wanted.structured
        cells[key] = (_loose if is_loose else _cell)(path, number, data, name or key)
    return Row(path, number, cells)


def _loose(path: Path, number: int, data: dict[str, Any], key: str) -> str:
    """Return a cell that may be missing, a number or a list, as text; a list as JSON."""
    value = data.get(key)
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return ENCODE(value)
    text = value if isinstance(value, bool) else str(value)
    if problem := _problem(text):
        raise BadInput(path, problem, row=number, column=key)
    return str(text)


class _Stream:
    """A JSON file read piece by piece, so that its entries are never there all at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.pieces = path, pieces(path)
        self.decoder = json.JSONDecoder(object_pairs_hook=documents.once_each)
        self.text, self.place, self.has_more = "", 0, True

    def entries(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the entries of a list or an object, with the key in an object."""
        opening = self._mark()
        if opening not in {"[", "{"}:
            raise BadInput(self.path, "must be a JSON list of objects, or an object of them.")
        self.place += 1
        is_first = True
        while (mark := self._mark()) != {"[": "]", "{": "}"}[opening]:
            if not is_first:
                self._expect(mark, ",")
            is_first = False
            key = None
            if opening == "{":
                self._expect(self._mark(), '"', is_taken=False)
                key = self._value()
                self._expect(self._mark(), ":")
            yield key, self._value()
        self.place += 1
        if self._mark():
            raise BadInput(self.path, "is not valid JSON: something follows its end.")

    def _expect(self, mark: str, wanted: str, *, is_taken: bool = True) -> None:
        if mark != wanted:
            raise BadInput(self.path, f"is not valid JSON: expected {wanted!r}.")
        self.place += is_taken

    def _mark(self) -> str:
        """Return the next character that is no blank; nothing at the end."""
        if self.place < len(self.text) and (mark := self.text[self.place]) not in " \t\r\n":
            return mark
        while True:
            match = BLANK.match(self.text, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self.text) or not self.has_more:
                return self.text[self.place : self.place + 1]
            self._fill(1)

    def _value(self) -> Any:
        while True:
            self._mark()
            left = len(self.text) - self.place
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
            except RecursionError as error:
                raise BadInput(self.path, "is nested too deeply.") from error
            except documents.Repeated as error:
                problem = f"repeats {str(error)[:N_QUOTED]!r}; one of them would be lost."
                raise BadInput(self.path, problem) from None
            except ValueError as error:
                if not self.has_more or left > MAX_ENTRY_CHARACTERS:
                    raise BadInput(self.path, "is not valid JSON, or one of its entries is too large.") from error
            else:
                # A number may go on in what was not read yet.
                if end < len(self.text) or not self.has_more:
                    self.place = end
                    return value
            self._fill(2 * left)

    def _fill(self, wanted: int) -> None:
        """Read on until so many characters are there, and drop those before the place."""
        parts = [self.text[self.place :]]
        self.place, n = 0, len(parts[0])
        for piece in self.pieces:
            parts.append(piece)
            n += len(piece)
            if n >= wanted:
                break
        else:
            self.has_more = False
        self.text = "".join(parts)


def texts(path: Path) -> dict[str, str]:
    """Text by video, from an object of texts, or of objects whose title, description and transcript become a line each.

    Raises:
        BadInput: Names the file and the video.
    """
    data = documents.parsed_json("".join(lines(path)), where=path)
    if not isinstance(data, dict):
        raise BadInput(path, "must be a JSON object with a text for each video.")
    return {video_id: _joined(path, video_id, text) for video_id, text in data.items()}


def _cell(path: Path, number: int, data: dict[str, Any], key: str) -> str:
    if key not in data:
        raise MissingColumn(path, "is missing.", row=number, column=key)
    value = data[key]
    if type(value) is int:  # and not bool, which is an int too
        return str(value)
    if problem := _problem(value):
        raise BadInput(path, problem, row=number, column=key)
    return value


def _joined(path: Path, video_id: str, text: Any) -> str:
    parts = [part for key in PARTS if (part := text.get(key))] if isinstance(text, dict) else [text]
    for part in parts:
        if problem := _problem(part):
            raise BadInput(path, f"the text of {video_id[:N_QUOTED]!r} {problem}")
    return "\n".join(parts)


def _problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be a text, not {type(value).__name__}."
    if len(value) > MAX_CELL_CHARACTERS:
        return f"has more than {MAX_CELL_CHARACTERS:,} characters."
    if DAMAGE.search(value):
        return "holds a NUL or half of a surrogate pair; the file is damaged, get it again."
    return None
