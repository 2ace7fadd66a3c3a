from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.annotation import answers
from m2v.annotation.rounds import ITEM_COLUMNS, Round

CONFIG = "<View/>"


def a_round(**settings: Any) -> Round:
    usual = {
        "name": "fhm_hatemm_001",
        "alignment": "fhm_hatemm",
        "uid": "u",
        "role": "annotator",
        "mode": "blind",
        "n_annotators": 2,
        "annotators": (),
        "accept_imports": False,
        "config": CONFIG,
        "guideline": "g",
        "opened_at": "2026-11-20T12:00:00+00:00",
    }
    return Round(**{**usual, **settings})


def at(second: int) -> datetime:
    return datetime(2026, 11, 20, 12, 0, second, tzinfo=UTC)


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    """Annotations; what a row does not say is a usual yes of ann about item k1."""
    filled = []
    for number, row in enumerate(rows):
        usual = {
            "project_id": 1,
            "annotation_id": number,
            "item_key": "k1",
            "annotator": "ann",
            "author": row.get("annotator", "ann"),
            "was_cancelled": False,
            "created_at": at(number),
            "updated_at": row.get("created_at", at(number)),
            "duration_s": 2.0,
            "labels": [] if row.get("skips") or row.get("was_cancelled") else ["positive"],
            "skips": [],
            "seen_config_sha256": a_round().definition.config_sha256,
        }
        filled.append({**dict.fromkeys(answers.RAW_COLUMNS), **usual, **row})
    return pl.DataFrame(filled, schema=answers.RAW_COLUMNS)


ITEMS = pl.DataFrame(
    [{"item_key": f"k{n}", "meme_id": f"m{n}", "question_sha256": f"q{n}", "kind": "conflict"} for n in (1, 2)],
    schema=ITEM_COLUMNS,
)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"item_key": "k9"}, "unknown_item"),
        ({"seen_config_sha256": "another"}, "other_config"),
        ({"author": None}, "imported"),
        ({"author": "bob"}, "other_author"),
        ({"annotator": "eve"}, "not_in_round"),
        ({"labels": []}, "empty_result"),
        ({"labels": ["positive", "negative"]}, "two_choices"),
        ({"labels": ["positive"], "skips": ["harmful"]}, "two_choices"),
        ({"labels": ["purple"]}, "unknown_label"),
        ({"skips": ["bored"]}, "unknown_label"),
    ],
)
def test_each_defect_has_its_reason(row: dict[str, Any], reason: str) -> None:
    found = answers.judge(raw(row), ITEMS, a_round(annotators=("ann", "bob")))
    assert found.quarantined["reason"].to_list() == [reason]
    assert (found.answers.height, found.skips.height) == (0, 0)


def test_an_answer_carries_what_it_was_given_under() -> None:
    row = {"labels": ["negative"], "confidence": 3, "comment": "why not"}
    found = answers.judge(raw(row), ITEMS, a_round(mode="assisted")).answers
    definition = a_round().definition
    expected = {
        "meme_id": "m1",
        "annotator": "ann",
        "label": False,
        "round": "fhm_hatemm_001",
        "role": "annotator",
        "mode": "assisted",
        "confidence": 3,
        "duration_s": 2.0,
        "answered_at": at(0),
        "guideline_sha256": definition.guideline_sha256,
        "config_sha256": definition.config_sha256,
        "comment": "why not",
    }
    assert_frame_equal(found, pl.DataFrame([expected], schema=dict(schemas.HUMAN_LABELS.columns)))
    schemas.HUMAN_LABELS.validate(found)


def test_imports_count_where_the_round_accepts_them() -> None:
    found = answers.judge(raw({"author": None}), ITEMS, a_round(accept_imports=True))
    assert found.answers.height == 1


def test_a_skip_that_was_followed_by_an_answer_is_none() -> None:
    found = answers.judge(raw({"was_cancelled": True}, {"labels": ["negative"]}), ITEMS, a_round())
    assert (found.answers["label"].to_list(), found.skips.height) == ([False], 0)


def test_the_servers_own_skip_has_no_reason_and_is_no_defect() -> None:
    found = answers.judge(raw({"was_cancelled": True}), ITEMS, a_round())
    assert (found.skips["reason"].to_list(), found.quarantined.height) == (["unstated"], 0)


def test_an_edited_answer_was_given_when_it_was_edited() -> None:
    found = answers.judge(raw({"updated_at": at(40)}), ITEMS, a_round())
    assert found.answers["answered_at"].to_list() == [at(40)]


def test_skips_do_not_use_up_the_overlap() -> None:
    rows = [{"annotator": "a", "skips": ["harmful"]}, {"annotator": "b"}, {"annotator": "c"}]
    found = answers.judge(raw(*rows), ITEMS, a_round())
    assert found.answers["annotator"].sort().to_list() == ["b", "c"]
    assert found.skips.select("annotator", "reason").rows() == [("a", "harmful")]


def test_who_spoke_first_counts_even_if_edited_last() -> None:
    rows = [
        {"annotator": "a", "updated_at": at(50), "labels": ["negative"]},
        {"annotator": "b"},
        {"annotator": "c"},
    ]
    found = answers.judge(raw(*rows), ITEMS, a_round())
    assert sorted(found.answers.select("annotator", "label").rows()) == [("a", False), ("b", True)]
    assert found.quarantined.select("annotator", "reason").rows() == [("c", "beyond_overlap")]


def test_an_edit_replaces_and_a_reused_id_does_not() -> None:
    before = raw({"annotation_id": 5})
    pulled = raw(
        {"annotation_id": 5, "updated_at": at(30), "labels": ["negative"]},
        {"annotation_id": 5, "created_at": at(40)},  # of another project that got the same ids
    )
    found = answers.merged(before, pulled)
    assert found.select("created_at", "labels").rows() == [(at(0), ["negative"]), (at(40), ["positive"])]


def test_a_state_seen_before_keeps_the_config_that_it_was_seen_under() -> None:
    found = answers.merged(raw({"seen_config_sha256": "then"}), raw({"seen_config_sha256": "now"}))
    assert found["seen_config_sha256"].to_list() == ["then"]


def test_what_vanished_from_the_server_stays() -> None:
    assert answers.merged(raw({}), raw({}).clear()).height == 1


@given(st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 59), max_size=4), max_size=6))
def test_what_was_pulled_last_counts_whatever_its_clock_said(pulls: list[dict[int, int]]) -> None:
    known, last = raw({}).clear(), dict[int, int]()
    for pull in pulls:
        rows = [{"annotation_id": n, "created_at": at(0), "updated_at": at(second)} for n, second in pull.items()]
        known = answers.merged(known, raw(*rows) if rows else known.clear())
        last |= pull
    assert known.select("annotation_id", "updated_at").rows() == [(n, at(last[n])) for n in sorted(last)]
    assert_frame_equal(answers.merged(known, known), known)


def test_what_has_another_shape_is_left_out() -> None:
    result = [
        {"from_name": "label", "value": {"choices": ["positive"]}},
        {"from_name": "cover", "value": {"choices": ["blurred"]}},
        {"from_name": "confidence", "value": {"choices": ["2"]}},
        {"from_name": "comment", "value": {"text": ["one", "two"]}},
        {"from_name": "relation"},
    ]
    assert answers.parsed(result) == {"labels": ["positive"], "skips": [], "confidence": 2, "comment": "one\ntwo"}
