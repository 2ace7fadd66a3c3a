import polars as pl
import pytest

from m2v import schemas
from m2v.errors import UnknownName
from m2v.evaluation.comparisons import comparisons
from m2v.evaluation.scores import thresholded
from tests.m2v.evaluation import rows


def predictions(right: str, *, first: int = 0, threshold: float = 0.5) -> pl.DataFrame:
    """Videos v<first>, v<first + 1> … of which those with a ``+`` are called rightly at .5; every other is positive."""
    labels = [i % 2 == 0 for i in range(first, first + len(right))]
    videos = pl.DataFrame({"video_id": [f"v{i}" for i in range(first, first + len(right))], "label": labels})
    chances = [0.8 if label == (mark == "+") else 0.2 for label, mark in zip(labels, right, strict=True)]
    probabilities = videos.select("video_id", probability=pl.Series(chances, dtype=pl.Float64))
    return thresholded(videos, probabilities=probabilities, threshold=threshold)


def frame(*expected: tuple) -> pl.DataFrame:
    return pl.DataFrame(list(expected), schema=dict(schemas.COMPARISONS.columns), orient="row")


def test_mcnemar_by_hand():
    results = rows.results(rows.result("om_ft", "leeks", 0.5), rows.result("rm_ft", "leeks", 0.7))
    a, b = results["run"]
    # Of nine videos, one is right only with a and seven only with b. A fair coin falls at most once in eight on one
    # side with (1 + 8) / 256; either side doubles it.
    scored = {a: predictions("+-------+"), b: predictions("-++++++++")}

    expected = frame(("garden", a, b, 9, 1, 7, 18 / 256, 18 / 256))
    assert comparisons(results, test_predictions=scored).equals(expected)


def test_runs_that_never_differ_are_not_told_apart():
    results = rows.results(rows.result("om_ft", "leeks", 0.5), rows.result("rm_ft", "leeks", 0.7))
    a, b = results["run"]

    table = comparisons(results, test_predictions=dict.fromkeys((a, b), predictions("++-+")))

    assert table.equals(frame(("garden", a, b, 4, 0, 0, 1.0, 1.0)))


def test_only_videos_that_both_scored_count():
    results = rows.results(rows.result("om_ft", "leeks", 0.5), rows.result("rm_ft", "leeks", 0.7))
    a, b = results["run"]
    scored = {a: predictions("---++"), b: predictions("++---", first=2)}  # v2, v3 and v4 are in both

    table = comparisons(results, test_predictions=scored)

    assert table.select("n_both", "n_only_a_right", "n_only_b_right").rows() == [(3, 1, 1)]


def test_each_run_has_its_own_threshold():
    results = rows.results(rows.result("om_ft", "leeks", 0.5), rows.result("rm_ft", "leeks", 0.7))
    a, b = results["run"]
    # Positive, negative, positive; a calls everything negative and b everything positive.
    scored = {a: predictions("+++", threshold=0.9), b: predictions("+++", threshold=0.1)}

    table = comparisons(results, test_predictions=scored)

    assert table.select("n_only_a_right", "n_only_b_right").rows() == [(1, 2)]


def pairs(results: pl.DataFrame) -> list[tuple[str, str]]:
    scored = dict.fromkeys(results["run"], predictions("++"))
    return comparisons(results, test_predictions=scored).select("run_a", "run_b").rows()


def test_strategies_without_memes_stand_beside_each_meme_datasets():
    results = rows.results(
        rows.result("vid_ft", None, 0.7),
        rows.result("no_ft", None, 0.5),
        rows.result("rm_ft", "leeks", 0.7),
        rows.result("rm_ft", "roots", 0.7),
        rows.result("om_ft", "leeks", 0.6),
    )

    no, vid, om, rm, rm_roots = (
        f"radish_{name}_garden_s0" for name in ("no_ft", "vid_ft", "om_ft_leeks", "rm_ft_leeks", "rm_ft_roots")
    )
    assert pairs(results) == [
        (no, om),
        (no, rm),
        (no, rm_roots),
        (no, vid),
        (om, rm),  # and not with the other memes' rm
        (om, vid),
        (rm, vid),
        (rm_roots, vid),
    ]


@pytest.mark.parametrize("other", [{"target": "market"}, {"model": "beetroot"}, {"seed": 1}, {"paper_mode": True}])
def test_runs_that_differ_in_more_than_the_strategy_are_not_compared(other):
    assert pairs(rows.results(rows.result("om_ft", "leeks", 0.6), rows.result("rm_ft", "leeks", 0.7, **other))) == []


def test_the_majority_class_is_not_compared():
    assert pairs(rows.results(rows.majority("garden", 0.4), rows.result("rm_ft", "leeks", 0.7))) == []


def test_holm_adjusts_over_the_comparisons_of_one_target():
    names = ("om_ft", "rm_ft", "vid_ft")
    results = rows.results(
        *(rows.result(name, "leeks" if name != "vid_ft" else None, 0.6) for name in names),
        *(rows.result(name, "leeks", 0.6, target="market") for name in names[:2]),
    )
    right = dict(zip(names, ("-" * 8 + "+", "++++++++-", "+++++++++"), strict=True))
    scored = {row["run"]: predictions(right[row["strategy"]]) for row in results.to_dicts()}

    table = comparisons(results, test_predictions=scored)

    # 1 to 8, 0 to 8 and 0 to 1 videos: p = 20 / 512, 2 / 256, 1. The smallest of three is tripled, the next doubled.
    om_rm, om_vid, rm_vid, of_market = table.select("p_value", "p_holm").rows()
    assert om_vid == pytest.approx((2 / 256, 6 / 256))
    assert om_rm == pytest.approx((20 / 512, 40 / 512))
    assert rm_vid == (1.0, 1.0)
    assert of_market == pytest.approx((20 / 512, 20 / 512))  # alone on its target


def test_a_run_without_test_predictions_is_named():
    results = rows.results(rows.result("om_ft", "leeks", 0.6))

    with pytest.raises(UnknownName, match="radish_om_ft_leeks_garden_s0"):
        comparisons(results, test_predictions={})


def test_no_runs_no_comparisons():
    assert comparisons(schemas.RESULTS.empty(), test_predictions={}).equals(schemas.COMPARISONS.empty())
