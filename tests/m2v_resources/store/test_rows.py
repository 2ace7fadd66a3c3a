from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing.parametric import column, dataframes

from m2v_resources.store import rows
from m2v_resources.store.rows import RowsHash, rows_hash

FRAMES = dataframes(
    cols=[
        column("text", dtype=pl.String),
        column("is_hateful", dtype=pl.Boolean),
        column("share", strategy=st.floats(allow_nan=False).filter(bool), dtype=pl.Float64),
        column("count", dtype=pl.UInt32),
        column("split", dtype=pl.Enum(["train", "test"])),
        column("embedding", dtype=pl.List(pl.Float32)),
    ],
    max_size=20,
    allow_null=True,
)


@given(FRAMES, FRAMES)
def test_equal_hash_means_equal_rows(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert (rows_hash(one) == rows_hash(other)) == one.equals(other, null_equal=True)


@given(FRAMES, st.integers(0, 20))
def test_how_rows_lie_in_memory_does_not_matter(frame: pl.DataFrame, at: int) -> None:
    in_chunks = pl.concat([frame.head(at), frame.slice(at)], rechunk=False)
    assert rows_hash(in_chunks) == rows_hash(frame)


def test_the_hash_of_known_rows_never_changes() -> None:
    # Data versions on record in users' instances rest on it.
    frame = pl.DataFrame(
        {"id": ["leek", "beet", None], "label": [True, None, False], "share": [0.5, None, -1.0], "n": [[1], [], None]},
        schema_overrides={"n": pl.List(pl.UInt8)},
    )
    assert rows_hash(frame) == "f281587c2c83094001860b14aec34cfb1e8ea6ab64e01efde358304fc168a666"


def test_each_of_these_is_another_table() -> None:
    frames = [
        pl.DataFrame({"a": ["xy", "z"]}),
        pl.DataFrame({"a": ["x", "yz"]}),  # the same bytes, divided elsewhere
        pl.DataFrame({"b": ["xy", "z"]}),  # another column name
        pl.DataFrame({"a": ["z", "xy"]}),  # another order
        pl.DataFrame({"a": ["xy", None]}),
        pl.DataFrame({"a": ["xy", ""]}),
        pl.DataFrame({"a": [0, 1]}),
        pl.DataFrame({"a": [0, None]}),
        pl.DataFrame({"a": [0, 0]}),
        pl.DataFrame({"a": [0, 0]}, schema={"a": pl.UInt64}),
        pl.DataFrame({"a": [False, False]}),
        pl.DataFrame({"a": [[1, 2], [3]]}),
        pl.DataFrame({"a": [[1], [2, 3]]}),
        pl.DataFrame({"a": ["xy"]}, schema={"a": pl.Enum(["xy", "z"])}),
        pl.DataFrame({"a": ["z"]}, schema={"a": pl.Enum(["z", "xy"])}),  # the same code
        pl.DataFrame({"a": []}, schema={"a": pl.String}),
        pl.DataFrame(),
    ]
    assert len({rows_hash(frame) for frame in frames}) == len(frames)


def test_rows_past_the_first_slice_count() -> None:
    n = rows.SLICE_ROWS + 1
    frame = pl.DataFrame({"a": range(n), "b": ["leek"] * n})
    changed = frame.with_columns(b=pl.when(pl.col("a") == n - 1).then(pl.lit("beet")).otherwise("b"))
    assert rows_hash(frame) != rows_hash(changed)


ROWS = rows.SLICE_ROWS + 30_000
LONG = pl.select(n=pl.int_range(ROWS)).select(
    text=pl.when(pl.col("n") % 7 > 0).then(pl.format("leek {}", "n")),
    is_hateful=pl.when(pl.col("n") % 5 > 0).then(pl.col("n") % 3 == 0),
)
LONG_HASH = rows_hash(LONG)


@given(st.lists(st.integers(0, ROWS), max_size=4))
@settings(max_examples=40)
def test_parts_have_the_hash_of_the_whole_wherever_it_is_cut(cuts: list[int]) -> None:
    digest = RowsHash(LONG.schema)
    for start, end in pairwise([0, *sorted(cuts), ROWS]):
        digest.update(LONG[start:end])
        digest.hexdigest()  # asking changes nothing
    assert digest.hexdigest() == LONG_HASH


@given(FRAMES, st.integers(1, 5))
def test_small_parts_of_every_type_have_the_hash_of_the_whole(frame: pl.DataFrame, n_rows: int) -> None:
    digest = RowsHash(frame.schema)
    for part in frame.iter_slices(n_rows):
        digest.update(part)
    assert digest.hexdigest() == rows_hash(frame)
