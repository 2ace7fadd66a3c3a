"""Scores of detectors that were trained on draws of their training data."""

import polars as pl
import pytest

from m2v.errors import InvalidRows
from m2v.evaluation import learning_curves

LABELS = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "label": [True, True, False, False]})


def said(share: float, draw: int, n_train: int, probabilities: list[float]) -> pl.DataFrame:
    rows = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "probability": probabilities})
    return rows.with_columns(
        share=pl.lit(share, pl.Float64),
        draw=pl.lit(draw, pl.UInt32),
        n_train=pl.lit(n_train, pl.UInt32),
        threshold=pl.lit(0.6),
    )


def test_each_draw_is_scored_at_its_own_threshold() -> None:
    parts = [
        said(0.5, 0, 10, [0.9, 0.5, 0.1, 0.2]),
        said(0.5, 1, 10, [0.1, 0.2, 0.8, 0.9]),
        said(1, 0, 20, [0.9, 0.8, 0, 0]),
    ]
    rows = learning_curves.learning_curves({"radish": pl.concat(parts)}, labels={"radish": LABELS})
    assert rows.select("share", "draw", "n_train", "n_test").rows() == [
        (0.5, 0, 10, 4),
        (0.5, 1, 10, 4),
        (1.0, 0, 20, 4),
    ]
    # Of the first draw one positive is missed: F1 2/3 of the positives, 4/5 of the others.
    assert rows["macro_f1"].to_list() == pytest.approx([(2 / 3 + 4 / 5) / 2, 0, 1])
    assert rows["auroc"].to_list() == pytest.approx([1, 0, 1])
    [half, whole] = learning_curves.over_draws(rows).to_dicts()
    assert (half["n_draws"], half["macro_f1_low"], whole["macro_f1"]) == (2, 0, 1)
    found = learning_curves.finding(rows, left_out=["beet"], variant="vegetables")
    assert found.summary == (
        "1 of 1 runs still scored higher with the last step of training data. "
        "1 runs take too long to be trained again and again: beet."
    )


def test_a_step_within_what_draws_differ_by_is_no_rise() -> None:
    parts = [said(0.5, 0, 10, [0.9, 0.9, 0, 0]), said(0.5, 1, 10, [0.1, 0.9, 0, 0]), said(1, 0, 20, [0.9, 0.9, 0, 0])]
    rows = learning_curves.over_draws(
        learning_curves.learning_curves({"radish": pl.concat(parts)}, labels={"radish": LABELS})
    )
    assert not learning_curves.is_rising(rows)
    assert learning_curves.in_words(rows).endswith("within what draws differ by")


def test_test_videos_of_one_label_have_no_score() -> None:
    parts = [said(0.5, 0, 10, [0.9, 0.9, 0, 0]), said(1, 0, 20, [0.9, 0.9, 0, 0])]
    onesided = LABELS.with_columns(label=pl.lit(True))
    rows = learning_curves.learning_curves({"radish": pl.concat(parts)}, labels={"radish": onesided})
    assert rows.select("macro_f1", "auroc").null_count().row(0) == (2, 2)
    assert "no score" in learning_curves.in_words(learning_curves.over_draws(rows))
    assert learning_curves.finding(rows, left_out=[], variant="vegetables").figures["n_rising"] == 0


def test_an_item_without_a_label_is_an_error() -> None:
    with pytest.raises(InvalidRows, match="a test item has no label"):
        learning_curves.learning_curves({"radish": said(1, 0, 20, [0.9, 0.9, 0, 0])}, labels={"radish": LABELS.head(3)})
