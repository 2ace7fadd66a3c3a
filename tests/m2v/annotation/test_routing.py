import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.annotation import routing
from tests import tables


def predictions(n_agreed: int, n_disputed: int) -> pl.DataFrame:
    agreed = ({"meme_id": f"a{n:03}", "original": n % 2 == 0, "predicted": n % 2 == 0} for n in range(n_agreed))
    disputed = ({"meme_id": f"d{n:03}", "original": n % 2 == 0, "predicted": n % 2 == 1} for n in range(n_disputed))
    return tables.predictions(*agreed, *disputed)


def test_without_an_audit_the_conflicts_are_the_rows_whose_labels_differ() -> None:
    found = routing.conflicts(predictions(3, 2), audit_share=0, seed=0)
    expected = pl.DataFrame(
        [("d000", True, False, "disagreement", 1.0), ("d001", False, True, "disagreement", 1.0)],
        schema=dict(schemas.CONFLICTS.columns),
        orient="row",
    )
    assert_frame_equal(found, expected)


def test_the_audit_draws_its_share_of_the_agreed_rows_with_their_probability() -> None:
    found = schemas.CONFLICTS.validate(routing.conflicts(predictions(40, 2), audit_share=0.1, seed=0))
    audited = found.filter(reason="audit")
    assert audited.height == 4
    assert audited["inclusion_probability"].to_list() == [0.1] * 4
    assert audited["meme_id"].str.starts_with("a").all()


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    rows = predictions(40, 2)
    one = routing.conflicts(rows, audit_share=0.2, seed=0)
    assert_frame_equal(routing.conflicts(rows.reverse(), audit_share=0.2, seed=0), one)
    assert set(routing.conflicts(rows, audit_share=0.2, seed=1)["meme_id"]) != set(one["meme_id"])


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 5))
def test_a_larger_share_only_adds_to_the_sample(n_agreed: int, share: float, seed: int) -> None:
    rows = predictions(n_agreed, 1)
    small = set(routing.conflicts(rows, audit_share=share / 2, seed=seed)["meme_id"])
    large = set(routing.conflicts(rows, audit_share=share, seed=seed)["meme_id"])
    assert small <= large


def test_only_answers_about_conflicts_count() -> None:
    conflicts = routing.conflicts(predictions(2, 1), audit_share=0, seed=0)
    answers = tables.answers({"meme_id": "d000", "label": True}, {"meme_id": "a000", "label": True})
    assert routing.answered(answers, conflicts=conflicts)["meme_id"].to_list() == ["d000"]


def test_the_agreed_error_is_the_share_that_most_people_would_change() -> None:
    conflicts = routing.conflicts(predictions(10, 0), audit_share=1, seed=0)
    turned = [  # a000 is positive: two of three say no; a001 is negative: divided, left out
        *({"meme_id": "a000", "annotator": name, "label": name == "x"} for name in "xyz"),
        *({"meme_id": "a001", "annotator": name, "label": name == "x"} for name in "xy"),
    ]
    kept = [{"meme_id": f"a{n:03}", "annotator": "x", "label": n % 2 == 0} for n in range(2, 10)]
    finding = routing.agreed_error(conflicts, tables.answers(*turned, *kept), variant="fhm_hatemm")
    assert (finding.is_fine, finding.ids) == (False, ("a000",))
    assert finding.figures["n_audited"] == 9
    assert finding.figures["n_divided"] == 1
    assert finding.figures["error_share"] == pytest.approx(1 / 9)
    # Clopper-Pearson for 1 of 9, from its definition by beta quantiles: .0028 and .4825.
    assert finding.figures["error_share_low"] == pytest.approx(0.0028, abs=5e-5)
    assert finding.figures["error_share_high"] == pytest.approx(0.4825, abs=5e-5)


def test_the_agreed_error_is_of_last_answers() -> None:
    conflicts = routing.conflicts(predictions(1, 0), audit_share=1, seed=0)
    rounds = {"1": False, "2": False, "3": True}  # a000 is positive, and so is the last word on it
    answers = tables.answers(*({"meme_id": "a000", "label": label, "round": name} for name, label in rounds.items()))
    finding = routing.agreed_error(conflicts, answers, variant="fhm_hatemm")
    assert (finding.is_fine, finding.figures["error_share"]) == (True, 0.0)


def test_without_an_audit_the_agreed_error_is_not_estimable() -> None:
    conflicts = routing.conflicts(predictions(10, 1), audit_share=0, seed=0)
    finding = routing.agreed_error(conflicts, schemas.HUMAN_LABELS.empty(), variant="fhm_hatemm")
    assert not finding.is_fine
    assert finding.figures["error_share"] is None
    assert "not estimable" in finding.summary
