"""Rows kept for ever: what is there is whole, and there once; journals outlive the programs that write them."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v.errors import StoreError
from m2v.files import row_cache

SCHEMA = {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)}


def rows(**embeddings: list[float]) -> pl.DataFrame:
    return pl.DataFrame(list(embeddings.items()), schema=SCHEMA, orient="row")


def test_a_cache_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert_frame_equal(row_cache.read(tmp_path / "nowhere", SCHEMA), rows())


def test_what_several_programs_append_is_read_once_and_always_the_same(tmp_path: Path) -> None:
    parts = [rows(b=[1.0, 2.0], a=[0.5, 0.5]), rows(c=[3.0, 4.0], a=[0.25, 0.25])]
    for folder, order in ((tmp_path / "one", parts), (tmp_path / "other", parts[::-1])):
        for shard in order:
            row_cache.append(folder, shard, SCHEMA)
    found = row_cache.read(tmp_path / "one", SCHEMA)
    assert found["text_sha256"].to_list() == ["a", "b", "c"]
    assert_frame_equal(found, row_cache.read(tmp_path / "other", SCHEMA))


def test_the_same_shard_twice_is_one_file(tmp_path: Path) -> None:
    row_cache.append(tmp_path, rows(a=[1.0]), SCHEMA)
    row_cache.append(tmp_path, rows(a=[1.0]), SCHEMA)
    assert len([*tmp_path.iterdir()]) == 1


def test_an_unfinished_shard_is_not_read(tmp_path: Path) -> None:
    row_cache.append(tmp_path, rows(a=[1.0]), SCHEMA)
    (tmp_path / ".0123.parquet.77.tmp").write_bytes(b"PAR1 torn")
    assert_frame_equal(row_cache.read(tmp_path, SCHEMA), rows(a=[1.0]))


def test_a_damaged_shard_is_named_with_the_way_out(tmp_path: Path) -> None:
    row_cache.append(tmp_path, rows(a=[1.0]), SCHEMA)
    [shard] = tmp_path.glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(StoreError, match=rf"{shard.name} is damaged.*Delete it"):
        row_cache.read(tmp_path, SCHEMA)


def test_what_was_kept_is_there_however_it_ends(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), row_cache.journal(tmp_path, SCHEMA) as keep:
        keep(text_sha256="a", embedding=[1.0])
        keep(text_sha256="b", embedding=[0.1, 2.0])
        raise KeyboardInterrupt
    assert_frame_equal(row_cache.read(tmp_path, SCHEMA), rows(a=[1.0], b=[0.1, 2.0]))
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_half_a_line_of_a_journal_is_no_row(tmp_path: Path) -> None:
    whole = json.dumps({"text_sha256": "a", "embedding": [1.0]})
    (tmp_path / "1-1.jsonl").write_text(f"{whole}\n{whole[:20]}", encoding="utf-8")
    row_cache.absorb(tmp_path, SCHEMA)
    assert_frame_equal(row_cache.read(tmp_path, SCHEMA), rows(a=[1.0]))


def test_the_journal_of_a_program_that_works_is_left_alone(tmp_path: Path) -> None:
    with row_cache.journal(tmp_path, SCHEMA) as keep:
        keep(text_sha256="a", embedding=[1.0])
        row_cache.absorb(tmp_path, SCHEMA)
        (journal,) = tmp_path.iterdir()
        assert journal.read_text(encoding="utf-8").count("\n") == 1
        with row_cache.journal(tmp_path, SCHEMA) as other:
            other(text_sha256="b", embedding=[2.0])
        assert journal.exists()
    assert_frame_equal(row_cache.read(tmp_path, SCHEMA), rows(a=[1.0], b=[2.0]))


def test_programs_that_start_and_end_together_lose_no_row(tmp_path: Path) -> None:
    def program(number: int) -> None:
        for place in range(25):
            with row_cache.journal(tmp_path, SCHEMA) as keep:
                keep(text_sha256=f"{number}-{place}", embedding=[1.0])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(program, range(4)))
    assert row_cache.read(tmp_path, SCHEMA).height == 100
