"""Somebody's own copy of memes, read as datasets' files are."""

from pathlib import Path

import polars as pl
import pytest

from m2v.datasets import readers
from m2v.errors import BadInput, M2VError, UnknownName

MAMI = "file_name\tmisogynous\tshaming\tstereotype\tobjectification\tviolence\tText Transcription\n"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_ids_are_read_as_they_are_written(tmp_path: Path, ending: str) -> None:
    rows = pl.DataFrame({"img": ["007"], "words": ["leek"]})
    path = tmp_path / f"copy{ending}"
    write = {
        ".csv": rows.write_csv,
        ".tsv": lambda path: rows.write_csv(path, separator="\t"),
        ".jsonl": rows.write_ndjson,
        ".parquet": rows.write_parquet,
    }
    write[ending](path)
    assert readers.texts(path, id_column="img", text_column="words").rows() == [("007", "leek")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("copy.xlsx", b"", "ends in none of .csv, .tsv, .jsonl, .parquet"),
        ("copy.parquet", b"leeks insult carrots", r"no parquet file that can be read \("),
        ("copy.jsonl", b'{"id": "leeks insult', r"row 1: is not valid JSON"),
        (
            "copy.csv",
            b"id,words\n1,leek\n",
            "lacks column text; expected id, text. Name yours with --id and --text-column",
        ),
        ("copy.csv", None, "cannot be read: No such file"),
    ],
)
def test_a_copy_that_cannot_be_read_is_named_and_not_quoted(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(M2VError, match=message) as caught:
        readers.texts(path, id_column="id", text_column="text")
    assert name in str(caught.value)
    assert "insult" not in str(caught.value)


def test_what_can_be_labelled_can_be_rehydrated(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    path.write_text(MAMI + '7.jpg\t1\t0\t0\t0\t0\t"a ""leek"", two"\n', encoding="utf-8")
    assert readers.texts(path, id_column="id", text_column="text", layout="mami").rows() == [("7", 'a "leek", two')]
    with pytest.raises(M2VError, match="It is separated by tabs; commas are read here"):
        readers.texts(path, id_column="file_name", text_column="Text Transcription")
    with pytest.raises(UnknownName, match=r"No layout .* is called 'mamy'. Did you mean mami"):
        readers.texts(path, id_column="id", text_column="text", layout="mamy")


def test_a_torn_copy_is_an_error_and_not_shorter(tmp_path: Path) -> None:
    path = tmp_path / "copy.csv"
    path.write_bytes(b'id,text\n1,"\n2,a pea\n3,"\n')
    with pytest.raises(BadInput, match="row 2, column 'text': goes on over 3 lines"):
        readers.texts(path, id_column="id", text_column="text")
