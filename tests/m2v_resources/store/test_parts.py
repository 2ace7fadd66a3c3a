"""Tables that are written in parts and scanned."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2v import schemas
from m2v.errors import InvalidRows, StoreError, UnknownName
from m2v_resources.store.versions import TableStore
from tests import tables
from tests.m2v_resources.store.test_versions import change, killed


def memes(*labels: bool) -> pl.DataFrame:
    return tables.memes(*({"meme_id": f"{n:03}", "label": label} for n, label in enumerate(labels)))


def rows(n: int) -> pl.DataFrame:
    return memes(*(number % 3 == 0 for number in range(n)))


@given(cuts=st.lists(st.integers(0, 9), max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_rows_in_any_parts_are_the_version_that_the_whole_is(store: TableStore, cuts: list[int]) -> None:
    whole = rows(9)
    first = store.write(whole, schemas.MEMES, "fhm")
    parts = [whole[start:end] for start, end in pairwise([0, *sorted(cuts), 9])]
    assert store.write_parts(parts, schemas.MEMES, "fhm") == first
    alone = store.write_parts(parts, schemas.MEMES, "alone")
    assert (alone.rows_hash, alone.n_rows) == (first.rows_hash, 9)
    assert store.read("memes", "alone").equals(whole)
    assert store.scan("memes", "alone").filter(meme_id="003").collect().equals(whole[3:4])


def test_no_parts_are_a_table_without_rows(store: TableStore) -> None:
    version = store.write_parts([], schemas.MEMES, "fhm")
    assert (version.number, version.n_rows) == (1, 0)
    assert store.write(schemas.MEMES.empty(), schemas.MEMES, "fhm") == version
    assert store.read("memes", "fhm").equals(schemas.MEMES.empty())


def test_changed_rows_in_parts_are_the_next_version(store: TableStore) -> None:
    store.write_parts([memes(True), rows(3)[1:]], schemas.MEMES, "fhm")
    second = store.write_parts(iter([memes(False), rows(3)[1:]]), schemas.MEMES, "fhm", provenance={"run_id": "r"})
    assert (second.number, second.provenance) == (2, {"run_id": "r"})
    assert store.read("memes", "fhm")["label"].to_list() == [False, False, False]


@pytest.mark.parametrize("last", [rows(3)[1:], rows(1), rows(4)[3:].drop("label")])
def test_a_wrong_part_leaves_the_last_version_and_nothing_half_written(
    store: TableStore, last: pl.DataFrame, tmp_path: Path
) -> None:
    first = store.write(rows(2), schemas.MEMES, "fhm")
    with pytest.raises(InvalidRows, match="memes: "):
        store.write_parts([rows(2), last], schemas.MEMES, "fhm")
    assert store.latest("memes", "fhm") == first
    assert store.read("memes", "fhm").equals(rows(2))
    assert not list(tmp_path.rglob("*.tmp"))


def failing(error: Exception) -> Iterator[pl.DataFrame]:
    yield rows(2)
    raise error


def test_what_fails_while_making_a_part_is_raised_as_it_is(store: TableStore) -> None:
    with pytest.raises(UnknownName, match="carrot"):
        store.write_parts(failing(UnknownName("vegetable", "carrot", ["leek"])), schemas.MEMES, "fhm")
    assert store.numbers("memes", "fhm") == []


def test_a_damaged_file_is_not_scanned(store: TableStore) -> None:
    version = store.write(rows(2), schemas.MEMES, "fhm")
    change(store.place(version), lambda content: content[:-1])
    with pytest.raises(StoreError, match="memes/fhm@1"):
        store.scan("memes", "fhm")


WRITER = """
    import sys
    from pathlib import Path
    import polars as pl
    from m2v import schemas
    from m2v.files import storage
    from m2v_resources.store.versions import TableStore

    rows = {name: [None] * 20_000 for name in schemas.MEMES.columns}
    frame = pl.DataFrame(rows, schema=dict(schemas.MEMES.columns)).with_columns(
        meme_id=pl.int_range(pl.len()).cast(pl.String).str.zfill(5), split=pl.lit("train", schemas.SPLITS), label=True,
        text_sha256=pl.lit("0"),
    )
    store = TableStore(storage.given(sys.argv[1]))
    print("ready", flush=True)
    for number in range(10_000):
        rows = frame.with_columns(text=pl.lit(f"leek {number}"))
        print(store.write_parts(rows.iter_slices(5_000), schemas.MEMES, "fhm").name, flush=True)
"""


def test_kill_9_between_any_parts_leaves_every_version_whole(store: TableStore, tmp_path: Path) -> None:
    moment = random.Random(7)  # noqa: S311
    for _ in range(8):
        killed(WRITER, store, moment=moment)
        for number in store.numbers("memes", "fhm"):
            assert store.read("memes", "fhm", number=number).height == 20_000
    assert store.numbers("memes", "fhm")
    store.write_parts([memes(True)], schemas.MEMES, "fhm")
    assert not list(tmp_path.rglob("*.tmp")), "the next writer sweeps what the killed ones left"
