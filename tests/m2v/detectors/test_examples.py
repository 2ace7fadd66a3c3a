import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v import catalog, schemas
from m2v.detectors import examples
from m2v.entries.variants import TrainingSet
from m2v.errors import InvalidRows
from tests import tables

CATALOG = catalog.load()
VEGGIE, GARDEN = CATALOG.memes["veggie"], CATALOG.videos["garden"]
NO_LEAKS = schemas.REJECTS.empty()

MEMES = tables.memes(
    {"meme_id": "m1", "label": True, "text": "one"},
    {"meme_id": "m2", "label": False, "text": "two"},
    {"meme_id": "m3", "label": True, "text": "three"},
    {"meme_id": "m4", "label": True, "text": "four", "split": "validation"},  # memes train from their train split only
)
VOTES = tables.frame(
    schemas.VOTED_LABELS,
    [
        {"meme_id": "m1", "label": False, "decided_by": "humans"},
        {"meme_id": "m2", "label": True, "decided_by": "humans"},
        {"meme_id": "m3", "label": None, "decided_by": "tie"},
        {"meme_id": "m4", "label": True, "decided_by": "agreement"},
    ],
    n_votes=3,
    n_humans=1,
    margin=1,
)
VIDEOS = tables.videos(
    {"video_id": "v1", "split": "train", "label": True, "text": "five"},
    {"video_id": "v2", "split": "train", "label": False, "text": "six"},
    {"video_id": "v3", "split": "validation", "label": True, "text": "seven"},
    {"video_id": "v3", "split": "test", "label": True, "text": "seven"},
    {"video_id": "v4", "split": "train", "label": False, "text": "seven"},
)
LEAKS = tables.frame(
    schemas.REJECTS,
    [
        {"item_id": "v3", "split": "validation", "reason": "id_in_other_split"},
        {"item_id": "v4", "split": "train", "reason": "text_in_other_split"},
    ],
    dataset="garden",
    detail="also in test",
)


def build(training_set: TrainingSet, *, leaks: pl.DataFrame = LEAKS) -> tuple[list[tuple], pl.DataFrame]:
    rows, rejects = examples.build(
        training_set,
        videos=VIDEOS,
        memes=MEMES if training_set.memes else None,
        votes=VOTES if training_set.alignment else None,
        leaks=leaks,
    )
    schemas.TRAINING_EXAMPLES.validate(rows)
    schemas.REJECTS.validate(rejects)
    return rows.select("dataset", "item_id", "split", "label", "label_source").rows(), rejects


def test_original_labels_are_the_datasets_own() -> None:
    rows, rejects = build(TrainingSet("om_ft", GARDEN, VEGGIE))
    assert rows == [
        ("veggie", "m1", "train", True, "original"),
        ("veggie", "m2", "train", False, "original"),
        ("veggie", "m3", "train", True, "original"),
    ]
    assert rejects.is_empty()


def test_re_annotated_labels_are_the_voted_ones_and_undecided_memes_are_rejected() -> None:
    rows, rejects = build(TrainingSet("rm_ft", GARDEN, VEGGIE))
    assert rows == [("veggie", "m1", "train", False, "voted"), ("veggie", "m2", "train", True, "voted")]
    expected = tables.frame(
        schemas.REJECTS,
        [{"item_id": "m3", "detail": "tie"}],
        dataset="veggie",
        split="train",
        reason="undecided",
    )
    assert_frame_equal(rejects, expected)


def test_videos_are_the_train_split_without_its_leaks() -> None:
    rows, rejects = build(TrainingSet("vid_ft", GARDEN))
    assert rows == [("garden", "v1", "train", True, "video"), ("garden", "v2", "train", False, "video")]
    assert rejects["item_id"].to_list() == ["v4"], "the leak in the validation split was never to be trained on"


def test_both_are_memes_with_voted_labels_and_videos() -> None:
    rows, rejects = build(TrainingSet("vid_rm_ft", GARDEN, VEGGIE))
    assert [row[1] for row in rows] == ["v1", "v2", "m1", "m2"]
    assert rejects.select("dataset", "item_id").rows() == [("garden", "v4"), ("veggie", "m3")]


def test_leaks_that_the_policy_keeps_are_trained_on() -> None:
    rows, rejects = build(TrainingSet("vid_ft", GARDEN), leaks=NO_LEAKS)
    assert [row[1] for row in rows] == ["v1", "v2", "v4"]
    assert rejects.is_empty()


def test_paper_mode_trains_on_the_validation_split_too() -> None:
    rows, _ = build(TrainingSet("vid_ft", GARDEN, paper_mode=True), leaks=NO_LEAKS)
    assert [row[1:3] for row in rows] == [("v1", "train"), ("v2", "train"), ("v3", "validation"), ("v4", "train")]


def test_the_validation_split_loses_its_leaks() -> None:
    assert examples.validation(VIDEOS, leaks=LEAKS).is_empty()
    assert examples.validation(VIDEOS, leaks=NO_LEAKS)["video_id"].to_list() == ["v3"]


def test_one_class_cannot_be_trained_on() -> None:
    with pytest.raises(InvalidRows, match=r"training_examples/vid_ft_garden: 1 examples of 1 classes"):
        examples.build(
            TrainingSet("vid_ft", GARDEN), videos=VIDEOS.filter(video_id="v1"), memes=None, votes=None, leaks=NO_LEAKS
        )


def test_a_meme_without_a_vote_is_an_error_and_not_left_out() -> None:
    with pytest.raises(InvalidRows, match=r"rm_ft_veggie_garden: 1 memes have no vote, for example 'm3'"):
        examples.build(
            TrainingSet("rm_ft", GARDEN, VEGGIE),
            videos=VIDEOS,
            memes=MEMES,
            votes=VOTES.filter(pl.col("meme_id") != "m3"),
            leaks=NO_LEAKS,
        )


def labelled(*rows: tuple[str, bool]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["text_sha256", "label"], orient="row")


def test_folds_hold_both_labels_and_equal_texts_together():
    rows = labelled(*((f"t{number % 40}", number % 40 < 12) for number in range(60)))
    fold = examples.folds(rows, seed=1)

    assert fold is not None
    divided = rows.with_columns(fold)
    assert sorted(fold.unique()) == [0, 1, 2, 3, 4]
    assert (divided.group_by("fold").agg(pl.col("label").n_unique())["label"] == 2).all()
    assert (divided.group_by("text_sha256").agg(pl.col("fold").n_unique())["fold"] == 1).all()
    assert examples.folds(rows, seed=1).to_list() == fold.to_list()
    assert examples.folds(rows, seed=2).to_list() != fold.to_list()


def test_there_are_as_many_folds_as_the_rarer_label_has_texts():
    three = examples.folds(labelled(*((f"t{number}", number < 3) for number in range(20))))

    assert three is not None
    assert three.n_unique() == 3
    assert examples.folds(labelled(("t0", True), ("t0", True), ("t1", False), ("t2", False))) is None
    assert examples.folds(labelled(("t1", False), ("t2", False))) is None
