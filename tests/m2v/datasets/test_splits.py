"""Named splits: from lists and columns, drawn, in folds and in groups; and what tells one from another."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from m2v import schemas
from m2v.datasets import draws, splits
from m2v.entries.datasets import LabelDefinition, VideoDataset
from m2v.entries.splits import SplitPlan, SplitShares
from m2v.errors import BadInput, InvalidRows
from tests import tables

GARDEN = VideoDataset(
    name="garden",
    title="Garden",
    source="kitchen",
    layout="published",
    files=("garden.csv",),
    label=LabelDefinition(positive="rude", negative="polite", positive_definition="Rude.", negative_definition="Not."),
)


def garden(*ids: str) -> pl.DataFrame:
    return tables.videos(
        *({"video_id": name, "label": number % 3 == 0, "split": "test"} for number, name in enumerate(ids))
    )


def assigned(plan: dict, videos: pl.DataFrame, *, fold=None, facets=None, files=None):
    return splits.assigned(
        SplitPlan.model_validate(plan), GARDEN, fold=fold, videos=videos, facets=facets, files=files or {}
    )


def written(folder: Path, **contents: str) -> dict[str, Path]:
    for name, text in contents.items():
        (folder / f"{name}.csv").write_text(text)
    return {f"{name}.csv": folder / f"{name}.csv" for name in contents}


LISTS = {"lists": {"train": ["train.csv"], "validation": ["valid.csv"], "test": ["test.csv"]}}


def test_lists_of_ids(tmp_path: Path) -> None:
    files = written(tmp_path, train="v1\r\nv2\n\n", valid="v3\n", test='"v4"\ngone\n')
    rows, left_out = assigned(LISTS, garden("v1", "v2", "v3", "v4", "v5"), files=files)

    assert rows.rows() == [("v1", "train"), ("v2", "train"), ("v3", "validation"), ("v4", "test")]
    assert left_out == [("v5", "stand in none of its lists"), ("gone", "are listed and not in the dataset")]
    found = splits.finding(left_out, garden("v4", "v5"), rows, variant="garden_more")
    assert not found.is_fine
    assert found.ids == ("gone", "v5")
    assert found.summary.endswith("1 of its 1 test items are test items of the dataset's own split.")


def test_an_id_in_two_lists_is_named(tmp_path: Path) -> None:
    files = written(tmp_path, train="v1\nv2\n", valid="v3\n", test="v4\nv2\n")

    with pytest.raises(BadInput, match=r"test.csv: row 2: 'v2' stands in row 2 of train.csv too, which says train"):
        assigned(LISTS, garden("v1", "v2", "v3", "v4"), files=files)


def test_lists_that_name_no_item_of_the_dataset_are_no_split(tmp_path: Path) -> None:
    files = written(tmp_path, train="v1.mp4\n", valid="v3.mp4\n", test="v4.mp4\n")

    with pytest.raises(InvalidRows, match="nothing is left for test"):
        assigned(LISTS, garden("v1", "v3", "v4"), files=files)


def test_a_column_says_it(tmp_path: Path) -> None:
    files = written(tmp_path, parts="name,part,more\nv1,dev,x\nv2,tr,y\nv3,te,\n")
    plan = {
        "column": {
            "file": "parts.csv",
            "id": "name",
            "split": "part",
            "map": {"tr": "train", "dev": "validation", "te": "test"},
        }
    }

    assert assigned(plan, garden("v1", "v2", "v3"), files=files)[0].rows() == [
        ("v1", "validation"),
        ("v2", "train"),
        ("v3", "test"),
    ]
    files = written(tmp_path, parts="name,part\nv1,leek\n")
    with pytest.raises(BadInput, match=r"row 2.*'leek'"):
        assigned(plan, garden("v1"), files=files)


SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def test_drawn_shares_keep_the_labels_and_ask_for_no_order() -> None:
    videos = garden(*(f"v{number}" for number in range(300)))
    rows, left_out = assigned({"shares": SHARES}, videos)

    counts = Counter(rows.join(videos, left_on="item_id", right_on="video_id").select("split", "label").iter_rows())
    assert left_out == []
    assert counts == {
        ("train", False): 140,
        ("train", True): 70,
        ("validation", False): 20,
        ("validation", True): 10,
        ("test", False): 40,
        ("test", True): 20,
    }
    assert assigned({"shares": SHARES}, videos.reverse())[0].equals(rows)
    assert not assigned({"shares": {**SHARES, "seed": 1}}, videos)[0].equals(rows)


def test_every_item_is_tested_once_and_never_selected_on_where_it_is() -> None:
    videos = garden(*(f"v{number}" for number in range(100)))
    folds = [assigned({"folds": {"n": 4}}, videos, fold=fold)[0] for fold in (1, 2, 3, 4)]

    tested = pl.concat([rows.filter(split="test") for rows in folds])
    assert sorted(tested["item_id"]) == sorted(videos["video_id"])
    assert len({splits.digest(splits.applied(videos, rows)) for rows in folds}) == 4
    for rows, after in zip(folds, [*folds[1:], folds[0]], strict=True):
        # What one fold selects on is what the next one tests.
        assert set(rows.filter(split="validation")["item_id"]) == set(after.filter(split="test")["item_id"])


def test_what_one_film_gives_stands_in_one_part() -> None:
    videos = garden(*(f"film_{film}_{scene}" for film in range(40) for scene in range(film % 5 + 1)))
    rows, _ = assigned({"shares": SHARES, "grouped_until": "_"}, videos)

    of_films = rows.with_columns(film=pl.col("item_id").str.extract(r"^(film_\d+)_"))
    assert of_films.group_by("film").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 40
    assert 0.1 < (rows["split"] == "test").mean() < 0.3


def test_items_are_grouped_by_a_facet() -> None:
    videos = garden(*(f"v{number}" for number in range(60)))
    facets = tables.frame(
        schemas.FACETS, [{"item_id": f"v{n}", "facet": "source", "value": f"s{n // 6}"} for n in range(54)]
    )
    rows, _ = assigned({"folds": {"n": 3}, "grouped_by": "source"}, videos, fold=2, facets=facets)

    parts = rows.join(facets, on="item_id").group_by("value").agg(pl.col("split").n_unique())
    assert parts["split"].to_list() == [1] * 9
    with pytest.raises(InvalidRows, match="no item has a facet 'colour'"):
        assigned({"folds": {"n": 3}, "grouped_by": "colour"}, videos, fold=1, facets=facets)
    twice = pl.concat([facets, facets.head(1).with_columns(value=pl.lit("other"))])
    with pytest.raises(InvalidRows, match="item 'v0' has several values of 'source'"):
        assigned({"folds": {"n": 3}, "grouped_by": "source"}, videos, fold=1, facets=twice)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=80),
    st.floats(0, 1),
    st.integers(0, 5),
    st.integers(3, 8),
)
def test_nothing_is_lost_and_no_group_divided(items: list[tuple[bool, int]], share: float, seed: int, n: int) -> None:
    ids = [str(number) for number in range(len(items))]
    labels, groups = [label for label, _ in items], [f"g{group}" for _, group in items]
    shares = SplitShares(train=1 - share, validation=share / 2, test=share / 2, seed=seed)

    for found in (
        draws.splits(ids, labels, shares=shares, groups=groups),
        draws.folds(ids, labels, n=n, seed=seed, groups=groups),
    ):
        assert len(found) == len(ids)
        assert "" not in found
        assert len(set(zip(groups, found, strict=True))) == len(set(groups))


def test_another_split_leaves_each_video_once() -> None:
    in_train = garden("v2", "v3").with_columns(split=pl.lit("train").cast(schemas.SPLITS))
    videos = pl.concat([garden("v1", "v2"), in_train])
    rows = tables.frame(
        schemas.ITEM_SPLITS, [{"item_id": "v1", "split": "train"}, {"item_id": "v2", "split": "validation"}]
    )

    moved = splits.applied(videos, rows)
    assert moved.select("video_id", "split").rows() == [("v1", "train"), ("v2", "validation")]
    assert moved.columns == list(schemas.VIDEOS.columns)


def test_a_digest_tells_which_ids_stand_where_and_nothing_else() -> None:
    videos = garden("v1", "v2", "v3")
    other = videos.with_columns(text=pl.lit("a pea"), label=~pl.col("label")).reverse()

    assert splits.digest(videos) == splits.digest(other)
    assert splits.digest(videos) != splits.digest(videos.head(2))
    assert splits.digest(videos) != splits.digest(videos.with_columns(split=pl.lit("train").cast(schemas.SPLITS)))


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ({}, "exactly one"),
        ({"shares": SHARES, "folds": {"n": 3}}, "exactly one"),
        ({**LISTS, "grouped_until": "_"}, "only splits that are drawn"),
        ({"shares": SHARES, "grouped_until": "_", "grouped_by": "source"}, "either grouped_by or grouped_until"),
        ({"shares": SHARES, "source": "kitchen"}, "reads no file"),
        ({"lists": {"train": ["train.csv"]}}, "needs train and test"),
        ({"folds": {"n": 2}}, "greater than or equal to 3"),
        ({"lists": {"train": ["../train.csv"], "test": ["test.csv"]}}, "stays below its folder"),
    ],
)
def test_a_plan_is_one_way_of_dividing(plan: dict, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SplitPlan.model_validate(plan)


def test_no_split_may_be_called_as_the_datasets_own() -> None:
    with pytest.raises(ValidationError, match="call this one otherwise"):
        VideoDataset.model_validate({**GARDEN.model_dump(), "splits": {"own": {"folds": {"n": 3}}}})
