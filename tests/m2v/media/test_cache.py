"""The cache of embeddings: what is in it is whole, and a text is in it once."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v.errors import StoreError
from m2v.media import cache


def rows(**embeddings: list[float]) -> pl.DataFrame:
    return pl.DataFrame(list(embeddings.items()), schema=cache.SCHEMA, orient="row")


def test_a_cache_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert_frame_equal(cache.read(tmp_path / "nowhere"), rows())


def test_what_several_programs_append_is_read_once_and_always_the_same(tmp_path: Path) -> None:
    shards = [rows(b=[1.0, 2.0], a=[0.5, 0.5]), rows(c=[3.0, 4.0], a=[0.25, 0.25])]
    for folder, order in ((tmp_path / "one", shards), (tmp_path / "other", shards[::-1])):
        for shard in order:
            cache.append(folder, shard)
    found = cache.read(tmp_path / "one")
    assert found["text_sha256"].to_list() == ["a", "b", "c"]
    assert_frame_equal(found, cache.read(tmp_path / "other"))


def test_the_same_shard_twice_is_one_file(tmp_path: Path) -> None:
    cache.append(tmp_path, rows(a=[1.0]))
    cache.append(tmp_path, rows(a=[1.0]))
    assert len([*tmp_path.iterdir()]) == 1


def test_an_unfinished_shard_is_not_read(tmp_path: Path) -> None:
    cache.append(tmp_path, rows(a=[1.0]))
    (tmp_path / ".0123.parquet.77.tmp").write_bytes(b"PAR1 torn")
    assert_frame_equal(cache.read(tmp_path), rows(a=[1.0]))


def test_a_damaged_shard_is_named_with_the_way_out(tmp_path: Path) -> None:
    cache.append(tmp_path, rows(a=[1.0]))
    [shard] = tmp_path.glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(StoreError, match=rf"{shard.name} is damaged.*Delete it"):
        cache.read(tmp_path)
