"""Whatever happens to a text file on its way, what is read equals what was written, or an error names its place."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v.datasets import csvfiles, jsonfiles
from m2v.datasets.csvfiles import Dialect
from m2v.errors import BadInput

COLUMNS = ["id", "label", "text"]
Rows = list[list[str]]

# Cells as people write them, and cells of all that is special to a format.
words = st.text(alphabet="abé大 .", max_size=6).map(str.strip)
odd = st.text(alphabet="ab\"',;\t\n\r|\\é大 ", max_size=8)
dialects = st.sampled_from([csvfiles.COMMAS, csvfiles.TABS, Dialect(";")])


def rows(cells: st.SearchStrategy[str], *, min_size: int = 0) -> st.SearchStrategy[Rows]:
    """Rows with ids without blanks, and a label."""
    ids = st.text(alphabet="abc123", min_size=1, max_size=4)
    row = st.tuples(ids, st.sampled_from("01"), cells).map(list)
    return st.lists(row, min_size=min_size, max_size=6)


def delimited(table: Rows, dialect: Dialect, end: str = "\r\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=dialect.delimiter, lineterminator=end).writerows([COLUMNS, *table])
    return out.getvalue()


def json_lines(table: Rows) -> str:
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in table)


Read = Callable[[bytes, Callable[[Path], list]], Rows | str]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """What gives the rows of a file with this content, or the error."""
    path = tmp_path_factory.mktemp("bed") / "bed.txt"

    def read_by(content: bytes, reader: Callable[[Path], list]) -> Rows | str:
        path.write_bytes(content)
        try:
            return [[row[column] for column in COLUMNS] for row in reader(path)]
        except BadInput as error:
            return str(error)

    return read_by


def as_delimited(dialect: Dialect) -> Callable[[Path], list]:
    return lambda path: csvfiles.read(path, columns=COLUMNS, dialect=dialect)


def as_json(path: Path) -> list:
    return jsonfiles.records(path, keys=tuple(COLUMNS))


def is_placed(error: Rows | str) -> bool:
    """Whether it is an error that names the row, or the line of a byte."""
    return isinstance(error, str) and (", row " in error or " line " in error)


@settings(max_examples=60)
@given(rows(words), dialects)
def test_what_is_written_plainly_is_read(read: Read, table: Rows, dialect: Dialect) -> None:
    assert read(delimited(table, dialect).encode(), as_delimited(dialect)) == table
    assert read(json_lines(table).encode(), as_json) == table


@settings(max_examples=60)
@given(rows(odd), dialects)
def test_special_characters_are_read_as_written_or_their_row_is_named(
    read: Read, table: Rows, dialect: Dialect
) -> None:
    found = read(delimited(table, dialect).encode(), as_delimited(dialect))
    assert found == table or is_placed(found)
    # A cell without line breaks looks like no rows, so nothing excuses an error.
    if not any("\n" in row[2] or "\r" in row[2] for row in table):
        assert found == table
    assert read(json_lines(table).encode(), as_json) == table


@settings(max_examples=60)
@given(rows(st.text(alphabet="ab\"',;é大 ", max_size=8)))
def test_in_a_plain_file_quotes_are_characters(read: Read, table: Rows) -> None:
    content = "".join("\t".join(row) + "\n" for row in [COLUMNS, *table])
    assert read(content.encode(), as_delimited(csvfiles.PLAIN_TABS)) == table


@settings(max_examples=60)
@given(rows(words, min_size=1), dialects, st.data())
def test_stray_quotes_swallow_no_row(read: Read, table: Rows, dialect: Dialect, data: st.DataObject) -> None:
    def strayed(content: str, start: int) -> str:
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(start, len(content)))
            content = f'{content[:place]}"{content[place:]}'
        return content

    # Of two characters, an end of line may have a quote between them, which makes the first a cell's.
    content = delimited(table, dialect, "\n")
    found = read(strayed(content, content.index("\n") + 1).encode(), as_delimited(dialect))
    # A quote within a cell is one of its characters, and around one it is none; around the end of a row's line, nobody
    # can tell that the line's end is not the text's.
    unquoted = (
        [[cell.replace('"', "").removesuffix("\n") for cell in row] for row in found]
        if isinstance(found, list)
        else found
    )
    assert unquoted == table or is_placed(found)
    found = read(strayed(json_lines(table), 0).encode(), as_json)
    assert found == table or is_placed(found)


@settings(max_examples=60)
@given(rows(odd, min_size=1), dialects, st.data())
def test_of_a_truncated_file_no_row_but_the_last_is_another(
    read: Read, table: Rows, dialect: Dialect, data: st.DataObject
) -> None:
    content = delimited(table, dialect).encode()
    cut = content[: data.draw(st.integers(len(",".join(COLUMNS)) + 1, len(content)))]
    found = read(cut, as_delimited(dialect))
    if isinstance(found, list):
        # Without its end of line a last row may be whole or cut in its last cell: nobody can tell; pins of sha256 do.
        n = len(found) if cut.endswith(b"\n") else max(len(found) - 1, 0)
        assert found[:n] == table[:n]
        assert [row[:2] for row in found] == [row[:2] for row in table[: len(found)]]
    else:
        assert is_placed(found)
    lines = json_lines(table).encode()
    found = read(lines[: data.draw(st.integers(0, len(lines)))], as_json)
    assert found == table[: len(found)] or is_placed(found)


@settings(max_examples=60)
@given(rows(words, min_size=1), dialects, st.sampled_from(["latin-1", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"]))
def test_another_encoding_is_an_error_or_makes_no_difference(
    read: Read, table: Rows, dialect: Dialect, encoding: str
) -> None:
    found = read(delimited(table, dialect).encode(encoding, "replace"), as_delimited(dialect))
    wanted = [[cell.encode(encoding, "replace").decode(encoding) for cell in row] for row in table]
    assert found == wanted or is_placed(found)
    found = read(json_lines(table).encode(encoding, "replace"), as_json)
    assert found == wanted or is_placed(found)


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bed.jsonl"
    path.write_text('{"id": "1", "id": "2", "label": "0", "text": "a leek"}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"row 1: repeats 'id'; one of them would be lost"):
        as_json(path)
