import random

import polars as pl
import pytest

from m2v import schemas
from m2v.annotation import agreement
from tests import tables


def answers(**rows: str) -> pl.DataFrame:
    """Answers from ``annotator="+-?"``, one sign per meme, ``?`` for none."""
    return tables.answers(
        *(
            {"meme_id": str(n), "annotator": annotator, "label": sign == "+"}
            for annotator, signs in rows.items()
            for n, sign in enumerate(signs)
            if sign != "?"
        )
    )


def test_cohens_kappa_of_a_textbook_table() -> None:
    # 20 both yes, 15 both no, 5 and 10 apart (Cohen's own kind of example): observed .7, expected .5, so κ = .4.
    one = pl.Series([True] * 25 + [False] * 25)
    other = pl.Series([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert agreement.cohen_kappa(one, other) == pytest.approx(0.4)


def test_krippendorffs_alpha_of_his_own_binary_example() -> None:
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section A: two observers, ten articles, α = .095.
    found = agreement.krippendorff_alpha(answers(meg="-+------+-", owen="+++--+----"))
    assert found == pytest.approx(0.095, abs=5e-4)


def test_fleiss_kappa_uses_the_usual_number_of_answers() -> None:
    # Three raters, four items: 3-0, 2-1, 0-3, 1-2. P = (1 + 1/3 + 1 + 1/3)/4 = 2/3, Pe = 1/2, κ = 1/3.
    full = answers(x="++--", y="++--", z="+--+")
    assert agreement.fleiss_kappa(full) == pytest.approx(1 / 3)
    with_a_gap = answers(x="++--+", y="++--+", z="+--+?")
    assert agreement.fleiss_kappa(with_a_gap) == pytest.approx(1 / 3)


def test_pairwise_kappa_is_the_mean_over_pairs_that_share_memes() -> None:
    assert agreement.pairwise_kappa(answers(x="++--", y="++--", z="--++")) == pytest.approx((1 - 1 - 1) / 3)


def test_krippendorffs_alpha_takes_gaps_and_single_answers() -> None:
    # Meme 3 has one answer, which pairs with none. In the others, ++, ++- and --, the 7 values (4 of them +) have one
    # coincidence of + with -: α = 1 − (7 − 1) · 1 / (4 · 3) = .5.
    assert agreement.krippendorff_alpha(answers(x="++-+", y="++-?", z="?-??")) == pytest.approx(0.5)


def test_dawid_skene_finds_the_one_who_guesses() -> None:
    found = agreement.dawid_skene(answers(x="++++----++--", y="++++----++--", z="+-+-+-+-+-+-"))
    assert found is not None
    assert found["annotator"].to_list() == ["x", "y", "z"]
    x, y, z = found["accuracy"]
    assert x == pytest.approx(y)
    assert x > 0.95
    assert z == pytest.approx(0.5, abs=0.1)


def test_dawid_skene_does_not_reward_who_always_says_the_same() -> None:
    found = agreement.dawid_skene(answers(w="+++-----++--", x="++++----++--", y="++++----++--", z="++++++++++++"))
    assert found is not None
    w, x, y, z = found["accuracy"]
    assert w == pytest.approx((5 / 6 + 1) / 2, abs=1e-3)
    assert (x, y) == (pytest.approx(1), pytest.approx(1))
    assert z == pytest.approx(0.5, abs=1e-3), "right about every +, wrong about every -"


def test_dawid_skene_judges_by_the_labels_that_an_annotator_met() -> None:
    found = agreement.dawid_skene(answers(x="++++----", y="++++----", z="++++----", late="????----"))
    assert found is not None
    assert found["accuracy"].to_list() == pytest.approx([1, 1, 1, 1])


def test_the_posterior_is_that_of_crowd_kit() -> None:
    # Recorded from crowd-kit 1.4.2, DawidSkene(n_iter=5000, tol=1e-13), of the first 24 of 100 memes.
    draw, accuracies, rows = random.Random(4), {"a": 0.95, "b": 0.9, "c": 0.85, "d": 0.5}, []  # noqa: S311
    for number in range(100):
        truth = draw.random() < 0.4
        for annotator, accuracy in accuracies.items():
            if draw.random() < 0.9:
                label = truth if draw.random() < accuracy else not truth
                rows.append({"meme_id": f"leek {number:03}", "annotator": annotator, "label": label})
    found = agreement.posterior(tables.answers(*rows))
    assert found is not None
    recorded = [0.9888, 0.9888, 0.0045, 0.0017, 0.9817, 0.0006, 0.2795, 0.0064, 0.0006, 0.0796, 0.0006, 0.9985]
    recorded += [0.0010, 0.9765, 0.0075, 0.9985, 0.8762, 0.7461, 0.0021, 0.6059, 0.0008, 0.9985, 0.0006, 0.9985]
    assert found["positive"].head(24).to_list() == pytest.approx(recorded, abs=1e-3)
    assert found["positive"].sum() == pytest.approx(41.897, abs=0.01)


def test_dawid_skene_needs_three_annotators() -> None:
    assert agreement.dawid_skene(answers(x="++--+", y="++---")) is None


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(schemas.HUMAN_LABELS.empty(), id="no answers"),
        pytest.param(answers(x="+-+-"), id="one annotator"),
        pytest.param(answers(x="+-??", y="??+-"), id="no shared meme"),
        pytest.param(answers(x="++++", y="++++"), id="one label only"),
    ],
)
def test_what_cannot_be_estimated_is_none(given: pl.DataFrame) -> None:
    assert agreement.krippendorff_alpha(given) is None
    assert agreement.fleiss_kappa(given) is None
    assert agreement.dawid_skene(given) is None
    assert agreement.pairwise_kappa(given) is None


def test_kappa_of_labels_that_never_vary_is_none() -> None:
    assert agreement.cohen_kappa(pl.Series([True, True]), pl.Series([True, True])) is None
    assert agreement.cohen_kappa(pl.Series([], dtype=pl.Boolean), pl.Series([], dtype=pl.Boolean)) is None


def conflicts(n: int) -> pl.DataFrame:
    rows = ({"meme_id": str(each), "original": True, "predicted": False} for each in range(n))
    return tables.frame(schemas.CONFLICTS, rows, reason="disagreement", inclusion_probability=1.0)


@pytest.mark.parametrize(
    ("n_with_model", "n", "is_fine"),
    [
        (50, 100, True),
        (95, 100, True),  # a share of .95 is what a second opinion may have
        (100, 100, False),
        (20, 20, True),  # too few to tell from .95: p = .36
        (0, 100, True),
    ],
)
def test_people_who_always_side_with_the_model_are_found(n_with_model: int, n: int, is_fine: bool) -> None:
    given = tables.answers(*({"meme_id": str(each), "label": each >= n_with_model} for each in range(n)))
    finding, _ = agreement.answer_findings(given, conflicts(n), variant="fhm_hatemm")
    assert finding.is_fine is is_fine
    assert finding.figures["model_share"] == n_with_model / n
    assert len(finding.ids) == (0 if is_fine else n)


def test_the_p_value_is_the_one_sided_binomial_one() -> None:
    given = tables.answers(*({"meme_id": str(each), "label": False} for each in range(20)))
    finding, _ = agreement.answer_findings(given, conflicts(20), variant="fhm_hatemm")
    assert finding.figures["p_value"] == pytest.approx(0.95**20)


def test_no_answers_are_a_finding_and_not_an_error() -> None:
    side, among = agreement.answer_findings(schemas.HUMAN_LABELS.empty(), conflicts(3), variant="fhm_hatemm")
    assert (side.is_fine, side.figures["model_share"]) == (False, None)
    assert (among.is_fine, among.figures["krippendorff_alpha"]) == (False, None)
    assert "not estimable" in among.summary


def test_agreement_among_annotators_is_of_their_last_answers() -> None:
    first = answers(x="+-+-", y="-+-+", z="+-+-")
    changed = answers(y="+-+-").with_columns(round=pl.lit("r2"))
    _, finding = agreement.answer_findings(pl.concat([first, changed]), conflicts(4), variant="fhm_hatemm")
    assert finding.is_fine
    assert finding.figures["krippendorff_alpha"] == pytest.approx(1)
    assert finding.figures["dawid_skene_accuracy_x"] == pytest.approx(1, abs=1e-3)


def test_a_changed_mind_is_one_answer() -> None:
    first = tables.answers({"meme_id": "0", "label": False, "round": "1"})
    changed = pl.concat([first, tables.answers({"meme_id": "0", "label": True, "round": "2"})])
    finding, _ = agreement.answer_findings(changed, conflicts(1), variant="fhm_hatemm")
    assert (finding.figures["n_answers"], finding.figures["model_share"]) == (1, 0.0)
    predictions = tables.predictions({"meme_id": "0", "original": True, "predicted": False})
    voted = tables.frame(
        schemas.VOTED_LABELS,
        [{"meme_id": "0", "label": True}],
        decided_by="humans",
        n_votes=3,
        n_humans=1,
        margin=1,
    )
    flow = agreement.label_flow(predictions, changed, voted, variant="fhm_hatemm")
    assert (flow.n_answers, flow.humans_side_with_model_share) == (1, 0.0)


def test_little_agreement_with_the_dataset_is_found() -> None:
    rows = [{"meme_id": str(n), "original": n % 2 == 0, "predicted": n % 4 < 2} for n in range(8)]
    (finding,) = agreement.prediction_findings(tables.predictions(*rows), variant="fhm_hatemm")
    assert (finding.is_fine, finding.figures) == (
        False,
        {"cohen_kappa": 0.0, "n_conflicts": 4, "n_memes": 8, "n_unanswered": 0},
    )


def test_the_label_flow_counts_what_became_of_the_labels() -> None:
    predictions = tables.predictions(
        {"meme_id": "0", "original": True, "predicted": True},
        {"meme_id": "1", "original": True, "predicted": False},
        {"meme_id": "2", "original": True, "predicted": False},
        {"meme_id": "3", "original": False, "predicted": True},
    )
    given = tables.answers({"meme_id": "1", "label": False}, {"meme_id": "2", "label": True})
    voted = tables.frame(
        schemas.VOTED_LABELS,
        [
            {"meme_id": "0", "label": True},
            {"meme_id": "1", "label": False},
            {"meme_id": "2", "label": True},
            {"meme_id": "3", "label": None},
        ],
        decided_by="humans",
        n_votes=3,
        n_humans=1,
        margin=1,
    )
    flow = agreement.label_flow(predictions, given, voted, variant="fhm_hatemm")
    assert (flow.n_memes, flow.n_conflicts, flow.n_answers, flow.n_flipped, flow.n_undecided) == (4, 3, 2, 1, 1)
    assert (flow.positive_before_share, flow.positive_after_share) == (0.75, pytest.approx(2 / 3))
    assert flow.humans_side_with_model_share == 0.5
    assert flow.kappa is not None
