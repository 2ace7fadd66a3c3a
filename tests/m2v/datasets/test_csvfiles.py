import csv
import re
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v.datasets import csvfiles
from m2v.errors import BadInput

COLUMNS = ["id", "text"]


def read(tmp_path: Path, content: bytes, *, others: bool = False) -> list[tuple[int, dict[str, str]]]:
    path = tmp_path / "bed.csv"
    path.write_bytes(content)
    return [(row.number, row.cells) for row in csvfiles.read(path, columns=COLUMNS, others=others)]


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    content = b'id,text\n1,"a leek\nover two lines"\n\n2,a pea\n'
    assert read(tmp_path, content) == [
        (2, {"id": "1", "text": "a leek\nover two lines"}),
        (4, {"id": "2", "text": "a pea"}),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "id,text\r\n1,Grünkohl\r\n".encode(),
        b"\xef\xbb\xbf" + "id,text\n1,Grünkohl\n".encode(),
        "id,text\n1,Grünkohl".encode(),
        'id,text\n"1","Grünkohl"\n'.encode(),
    ],
    ids=["carriage returns", "byte order mark", "no last line end", "quoted"],
)
def test_what_programs_write_is_read(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [(2, {"id": "1", "text": "Grünkohl"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bed.csv: is empty; expected a header with id, text."),
        (b"id\n1\n", "bed.csv, row 1: lacks column text; expected id, text."),
        (b"id,text,kind\n1,a,b\n", "bed.csv, row 1: has the unexpected column kind; expected id, text."),
        (b"id,text,id\n1,a,b\n", "bed.csv, row 1: repeats column id; expected id, text."),
        (b"id,text\n1,a\n2\n", "bed.csv, row 3: has 1 cells, the header has 2."),
        (b"id,text\n1,a,b\n", "bed.csv, row 2: has 3 cells, the header has 2."),
        (b"id,text\n1,a\n2,le\x00ek\n", "bed.csv, row 3, column 'text': holds a NUL byte"),
        (b"id,text\n1,leek\n2,l\xe9ek\n", "bed.csv: line 3 is not UTF-8 (byte 0xe9 at offset 18)."),
        ("id,text\n1,leek\n".encode("utf-16"), "bed.csv: line 1 is not UTF-8 (byte 0xff at offset 0)."),
        (b'id,text\n1,"a leek\n2,a pea\n3,a beet\n', "bed.csv, row 2: opens a quote that is never closed."),
        (b'id,text\n1,"a leek', "bed.csv, row 2: opens a quote that is never closed."),
        (b"id,text\r1,leek\r", "bed.csv, row 1: cannot be parsed: new-line character seen in unquoted field"),
    ],
)
def test_bad_content_is_named_by_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        read(tmp_path, content)


def test_other_columns_may_be_there_where_they_are_allowed(tmp_path: Path) -> None:
    assert read(tmp_path, b"kind,id,text\nroot,1,beet\n", others=True) == [(2, {"id": "1", "text": "beet"})]


def test_a_wrong_delimiter_is_guessed_in_the_error_and_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"lacks column id, text; .* It is separated by tabs; commas are"):
        read(tmp_path, b"id\ttext\n1\ta leek, a pea\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'id,text\n1,"\n2,a pea\n3,"\n4,a beet\n', "row 2, column 'text': goes on over 3 lines, which look like rows"),
        (b'id,text\n1,"a leek\n2,a pea\n3,a beet"\n', "row 2, column 'text': goes on over 3 lines"),
        (b'id,text\n1,a leek\n"2,a pea\n3",a beet\n', "row 3, column 'id': goes on over 2 lines"),
        (b'id,text\n1,"a leek\n2,"a pea"\n', "row 2: has a quote inside a quoted cell, or a stray one before."),
        (b'id,text\n1,"a leek" or two\n', "row 2: has a quote inside a quoted cell"),
    ],
)
def test_rows_that_a_stray_quote_swallowed_are_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        read(tmp_path, content)


@pytest.mark.parametrize("text", ["roses are red,\nviolets, blue", "a leek\n\na pea", "a leek\nand a pea, too"])
def test_prose_over_several_lines_is_a_text(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f'id,text\n1,"{text}"\n'.encode()) == [(2, {"id": "1", "text": text})]


def test_a_plain_file_has_quotes_as_characters(tmp_path: Path) -> None:
    path = tmp_path / "bed.tsv"
    path.write_bytes(b'id\ttext\n1\t"a leek\n2\ta "pea"\n')
    rows = csvfiles.read(path, columns=COLUMNS, dialect=csvfiles.PLAIN_TABS)
    assert [row["text"] for row in rows] == ['"a leek', 'a "pea"']


def test_a_lenient_file_may_quote_within_quotes_and_breaks_no_line(tmp_path: Path) -> None:
    path = tmp_path / "bed.csv"
    path.write_bytes(b'id,text\n1,"it says "leek" aloud"\n')
    assert csvfiles.read(path, columns=COLUMNS, dialect=csvfiles.LENIENT)[0]["text"] == 'it says leek" aloud"'
    path.write_bytes(b'id,text\n1,"a leek\nin bed"\n')
    with pytest.raises(BadInput, match="row 2, column 'text': goes on over 2 lines"):
        csvfiles.read(path, columns=COLUMNS, dialect=csvfiles.LENIENT)


def test_no_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.csv: cannot be read: No such file"):
        csvfiles.read(tmp_path / "absent.csv", columns=COLUMNS)
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        csvfiles.read(tmp_path, columns=COLUMNS)


def test_a_cell_may_have_a_mebibyte_and_no_more(tmp_path: Path) -> None:
    assert read(tmp_path, b"id,text\n1," + b"a" * (1 << 20) + b"\n")[0][1]["text"] == "a" * (1 << 20)
    with pytest.raises(BadInput, match=r"bed\.csv, row 3: has a cell of more than 1,048,576 characters"):
        read(tmp_path, b"id,text\n1,a\n2," + b"a" * ((1 << 20) + 1) + b"\n")


@pytest.mark.parametrize("filler", [b"a" * 100, b"a" * 99 + b"\n"], ids=["one line", "many lines"])
def test_a_cell_of_100_megabytes_is_refused_before_it_fills_the_memory(tmp_path: Path, filler: bytes) -> None:
    path = tmp_path / "bed.csv"
    with path.open("wb") as file:
        file.write(b'id,text\n1,"')
        for _ in range(100):
            file.write(filler * 10_000)
        file.write(b'"\n')
    tracemalloc.start()
    with pytest.raises(BadInput, match="more than"):
        csvfiles.read(path, columns=COLUMNS)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 40 * (1 << 20)


@pytest.fixture
def limit() -> Iterator[int]:
    """A limit of the csv module that nobody else sets."""
    before = csv.field_size_limit(12_345)
    yield 12_345
    csv.field_size_limit(before)


def test_the_csv_modules_own_limit_is_left_as_it_was(tmp_path: Path, limit: int) -> None:
    read(tmp_path, b"id,text\n1,a\n")
    assert csv.field_size_limit() == limit
    try:
        read(tmp_path, b"id,text\n1\n")
    except BadInput:
        assert csv.field_size_limit() == limit  # at once, not when the traceback is forgotten


def test_threads_may_read_at_once(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "bed.csv"
    path.write_bytes(b"id,text\n" + b"".join(b"%d,%s\n" % (n, b"a" * 200_000) for n in range(20)))
    n_rows: list[int] = []
    threads = [
        threading.Thread(target=lambda: n_rows.append(len(csvfiles.read(path, columns=COLUMNS)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_rows == [20] * 8
    assert csv.field_size_limit() == limit
