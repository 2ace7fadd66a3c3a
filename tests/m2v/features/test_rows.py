import numpy as np
import polars as pl
import pytest

from m2v import catalog, schemas
from m2v.features import rows
from tests import tables

LABEL = catalog.load().videos["garden"].label
VIDEOS = tables.videos(
    {"video_id": "b", "split": "train", "text": "beet"},
    {"video_id": "a", "split": "test", "text": "leek"},
    {"video_id": "a", "split": "train", "text": "leek"},
)
DECODED = tables.frame(
    schemas.VIDEO_FEATURES,
    [
        {"video_id": "a", "frames": ["1.jpg", "2.jpg"], "frame_times_s": [0.5, 1.5], "frame_sha256": ["f1", "f2"]},
        {"video_id": "b", "frames": [], "frame_times_s": [], "frame_sha256": [], "sound": "b.wav", "sound_sha256": "s"},
    ],
    frame_variance=[],
    transcript="",
    transcript_source="none",
)


def seen(parts: pl.DataFrame) -> pl.DataFrame:
    """A vector for each thing: how many letters its text or path has, and how many e's."""
    wanted = rows.wanted(parts).with_columns(said=pl.coalesce("text", "path"))
    values = [[float(len(text)), float(text.count("e"))] for text in wanted["said"]]
    return wanted.select("modality", "sha256", token=0, vector=pl.Series(values, dtype=pl.List(pl.Float32)))


def made(parts: pl.DataFrame) -> pl.DataFrame:
    return schemas.FEATURES.validate(rows.joined(parts, seen(parts)))


def test_a_targets_texts_come_with_the_sentences_that_define_its_label() -> None:
    parts = rows.of_texts(VIDEOS, item_id="video_id", label=LABEL)
    assert parts.select("role", "item_id", "split").rows() == [
        ("item", "a", "train"),
        ("item", "a", "test"),
        ("item", "b", "train"),
        ("positive_definition", "positive", None),
        ("negative_definition", "negative", None),
    ]
    assert parts["text"].to_list()[3:] == [LABEL.positive_definition, LABEL.negative_definition]
    assert [tables.sha256(text) for text in parts["text"]] == parts["sha256"].to_list()


def test_memes_have_no_definitions() -> None:
    parts = rows.of_texts(tables.memes({"meme_id": "1"}), item_id="meme_id", label=None)
    assert parts["role"].to_list() == ["item"]


def test_features_are_rows_of_the_table_and_a_matrix_in_the_items_order() -> None:
    features = made(rows.of_texts(VIDEOS, item_id="video_id", label=LABEL))
    items = pl.DataFrame({"text_sha256": [tables.sha256("beet"), tables.sha256("leek"), tables.sha256("beet")]})
    found = rows.matrix(items, features=features)
    assert found.dtype == np.float32
    assert found.tolist() == [[4, 2], [4, 2], [4, 2]]
    positive, negative = rows.definitions(features)
    assert positive.tolist() == [len(LABEL.positive_definition), LABEL.positive_definition.count("e")]
    assert negative.tolist() == [len(LABEL.negative_definition), LABEL.negative_definition.count("e")]


def test_a_text_without_a_vector_is_an_error() -> None:
    features = made(rows.of_texts(VIDEOS, item_id="video_id", label=None))
    with pytest.raises(ValueError, match="1 texts have no vector"):
        rows.matrix(pl.DataFrame({"text_sha256": ["unknown"]}), features=features)


def test_what_an_item_lacks_is_a_null_and_is_said_with_its_id() -> None:
    parts = rows.of_modalities(("frames", "sound"), items=VIDEOS, media=DECODED, label=None)
    features = made(parts)
    key = ("item_id", "split", "modality", "part", "time_s")
    assert features.filter(pl.col("vector").is_not_null()).select(key).rows() == [
        ("a", "train", "frames", 0, 0.5),
        ("a", "train", "frames", 1, 1.5),
        ("a", "test", "frames", 0, 0.5),
        ("a", "test", "frames", 1, 1.5),
        ("b", "train", "sound", 0, None),
    ]
    assert features.filter(pl.col("vector").is_null()).select(key).rows() == [
        ("a", "train", "sound", 0, None),
        ("a", "test", "sound", 0, None),
        ("b", "train", "frames", 0, None),
    ]
    finding = rows.finding(features, variant="clip_garden")
    assert not finding.is_fine
    assert finding.summary == "1 of 2 items have no frames, 1 of 2 items have no sound."
    assert finding.ids == ("a", "b")


def test_pictures_of_memes_are_known_by_their_pixels() -> None:
    memes = tables.memes({"meme_id": "1"}, {"meme_id": "2"}, {"meme_id": "3"})
    images = tables.frame(
        schemas.MEME_IMAGES,
        [
            {"meme_id": "1", "path": "a.png", "pixels_sha256": "p"},
            {"meme_id": "2", "path": "a.png", "pixels_sha256": "p"},
            {"meme_id": "3", "problem": "missing"},
        ],
    )
    parts = rows.of_pictures(memes, images)
    assert rows.wanted(parts).rows() == [("picture", "p", None, "a.png")]
    assert made(parts)["vector"].to_list() == [[5.0, 0.0], [5.0, 0.0], None]


def test_of_items_has_every_vector_of_an_item_and_no_row_where_it_has_none() -> None:
    features = made(rows.of_frames(VIDEOS, DECODED))
    items = pl.DataFrame(
        {"place": [0, 1], "item_id": ["b", "a"], "split": ["train", "test"]},
        schema={"place": pl.UInt32, "item_id": pl.String, "split": schemas.SPLITS},
    )
    found = rows.of_items(items, features=features, modality="frames")
    assert set(found["item_id"]) == {"a"}
    assert found["vector"].to_list() == features.filter(item_id="a", split="test")["vector"].to_list()
    assert rows.of_items(items, features=features, modality="sound").is_empty()


def test_of_items_finds_an_item_that_a_run_has_in_another_split_than_its_files() -> None:
    features = made(rows.of_frames(VIDEOS, DECODED))
    own = VIDEOS.select("split", item_id="video_id").with_row_index("place")
    moved = own.with_columns(split=pl.lit("validation").cast(schemas.SPLITS))
    expected = rows.of_items(own, features=features, modality="frames")
    assert expected.height
    assert rows.of_items(moved, features=features, modality="frames").equals(expected)


def test_token_by_token_a_part_has_a_row_for_each() -> None:
    parts = rows.of_texts(VIDEOS.filter(video_id="b"), item_id="video_id", label=None)
    vectors = pl.DataFrame(
        {"modality": "text", "sha256": parts["sha256"][0], "token": [0, 1], "vector": [[1.0], [2.0]]}
    )
    found = schemas.FEATURES.validate(rows.joined(parts, vectors))
    assert found.select("part", "token", "vector").rows() == [(0, 0, [1.0]), (0, 1, [2.0])]
