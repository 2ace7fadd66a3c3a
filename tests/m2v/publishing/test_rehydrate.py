"""One's own copy of the memes, joined to published labels."""

import hashlib

import polars as pl
import pytest

from m2v.errors import M2VError
from m2v.publishing.rehydrate import rehydrate


def released(*texts: str) -> pl.DataFrame:
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return pl.DataFrame(
        {"meme_id": [str(number) for number in range(len(texts))], "label": [True] * len(texts), "text_sha256": hashes}
    )


def test_missing_and_changed_memes_are_reported_and_left_out() -> None:
    copy = pl.DataFrame({"meme_id": ["0", "2", "9"], "text": ["leek", "other", "chard"]})
    found = rehydrate(released("leek", "kale", "beet"), copy)
    assert found.rows.select("meme_id", "text").rows() == [("0", "leek")]
    assert found.problems.rows() == [("1", "missing"), ("2", "changed")]
    assert found.n_unverified == 0


def test_without_hashes_texts_are_joined_by_id_and_counted_as_unverified() -> None:
    copy = pl.DataFrame({"meme_id": ["0"], "text": ["anything"]})
    found = rehydrate(released("leek").drop("text_sha256"), copy)
    assert (found.rows["text"].to_list(), found.n_unverified) == (["anything"], 1)


def test_an_id_that_stands_twice_in_the_copy_is_refused() -> None:
    copy = pl.DataFrame({"meme_id": ["0", "0"], "text": ["leek", "leek"]})
    with pytest.raises(M2VError, match="1 ids more than once, for example '0'"):
        rehydrate(released("leek"), copy)
