"""Parquet of strangers: all of its rows, or an error that names the file."""

from pathlib import Path

import polars as pl
import pytest

from m2v.errors import BadInput, MissingColumn
from m2v.files import parquet


def written(path: Path, **columns: list) -> Path:
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_every_row_comes_back_in_order(tmp_path: Path) -> None:
    n = 3 * parquet.ROWS_AT_A_TIME + 7
    path = written(tmp_path / "a.parquet", leek=list(range(n)), pea=["x"] * n)
    assert parquet.read(path, columns=["leek"])["leek"].to_list() == list(range(n))
    assert parquet.read(path).columns == ["leek", "pea"]


def test_a_file_without_rows_has_its_columns(tmp_path: Path) -> None:
    pl.DataFrame(schema={"leek": pl.String}).write_parquet(tmp_path / "a.parquet")
    assert parquet.read(tmp_path / "a.parquet").schema == {"leek": pl.String}


def test_a_small_file_of_many_rows_is_refused_before_they_are_all_there(tmp_path: Path) -> None:
    pl.select(leek=pl.repeat(1, 20_000_000)).write_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    with pytest.raises(BadInput, match=r"a\.parquet: holds more than 8 MB"):
        parquet.read(tmp_path / "a.parquet", max_bytes=8 << 20)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", leek=[1])
    with pytest.raises(MissingColumn, match=r"lacks column 'pea'; it has leek"):
        parquet.read(path, columns=["pea"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadInput, match=r"a\.parquet: it is no parquet file"):
        parquet.read(path)
    with pytest.raises(BadInput, match="FileNotFoundError"):
        parquet.read(tmp_path / "none.parquet")
