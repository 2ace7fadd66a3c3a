"""Test videos that a training set shows already, and the scores on the others."""

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation.near_duplicates import finding, near_duplicates, normalised, shingles
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.seen import seen
from tests import tables

LONG = "grandma is growing leeks beside the path to the greenhouse"
TURNIPS = "what a lovely basket of turnips we brought from the market"


def examples(*rows: tuple[str, str]) -> pl.DataFrame:
    return tables.frame(
        schemas.TRAINING_EXAMPLES,
        [{"item_id": item, "text": text, "text_sha256": item} for item, text in rows],
        dataset="veggie",
        split="train",
        label=True,
        label_source="original",
    )


def videos(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["video_id", "text"], orient="row")


def test_texts_are_compared_without_punctuation_and_capitals() -> None:
    found = near_duplicates(
        examples(("m1", LONG), ("m2", LONG + "!"), ("m3", TURNIPS), ("m4", ""), ("m5", "soup")),
        videos(
            ("v1", LONG.upper() + " …"),  # of m1, and m2 is as near
            ("v2", LONG.replace("growing", "grow")),  # a few pieces differ
            ("v3", "the greenhouse"),  # a piece of m1 alone
            ("v4", " – "),  # no words: not like m4
            ("v5", "Soup!"),  # shorter than a piece
        ),
    )

    assert found.select("video_id", "by", "item_id", "n_examples").rows() == [
        ("v1", "text", "m1", 2),
        ("v2", "text", "m1", 2),
        ("v5", "text", "m5", 1),
    ]
    nearest = dict(found.select("video_id", "similarity").iter_rows())
    assert nearest["v1"] == nearest["v5"] == 1
    one, other = shingles(LONG), shingles(LONG.replace("growing", "grow"))
    assert nearest["v2"] == len(one & other) / len(one | other)


def test_a_text_in_letters_of_full_width_is_the_same() -> None:
    assert normalised("Ｌｅｅｋｓ,  are-nice") == "leeks are nice"


def test_frames_are_compared_with_pictures_and_frames() -> None:
    picture, close, far = "f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0ff", "0f0f0f0f0f0f0f0f"
    flat = "8000000000000000"
    found = near_duplicates(
        examples(("m1", "leeks"), ("m2", "beets")),
        videos(("v1", "a"), ("v2", "b"), ("v3", "c"), ("v4", "d")),
        pictures={("veggie", "m1"): [picture], ("veggie", "m2"): [flat], ("garden", "m2"): [far]},
        test_pictures={
            "v1": [close, far],  # half of its frames
            "v2": [close, far, "00ff00ff00ff00ff"],  # a third
            "v3": [flat],  # a picture of nothing is like no other
        },
    )

    assert found.rows() == [("v1", "picture", "veggie", "m1", "train", 0.5, 1)]


def test_many_texts_are_compared_piece_by_piece() -> None:
    known = [(f"m{number}", f"{LONG} {number:05d} {TURNIPS} {number * 7919:07d}") for number in range(20_000)]
    asked = [("v0", known[0][1]), ("v1", known[9_999][1]), ("v2", "nothing like it at all")]

    found = near_duplicates(examples(*known), videos(*asked))

    assert found.filter(pl.col("similarity") == 1).select("video_id", "item_id").rows() == [
        ("v0", "m0"),
        ("v1", "m9999"),  # the last in their order, beyond the first piece
    ]
    assert "v2" not in found["video_id"]


def test_the_finding_says_by_what_and_names_videos() -> None:
    rows = near_duplicates(examples(("m1", LONG)), videos(("v1", LONG), ("v2", TURNIPS)))
    found = finding(rows, n_test=2, n_examples=1, has_pictures=False, variant="om_ft_veggie_garden")

    assert not found.is_fine
    assert found.ids == ("v1",)
    assert found.summary == (
        "1 of 2 test videos have a near-duplicate among the 1 training examples (1 by text, 0 by picture; texts were "
        "compared; this study has no pictures)."
    )
    assert finding(rows.clear(), n_test=2, n_examples=1, has_pictures=True, variant="x").is_fine


def run(name: str, n: int) -> Predicted:
    """Every second video is positive; the first four are called wrongly."""
    labels = np.arange(n) % 2 == 0
    probabilities = np.where(labels, 0.9, 0.1)
    probabilities[:4] = 1 - probabilities[:4]
    return Predicted(name, tuple(f"v{number:02d}" for number in range(n)), labels, probabilities, 0.5)


def duplicates(*ids: str, by: str = "text") -> pl.DataFrame:
    return tables.frame(
        schemas.NEAR_DUPLICATES,
        [{"video_id": item, "by": by} for item in ids],
        dataset="veggie",
        item_id="m1",
        split="train",
        similarity=1.0,
        n_examples=1,
    )


def test_scores_are_those_of_the_videos_that_are_left() -> None:
    found = pl.concat([duplicates("v00", "v01", "v02"), duplicates("v02", "v03", by="picture"), duplicates("v99")])
    rows = seen({"b": run("b", 20), "a": run("a", 20)}, duplicates={"b": found})

    assert rows.select("run", "n_test", "n_seen", "n_seen_text", "n_seen_picture", "n_unseen_positive").rows() == [
        ("a", 20, 0, 0, 0, 10),
        ("b", 20, 4, 3, 2, 8),
    ]
    assert rows["accuracy"].to_list() == [0.8, 1.0]
    assert rows["macro_f1_low"][1] < 1  # sixteen of sixteen are no certainty


def test_of_few_or_of_one_label_nothing_is_said_that_needs_more() -> None:
    few = seen({"a": run("a", 20)}, duplicates={"a": duplicates(*(f"v{number:02d}" for number in range(11)))})
    one = seen({"a": run("a", 30)}, duplicates={"a": duplicates(*(f"v{number:02d}" for number in range(0, 30, 2)))})

    assert few.select("n_seen", "accuracy", "macro_f1", "auroc").row(0) == (11, None, None, None)
    assert one.select("n_unseen_positive", "macro_f1", "auroc", "false_positive_rate").row(0) == (0, None, None, 2 / 15)
