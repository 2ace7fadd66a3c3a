"""One's own copy of the memes, read and joined."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from m2v.errors import BadInput, M2VError
from m2v.publishing.rehydrate import read_copy, rehydrate


def released(*texts: str) -> pl.DataFrame:
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return pl.DataFrame(
        {"meme_id": [str(number) for number in range(len(texts))], "label": [True] * len(texts), "text_sha256": hashes}
    )


def test_missing_and_changed_memes_are_reported_and_left_out() -> None:
    copy = pl.DataFrame({"meme_id": ["0", "2", "9"], "text": ["leek", "other", "chard"]})
    found = rehydrate(released("leek", "kale", "beet"), copy)
    assert found.rows.select("meme_id", "text").rows() == [("0", "leek")]
    assert found.problems.rows() == [("1", "missing"), ("2", "changed")]
    assert found.n_unverified == 0


def test_without_hashes_texts_are_joined_by_id_and_counted_as_unverified() -> None:
    copy = pl.DataFrame({"meme_id": ["0"], "text": ["anything"]})
    found = rehydrate(released("leek").drop("text_sha256"), copy)
    assert (found.rows["text"].to_list(), found.n_unverified) == (["anything"], 1)


def test_an_id_that_stands_twice_in_the_copy_is_refused() -> None:
    copy = pl.DataFrame({"meme_id": ["0", "0"], "text": ["leek", "leek"]})
    with pytest.raises(M2VError, match="1 ids more than once, for example '0'"):
        rehydrate(released("leek"), copy)


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
    assert read_copy(path, id_column="img", text_column="words").rows() == [("007", "leek")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("copy.xlsx", b"", "ends in none of .csv, .tsv, .jsonl, .parquet"),
        ("copy.parquet", b"leeks insult carrots", r"cannot be read \("),
        ("copy.jsonl", b'{"id": "leeks insult', r"cannot be read \("),
        ("copy.csv", b"id,words\n1,leek\n", "has no column 'text'; it has id, words. Name it with --text-column"),
        ("copy.csv", None, r"cannot be read \("),
    ],
)
def test_a_copy_that_cannot_be_read_is_named_and_not_quoted(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_copy(path, id_column="id", text_column="text")
    assert name in str(caught.value)
    assert "insult" not in str(caught.value)
