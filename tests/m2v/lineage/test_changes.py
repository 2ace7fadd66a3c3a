import polars as pl
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.lineage.changes import changes
from tests import tables


def test_each_kind_of_change_is_one_row_with_both_values() -> None:
    before = tables.frame(
        schemas.VOTED_LABELS,
        [
            {"meme_id": "gone", "label": True, "n_humans": 1},
            {"meme_id": "same", "label": None, "n_humans": 0},
            {"meme_id": "turned", "label": True, "n_humans": 1},
            {"meme_id": "unsure", "label": True, "n_humans": 1},
        ],
        decided_by="humans",
        n_votes=3,
        margin=1,
    )
    after = tables.frame(
        schemas.VOTED_LABELS,
        [
            {"meme_id": "new", "label": False, "n_humans": 2},
            {"meme_id": "same", "label": None, "n_humans": 0},
            {"meme_id": "turned", "label": False, "n_humans": 2},
            {"meme_id": "unsure", "label": None, "n_humans": 1},
        ],
        decided_by="humans",
        n_votes=3,
        margin=1,
    )
    found = changes(before, after, table=schemas.VOTED_LABELS)
    expected = pl.DataFrame(
        {
            "meme_id": ["gone", "new", "turned", "unsure"],
            "change": ["removed", "added", "changed", "changed"],
            "columns": ["", "", "label, n_humans", "label"],
            "label_before": [True, None, True, True],
            "label_after": [None, False, False, None],
            "n_humans_before": [1, None, 1, 1],
            "n_humans_after": [None, 2, 2, 1],
        },
        schema_overrides={"n_humans_before": pl.UInt32, "n_humans_after": pl.UInt32},
    )
    assert_frame_equal(found.select(expected.columns), expected)


def test_equal_tables_have_no_changes() -> None:
    videos = tables.videos({"video_id": "v", "split": "train"}, {"video_id": "v", "split": "test"})
    assert changes(videos, videos, table=schemas.VIDEOS).is_empty()
