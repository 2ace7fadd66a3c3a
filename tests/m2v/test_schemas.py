from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2v import schemas
from m2v.errors import InvalidRows, UnknownName
from m2v.schemas.columns import DESCRIPTIONS, described
from m2v.schemas.table import SLICE_ROWS
from tests import tables


def test_rows_of_the_table_pass_unchanged() -> None:
    frame = tables.memes({"meme_id": "1"}, {"meme_id": "2"})
    assert schemas.MEMES.validate(frame) is frame


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": pl.lit(None, pl.Boolean)}, r"memes: column 'label' is null in row 0"),
        ({"label": pl.lit(1)}, r"memes: column 'label' is Int32, it must be Boolean"),
        ({"surprise": pl.lit(1)}, r"memes: columns must be .*unexpected \['surprise'\]"),
        (
            {"meme_id": pl.lit("1")},
            r"memes: key \{'meme_id': '1'\} stands in 2 rows, first in row 0; meme_id must be unique",
        ),
    ],
)
def test_what_breaks_the_schema_is_named(change: dict[str, Any], message: str) -> None:
    frame = tables.memes({"meme_id": "1"}, {"meme_id": "2"})
    with pytest.raises(InvalidRows, match=message):
        schemas.MEMES.validate(frame.with_columns(**change))


def test_missing_columns_and_another_order_are_named() -> None:
    frame = tables.memes({"meme_id": "1"})
    with pytest.raises(InvalidRows, match=r"missing \['image', 'label'\]"):
        schemas.MEMES.validate(frame.drop("label", "image"))
    with pytest.raises(InvalidRows, match="order is"):
        schemas.MEMES.validate(frame.select(reversed(frame.columns)))


@pytest.mark.parametrize("ids", [["1", "2", "2"], ["2", "1", "2"]])
def test_repeated_keys_are_found_in_sorted_and_unsorted_rows(ids: list[str]) -> None:
    frame = pl.concat([tables.memes({"meme_id": each}) for each in ids])
    with pytest.raises(InvalidRows, match=r"\{'meme_id': '2'\}"):
        schemas.MEMES.validate(frame)


def test_a_repeat_where_two_pieces_meet_is_found() -> None:
    n = SLICE_ROWS
    ids = pl.select(pl.int_range(2 * n).cast(pl.String).str.zfill(8)).to_series()
    frame = tables.memes({"meme_id": "x"}).drop("meme_id").join(ids.to_frame("meme_id"), how="cross")
    frame = frame.select(list(schemas.MEMES.columns))
    assert schemas.MEMES.validate(frame).height == 2 * n
    repeated = frame.with_columns(pl.col("meme_id").replace({f"{n:08}": f"{n - 1:08}"}))
    with pytest.raises(InvalidRows, match=f"stands in 2 rows, first in row {n - 1}"):
        schemas.MEMES.validate(repeated)


def test_a_key_of_two_columns_may_repeat_one_of_them() -> None:
    videos = tables.videos({"video_id": "v", "split": "train"}, {"video_id": "v", "split": "test"})
    assert schemas.VIDEOS.validate(videos).height == 2
    with pytest.raises(InvalidRows, match="video_id, split must be unique"):
        schemas.VIDEOS.validate(pl.concat([videos, videos]))


def memes(*ids: str) -> pl.DataFrame:
    return pl.concat([tables.memes({"meme_id": each}) for each in ids])


def test_parts_in_the_order_of_the_key_pass_unchanged() -> None:
    parts = [memes("1", "2"), schemas.MEMES.empty(), memes("3")]
    found = list(schemas.MEMES.validate_parts(parts))
    assert [one is other for one, other in zip(found, parts, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([memes("1", "1")], r"key \{'meme_id': '1'\} stands in rows 0 and 1; meme_id must be unique"),
        ([memes("1", "2"), schemas.MEMES.empty(), memes("2", "3")], r"'2'\} stands in rows 1 and 2"),  # across parts
        (
            [memes("3", "4"), memes("2")],
            r"'2'\} comes after \{'meme_id': '4'\} in row 2; .* must be in the key's order",
        ),
        ([memes("1", "2"), memes("3", "4").with_columns(label=None).cast({"label": pl.Boolean})], r"null in row 2"),
        ([memes("1"), memes("2").drop("label")], r"missing \['label'\]"),
    ],
)
def test_what_breaks_the_schema_in_a_part_is_named(parts: list[pl.DataFrame], message: str) -> None:
    with pytest.raises(InvalidRows, match=message):
        list(schemas.MEMES.validate_parts(parts))


def embeddings(*keys: tuple[str, str, str | None]) -> pl.DataFrame:
    rows = [{"role": role, "item_id": item, "split": split} for role, item, split in keys]
    return tables.frame(schemas.FEATURES, rows, modality="text", part=0, token=0, sha256="0", vector=[1.0])


KEYS = st.tuples(
    st.sampled_from(["item", "positive_definition"]), st.sampled_from("ab"), st.sampled_from(["train", "test", None])
)


@given(st.lists(KEYS, unique=True), st.integers(1, 3))
def test_sorted_rows_pass_in_any_parts_and_unsorted_ones_in_none(keys: list[tuple], n_rows: int) -> None:
    frame = embeddings(*keys)
    ordered = frame.sort(schemas.FEATURES.key)
    assert pl.concat([schemas.FEATURES.empty(), *checked(ordered, n_rows)]).equals(ordered)
    if not frame.equals(ordered):
        with pytest.raises(InvalidRows, match="must be in the key's order"):
            checked(frame, n_rows)


def checked(frame: pl.DataFrame, n_rows: int) -> list[pl.DataFrame]:
    return list(schemas.FEATURES.validate_parts(frame.iter_slices(n_rows)))


def test_an_unknown_table_offers_the_nearest() -> None:
    assert schemas.table("voted_labels") is schemas.VOTED_LABELS
    with pytest.raises(UnknownName, match="Did you mean voted_labels"):
        schemas.table("voted_lables")


@pytest.mark.parametrize("table", schemas.TABLES.values(), ids=lambda table: table.name)
def test_every_table_can_be_empty_and_names_its_own_columns(table: schemas.Table) -> None:
    assert table.validate(table.empty()).is_empty()
    assert {*table.key, *table.nullable, *table.hidden} <= table.columns.keys()


def test_every_column_is_described_and_nothing_else_is() -> None:
    named = {f"{table.name}.{column}" for table in schemas.TABLES.values() for column in table.columns}
    assert [name for name in sorted(named) if not described(*name.split("."))] == []
    assert set(DESCRIPTIONS) <= named | {name.partition(".")[2] for name in named}


def test_a_word_that_tables_use_otherwise_is_described_for_each() -> None:
    assert described("memes", "label") != described("voted_labels", "label") != described("source_votes", "label")
