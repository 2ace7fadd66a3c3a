import polars as pl
import pytest

from m2v import schemas
from m2v.evaluation.headline import headline, label_effects
from tests import tables
from tests.m2v.evaluation import rows


def comparison(memes: str, only_a: int, only_b: int, p_holm: float) -> dict:
    return {
        "target": "garden",
        "run_a": f"radish_om_ft_{memes}_garden_s0",
        "run_b": f"radish_rm_ft_{memes}_garden_s0",
        "n_both": 200,
        "n_only_a_right": only_a,
        "n_only_b_right": only_b,
        "p_value": p_holm / 2,
        "p_holm": p_holm,
    }


def effects(*pairs: tuple[str, float, float], tested: tuple[dict, ...] = ()) -> pl.DataFrame:
    """Pairs of memes, macro-F1 with original and macro-F1 with re-annotated labels."""
    runs = [
        rows.result(strategy, memes, score)
        for memes, original, re_annotated in pairs
        for strategy, score in (("om_ft", original), ("rm_ft", re_annotated))
    ]
    results = rows.results(rows.majority("garden", 0.4), rows.result("vid_ft", None, 0.8), *runs)
    return label_effects(results, comparisons=tables.frame(schemas.COMPARISONS, tested))


def test_effects_pair_runs_that_differ_in_their_labels_alone():
    results = rows.results(
        rows.result("om_ft", "leeks", 0.60),
        rows.result("rm_ft", "leeks", 0.68),
        rows.result("rm_ft", "leeks", 0.90, seed=1),  # no original run of this seed
        rows.result("om_ft", "roots", 0.50),  # no re-annotated run of these memes
    )
    tested = tables.frame(schemas.COMPARISONS, [comparison("leeks", 12, 20, 0.4)])

    (row,) = label_effects(results, comparisons=tested).to_dicts()

    assert row == {
        "target": "garden",
        "split": "own",
        "fold": None,
        "memes": "leeks",
        "model": "radish",
        "seed": 0,
        "paper_mode": False,
        "original": 0.60,
        "original_low": 0.54,
        "original_high": 0.66,
        "re_annotated": 0.68,
        "re_annotated_low": 0.62,
        "re_annotated_high": 0.74,
        "p_value": 0.2,
        "p_holm": 0.4,
        "n_only_original_right": 12,
        "n_only_re_annotated_right": 20,
        "difference": pytest.approx(0.08),
        "is_overlapping": True,  # .62 is below .66
    }


@pytest.mark.parametrize(
    ("re_annotated", "is_overlapping"),
    [(0.72, True), (0.73, False), (0.48, True), (0.47, False)],  # the original's interval is .54 to .66
)
def test_intervals_overlap_from_either_side(re_annotated, is_overlapping):
    assert effects(("leeks", 0.60, re_annotated))["is_overlapping"].to_list() == [is_overlapping]


def test_the_headline_counts_and_claims_nothing_that_was_not_tested():
    assert headline(effects(("leeks", 0.60, 0.68), ("roots", 0.50, 0.71))) == [
        "Trained on re-annotated instead of original labels, and with nothing else changed, 2 of 2 pairs of runs "
        "scored a higher macro-F1 (+.080 to +.210).",
        "The 95 % intervals overlap in 1 of 2 pairs of runs.",
        "Whether the differences are more than chance was not tested.",
    ]


def test_the_headline_says_when_re_annotation_did_not_help():
    first, *_ = headline(effects(("leeks", 0.70, 0.64)))

    assert first.endswith("0 of 1 pair of runs scored a higher macro-F1 (−.060).")


PAIRS = (("leeks", 0.60, 0.68), ("roots", 0.50, 0.71))


@pytest.mark.parametrize(
    ("tested", "sentence"),
    [
        (
            [("leeks", 12, 20, 0.4), ("roots", 10, 30, 0.05)],  # .05 is not below .05
            "McNemar's test, Holm-adjusted, tells none of 2 pairs of runs from chance.",
        ),
        (
            [("leeks", 12, 20, 0.4), ("roots", 10, 40, 0.001)],
            "McNemar's test, Holm-adjusted, finds more correct answers on one side in 1 of 2 pairs of runs: 1 for the "
            "re-annotated labels; the rest may be chance.",
        ),
        (
            [("leeks", 40, 10, 0.001), ("roots", 10, 40, 0.001)],  # fewer right answers, although macro-F1 is higher
            "McNemar's test, Holm-adjusted, finds more correct answers on one side in 2 of 2 pairs of runs: 1 for the "
            "re-annotated labels, 1 for the original.",
        ),
    ],
)
def test_the_headline_says_what_the_test_finds_and_for_whom(tested, sentence):
    *_, last = headline(effects(*PAIRS, tested=tuple(comparison(*each) for each in tested)))

    assert last == sentence


def test_the_headline_of_a_study_without_such_pairs():
    assert headline(effects()) == [
        "No two runs of this study differ in their labels alone, so it says nothing about re-annotation."
    ]
