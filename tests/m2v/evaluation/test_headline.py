import polars as pl
import pytest

from m2v import schemas
from m2v.evaluation.headline import cautions, detectors, headline, label_effects, summary
from m2v.lineage.findings import LabelFlow
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


NONE = schemas.DIFFERENCES.empty()
PAIRS = (("leeks", 0.60, 0.68), ("roots", 0.50, 0.71))


def effects(*pairs: tuple[str, float, float], tested: tuple[dict, ...] = ()) -> pl.DataFrame:
    """Pairs of memes, macro-F1 with original and macro-F1 with re-annotated labels."""
    runs = [
        rows.result(strategy, memes, score)
        for memes, original, re_annotated in pairs
        for strategy, score in (("om_ft", original), ("rm_ft", re_annotated))
    ]
    results = rows.results(rows.majority("garden", 0.4), rows.result("vid_ft", None, 0.8), *runs)
    return label_effects(results, comparisons=tables.frame(schemas.COMPARISONS, tested), differences=NONE)


def test_effects_pair_runs_that_differ_in_their_labels_alone():
    results = rows.results(
        rows.result("om_ft", "leeks", 0.60),
        rows.result("rm_ft", "leeks", 0.68, n_train=1700),
        rows.result("rm_ft", "leeks", 0.90, seed=1),  # no original run of this seed
        rows.result("om_ft", "roots", 0.50),  # no re-annotated run of these memes
    )
    tested = tables.frame(schemas.COMPARISONS, [comparison("leeks", 12, 20, 0.4)])

    paired = {"varies": "strategy", "n_seeds_a": 1, "n_seeds_b": 2, "value_a": 0.6, "value_b": 0.79, "n_items": 200}
    ends = {"score": "macro_f1", "difference": 0.19, "low": 0.1, "high": 0.28, "smallest": 0.13, "target": "garden"}
    names = {"a": "radish_om_ft_leeks_garden", "b": "radish_rm_ft_leeks_garden", "split": "own", "paper_mode": False}
    differences = tables.frame(schemas.DIFFERENCES, [{**paired, **ends, **names}])

    (row,) = label_effects(results, comparisons=tested, differences=differences).to_dicts()

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
        "n_train_original": 2000,
        "n_train_re_annotated": 1700,
        "difference": pytest.approx(0.08),
        "over_seeds": 0.19,  # of two seeds on one side
        "over_seeds_low": 0.1,
        "over_seeds_high": 0.28,
        "smallest": 0.13,
    }


def test_the_headline_counts_and_claims_nothing_that_was_not_tested():
    assert headline(effects(("leeks", 0.60, 0.68), ("roots", 0.50, 0.71))) == [
        "Whether re-annotation helps cannot be told from these test videos.",
        "With re-annotated instead of original labels, 2 of 2 pairs of runs scored a higher macro-F1 (+.080 to +.210). "
        "Both sides were trained on equally many examples.",
        "Whether the differences are more than chance was not tested.",
    ]


def test_the_headline_says_when_re_annotation_did_not_help():
    _, counts, *_ = headline(effects(("leeks", 0.70, 0.64)))

    assert "0 of 1 pair of runs scored a higher macro-F1 (−.060)." in counts


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"leeks": (40, 27)}, "The training sets differ in size too: 27 re-annotated against 40 original examples."),
        (
            {"leeks": (40, 27), "roots": (3000, 3000), "turnips": (50, 49)},
            "The training sets differ in size too, in 2 of 3 pairs of runs; at most 27 re-annotated against 40 "
            "original examples.",
        ),
        ({"leeks": (40, 40), "roots": (3000, 3000)}, "Both sides were trained on equally many examples."),
    ],
)
def test_sizes_of_training_sets_stand_beside_the_scores(sizes, sentence):
    results = rows.results(
        *(
            rows.result(strategy, memes, 0.6, n_train=n_train)
            for memes, pair in sizes.items()
            for strategy, n_train in zip(("om_ft", "rm_ft"), pair, strict=True)
        )
    )
    _, counts, *_ = headline(label_effects(results, comparisons=schemas.COMPARISONS.empty(), differences=NONE))

    assert counts.endswith(sentence)


@pytest.mark.parametrize(
    ("tested", "verdict"),
    [
        ([("leeks", 12, 20, 0.4)], "Whether re-annotation helps cannot be told from these test videos."),
        ([("leeks", 10, 40, 0.001)], "Re-annotation helped in 1 of 1 pair of runs, beyond chance."),
        ([("leeks", 40, 10, 0.001)], "Re-annotation hurt in 1 of 1 pair of runs, beyond chance."),
        (
            [("leeks", 40, 10, 0.001), ("roots", 10, 40, 0.001)],
            "Re-annotation helped in 1 and hurt in 1 of 2 pairs of runs, beyond chance.",
        ),
    ],
)
def test_the_first_sentence_is_a_verdict(tested, verdict):
    first, *_ = headline(effects(*PAIRS[: len(tested)], tested=tuple(comparison(*each) for each in tested)))

    assert first == verdict


def test_the_detector_is_the_best_on_validation_whatever_it_scores_on_test():
    results = rows.results(
        rows.majority("garden", 0.4),
        rows.result("om_ft", "leeks", 0.9, validation_auroc=0.80),  # best on test
        rows.result("rm_ft", "leeks", 0.7, validation_auroc=0.85),
        rows.result(
            "vid_ft", None, 0.95, validation_auroc=0.99, fold=1, split="cross"
        ),  # of one fold, of another split
    )

    assert detectors(results) == [
        "For garden, take radish_rm_ft_leeks_garden_s0 (Re-annotated memes (RM)): it scored best on the validation "
        "videos (AUROC .850), and no test video chose it. On the test videos its macro-F1 is .700 [.64, .76]; calling "
        "every video by the more frequent label scores .400.",
        "No detector can be named for garden, cross: every run is of one fold.",
    ]


def test_a_detector_that_may_be_no_better_than_the_majority_class_is_called_so():
    best = rows.result("rm_ft", "leeks", 0.45, validation_auroc=0.8)
    results = rows.results(rows.majority("garden", 0.4), best, rows.result("vid_ft", None, 0.9, validation_auroc=0.8))

    (sentence,) = detectors(results)

    assert "(AUROC .800, as 1 other did)" in sentence  # the name decides: no test score may
    assert sentence.endswith("That it does better than that is not shown.")


def test_in_paper_mode_no_detector_is_named():
    results = rows.results(rows.result("vid_ft", None, 0.9, validation_auroc=None, paper_mode=True))

    assert detectors(results) == ["No detector can be named for garden: no run held out validation videos."]


@pytest.mark.parametrize(
    ("n_positive", "sentences"),
    [
        (
            4,
            [
                "Only 4 of the 200 test videos of garden are positive, and each of them moves recall by .25: the "
                "intervals are wide, and small differences mean nothing."
            ],
        ),
        (
            199,
            [
                "Only 1 of the 200 test videos of garden is negative: the intervals are wide, and small differences "
                "mean nothing."
            ],
        ),
        (80, []),
    ],
)
def test_few_test_videos_of_a_label_are_said(n_positive, sentences):
    assert cautions(rows.results(rows.result("vid_ft", None, 0.9, n_positive=n_positive))) == sentences


def flow(n_undecided: int, n_awaiting: int) -> LabelFlow:
    return LabelFlow("leeks_garden", 40, 25, 3, 2, n_undecided, 0.3, 0.2, 0.1, 0.7, n_awaiting)


def test_missing_votes_make_everything_preliminary():
    told = summary(rows.study(), effects=effects(*PAIRS), label_flows=[flow(22, 22)])

    assert told.preliminary == (
        "Preliminary: 22 of 25 conflicts of leeks_garden have too few answers for a vote. These memes are left out of "
        "the re-annotated training sets, and every score may change.",
    )
    assert told.lines[0] == told.preliminary[0]


def test_a_tie_is_an_answer_and_nothing_is_preliminary():
    assert summary(rows.study(), effects=effects(*PAIRS), label_flows=[flow(5, 0)]).preliminary == ()


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
