import numpy as np
import polars as pl
import pytest

from m2v import catalog, schemas
from m2v.media import texts
from tests import tables

LABEL = catalog.load().videos["garden"].label
VIDEOS = tables.videos(
    {"video_id": "b", "split": "train", "text": "beet"},
    {"video_id": "a", "split": "test", "text": "leek"},
    {"video_id": "a", "split": "train", "text": "leek"},
)


def encoded(rows: pl.DataFrame) -> pl.DataFrame:
    """An embedding for each text: its length, and the number of its e's."""
    wanted = rows.unique("text_sha256")
    values = [[float(len(text)), float(text.count("e"))] for text in wanted["text"]]
    return wanted.select("text_sha256", embedding=pl.Series(values, dtype=pl.List(pl.Float32)))


def test_a_targets_texts_come_with_the_sentences_that_define_its_label() -> None:
    rows = texts.to_encode(VIDEOS, item_id="video_id", label=LABEL)
    assert rows.select("role", "item_id", "split").rows() == [
        ("item", "a", "train"),
        ("item", "a", "test"),
        ("item", "b", "train"),
        ("positive_definition", "positive", None),
        ("negative_definition", "negative", None),
    ]
    assert rows["text"].to_list()[3:] == [LABEL.positive_definition, LABEL.negative_definition]
    assert [tables.sha256(text) for text in rows["text"]] == rows["text_sha256"].to_list()


def test_memes_have_no_definitions() -> None:
    rows = texts.to_encode(tables.memes({"meme_id": "1"}), item_id="meme_id", label=None)
    assert rows["role"].to_list() == ["item"]


def test_features_are_rows_of_the_table_and_a_matrix_in_the_items_order() -> None:
    rows = texts.to_encode(VIDEOS, item_id="video_id", label=LABEL)
    features = schemas.TEXT_FEATURES.validate(texts.features(rows, encoded(rows)))
    items = pl.DataFrame({"text_sha256": [tables.sha256("beet"), tables.sha256("leek"), tables.sha256("beet")]})
    found = texts.matrix(items, features=features)
    assert found.dtype == np.float32
    assert found.tolist() == [[4, 2], [4, 2], [4, 2]]
    positive, negative = texts.definitions(features)
    assert positive.tolist() == [len(LABEL.positive_definition), LABEL.positive_definition.count("e")]
    assert negative.tolist() == [len(LABEL.negative_definition), LABEL.negative_definition.count("e")]


def test_a_text_without_an_embedding_is_an_error() -> None:
    rows = texts.to_encode(VIDEOS, item_id="video_id", label=None)
    features = texts.features(rows, encoded(rows))
    with pytest.raises(ValueError, match="1 texts have no embedding"):
        texts.matrix(pl.DataFrame({"text_sha256": ["unknown"]}), features=features)
