from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.annotation import voting
from m2v.entries.study import VoteRule
from m2v.errors import InvalidRows
from tests import tables


def alignment(rows: dict[str, tuple[bool, bool, str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions and answers from ``{meme: (original, predicted, answers as + and -)}``."""
    predictions = tables.predictions(
        *(
            {"meme_id": meme, "original": original, "predicted": predicted}
            for meme, (original, predicted, _) in rows.items()
        )
    )
    answers = tables.answers(
        *(
            {"meme_id": meme, "annotator": f"a{n}", "label": sign == "+"}
            for meme, (_, _, signs) in rows.items()
            for n, sign in enumerate(signs)
        )
    )
    return predictions, answers


def test_every_way_to_decide() -> None:
    predictions, answers = alignment(
        {
            "a": (True, True, ""),  # nobody looked
            "b": (False, False, ""),
            "c": (True, False, "+"),  # the two cancel each other out, one human decides
            "d": (True, False, "--"),
            "e": (True, False, "+-"),  # people are divided
            "f": (False, True, ""),  # a conflict that nobody answered
            "g": (True, True, "-"),  # people looked, and are outvoted
            "h": (True, True, "--"),  # as many people as labels
            "i": (True, True, "---"),  # people outvote both
            "j": (False, False, "-"),  # people agree
        }
    )
    expected = pl.DataFrame(
        [
            ("a", True, "agreement", 2, 0, 2),
            ("b", False, "agreement", 2, 0, 2),
            ("c", True, "humans", 3, 1, 1),
            ("d", False, "humans", 4, 2, 2),
            ("e", None, "tie", 4, 2, 0),
            ("f", None, "too_few_answers", 2, 0, 0),
            ("g", True, "majority", 3, 1, 1),
            ("h", None, "tie", 4, 2, 0),
            ("i", False, "humans", 5, 3, 1),
            ("j", False, "majority", 3, 1, 3),
        ],
        schema={name: kind for name, kind in schemas.VOTED_LABELS.columns.items() if name != "posterior"},
        orient="row",
    ).with_columns(posterior=pl.lit(None, pl.Float64))
    assert_frame_equal(voting.final_labels(predictions, answers, rule=VoteRule(min_answers=1)), expected)


def test_too_few_answers_decide_nothing_and_do_not_count() -> None:
    predictions, answers = alignment({"a": (True, False, "+"), "b": (True, False, "++"), "c": (True, True, "-")})
    votes = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=2))
    assert votes.select("label", "decided_by", "n_humans").rows() == [
        (None, "too_few_answers", 0),
        (True, "humans", 2),
        (True, "agreement", 0),
    ]


def test_people_alone_decide_where_anybody_looked() -> None:
    predictions, answers = alignment(
        {
            "a": (True, True, "-"),  # the other two are outvoted by one person
            "b": (True, False, "+-"),  # a tie, whatever the other two say
            "c": (False, True, "++-"),
            "d": (False, False, ""),
            "e": (False, True, ""),
        }
    )
    votes = voting.final_labels(predictions, answers, rule=VoteRule("people"))
    assert votes.select("meme_id", "label", "decided_by", "n_votes", "margin").rows() == [
        ("a", False, "humans", 1, 1),
        ("b", None, "tie", 2, 0),
        ("c", True, "humans", 3, 1),
        ("d", False, "agreement", 2, 2),
        ("e", None, "too_few_answers", 2, 0),
    ]


def crowd(seed: int, *, n: int = 400) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Memes with their truth, a weak dataset and model, and people: two good, three who guess when they are unsure."""
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    memes = [f"m{number:04}" for number in range(n)]

    def said(accuracy: float | np.ndarray) -> np.ndarray:
        return np.where(random.random(n) < accuracy, truth, ~truth)

    predictions = tables.predictions(
        *(
            {"meme_id": meme, "original": bool(one), "predicted": bool(other)}
            for meme, one, other in zip(memes, said(0.65), said(0.65), strict=True)
        )
    )
    rows = []
    for name, sure, unsure in (("a", 0.95, 0.95), ("b", 0.95, 0.95), *((each, 0.97, 0.5) for each in "cde")):
        is_sure = random.random(n) < 0.4
        for meme, label, degree in zip(memes, said(np.where(is_sure, sure, unsure)), is_sure, strict=True):
            rows.append({"meme_id": meme, "annotator": name, "label": bool(label), "confidence": 3 if degree else 1})
    return predictions, tables.answers(*rows), pl.Series(truth)


@pytest.mark.parametrize("seed", range(3))
def test_dawid_and_skene_weigh_votes_and_how_sure_they_were(seed: int) -> None:
    predictions, answers, truth = crowd(seed)

    def right(by: Literal["paper", "dawid_skene"], answers: pl.DataFrame = answers) -> float:
        votes = schemas.VOTED_LABELS.validate(voting.final_labels(predictions, answers, rule=VoteRule(by)))
        return float((votes["label"] == truth).mean())

    unsaid = right("dawid_skene", answers.with_columns(confidence=pl.lit(None, pl.UInt8)))
    assert right("paper") + 0.02 < unsaid < right("dawid_skene")
    # In advance nobody outweighs everybody: no posterior is 0 or 1 after one answer each.
    few = voting.final_labels(predictions, answers.filter(annotator="a").head(3), rule=VoteRule("dawid_skene"))
    assert few["posterior"].is_between(0.001, 0.999).all()


def test_posteriors_are_those_of_the_model_spelled_out() -> None:
    predictions, answers = alignment({"a": (True, False, "+"), "b": (False, False, "-"), "c": (True, True, "+")})
    answers = answers.with_columns(confidence=pl.Series([3, 1, 3], dtype=pl.UInt8))
    votes = voting.final_labels(predictions, answers, rule=VoteRule("dawid_skene"))
    positive = np.array([2 / 3, 0.01, 0.99])
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]])  # per meme: original, predicted, person
    degrees = np.array([3, 1, 3])
    for _ in range(500):
        prior = np.clip(positive.mean(), 1e-10, 1 - 1e-10)
        odds = np.log(prior) - np.log(1 - prior) + np.zeros(3)
        for voice in range(3):
            said = labels[:, voice]
            rates = [(chance @ said + 1) / (chance.sum() + 2) for chance in (positive, 1 - positive)]
            odds += np.where(said, np.log(rates[0] / rates[1]), np.log((1 - rates[0]) / (1 - rates[1])))
        for meme in range(3):
            alike = labels[:, 2] == labels[meme, 2]
            shares = [
                (chance[alike & (degrees == degrees[meme])].sum() + 1) / (chance[alike].sum() + 3)
                for chance in (positive, 1 - positive)
            ]
            odds[meme] += np.log(shares[0] / shares[1])
        positive = 1 / (1 + np.exp(-odds))
    assert votes["posterior"].to_list() == pytest.approx(positive.tolist(), abs=1e-6)


def test_an_annotator_has_one_vote_the_one_of_the_last_round() -> None:
    predictions, _ = alignment({"a": (True, False, "")})
    answers = tables.answers(
        {"meme_id": "a", "annotator": "x", "label": False, "round": "2"},
        {"meme_id": "a", "annotator": "x", "label": True, "round": "1"},
        {"meme_id": "a", "annotator": "y", "label": False, "round": "1"},
    )
    votes = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=1))
    assert votes.select("label", "n_humans").rows() == [(False, 2)]


def test_an_answer_about_an_unknown_meme_is_refused() -> None:
    predictions, _ = alignment({"a": (True, False, "")})
    with pytest.raises(InvalidRows, match=r"1 answered memes have no prediction, for example 'z'"):
        voting.final_labels(predictions, tables.answers({"meme_id": "z", "label": True}), rule=VoteRule(min_answers=1))


def judged(original: bool, predicted: bool, signs: str, min_answers: int) -> tuple[bool | None, str, int]:
    """The rule, spelled out for one meme."""
    counted = signs if len(signs) >= min_answers else ""
    if original != predicted and len(signs) < min_answers:
        return None, "too_few_answers", 0
    votes = [original, predicted, *(sign == "+" for sign in counted)]
    n_for, n_against = votes.count(True), votes.count(False)
    if n_for == n_against:
        return None, "tie", 0
    label = n_for > n_against
    unmoved = "majority" if counted else "agreement"
    decided_by = "humans" if original != predicted or label != original else unmoved
    return label, decided_by, abs(n_for - n_against)


ROWS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(st.booleans(), st.booleans(), st.text("+-", max_size=5)),
    max_size=8,
)


@given(ROWS, st.integers(1, 4), st.randoms())
def test_the_vote_is_the_rule_for_each_meme_in_any_order(
    rows: dict[str, tuple[bool, bool, str]], min_answers: int, random: Any
) -> None:
    predictions, answers = alignment(rows)
    seed = random.randrange(1000)
    votes = voting.final_labels(
        predictions.sample(fraction=1, shuffle=True, seed=seed),
        answers.sample(fraction=1, shuffle=True, seed=seed),
        rule=VoteRule(min_answers=min_answers),
    )
    schemas.VOTED_LABELS.validate(votes)
    found = {row[0]: row[1:] for row in votes.select("meme_id", "label", "decided_by", "margin").rows()}
    assert found == {meme: judged(*row, min_answers) for meme, row in rows.items()}
    assert votes["meme_id"].is_sorted()


@given(ROWS, st.integers(1, 4))
def test_turning_every_label_turns_every_vote(rows: dict[str, tuple[bool, bool, str]], min_answers: int) -> None:
    turned = {
        meme: (not original, not predicted, signs.translate({ord("+"): "-", ord("-"): "+"}))
        for meme, (original, predicted, signs) in rows.items()
    }
    one = voting.final_labels(*alignment(rows), rule=VoteRule(min_answers=min_answers))
    other = voting.final_labels(*alignment(turned), rule=VoteRule(min_answers=min_answers))
    assert_frame_equal(one.with_columns(label=~pl.col("label")), other)


@given(ROWS)
def test_one_more_answer_for_the_winner_never_changes_the_label(rows: dict[str, tuple[bool, bool, str]]) -> None:
    before = voting.final_labels(*alignment(rows), rule=VoteRule(min_answers=1))
    winners = dict(before.drop_nulls("label").select("meme_id", "label").iter_rows())
    more = {
        meme: (a, b, signs + ("+" if winners[meme] else "-")) for meme, (a, b, signs) in rows.items() if meme in winners
    }
    after = voting.final_labels(*alignment(more), rule=VoteRule(min_answers=1))
    assert dict(after.select("meme_id", "label").iter_rows()) == winners


def test_findings_name_what_one_human_decided_what_is_open_and_what_differs() -> None:
    predictions, answers = alignment(
        {"a": (True, False, "+"), "b": (True, False, "--"), "c": (True, False, ""), "d": (True, False, "+-")}
    )
    votes = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=1))
    published = pl.DataFrame({"meme_id": ["a", "b", "c", "d"], "label": [True, True, None, True]})
    alone, undecided, equal = voting.voting_findings(
        votes, predictions, answers, variant="fhm_hatemm", published=published
    )
    assert (alone.check, alone.is_fine, alone.ids) == ("humans_decide_alone", False, ("a",))
    assert alone.figures == {"n_decided_conflicts": 2, "n_decided_by_one": 1}
    assert (undecided.is_fine, undecided.ids) == (False, ("c", "d"))
    assert undecided.figures == {"n_ties": 1, "n_too_few_answers": 1}
    assert (equal.is_fine, equal.ids, equal.figures["n_equal"]) == (False, ("b", "d"), 2)


def test_findings_are_fine_where_there_is_nothing_to_find() -> None:
    predictions, answers = alignment({"a": (True, False, "++"), "b": (True, True, "")})
    votes = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=1))
    published = votes.select("meme_id", "label")
    found = voting.voting_findings(votes, predictions, answers, variant="fhm_hatemm", published=published)
    assert [finding.is_fine for finding in found] == [True, True, True]


def test_an_adjudicator_decides_and_does_not_vote() -> None:
    predictions = tables.predictions(
        {"meme_id": "a", "original": True, "predicted": False},
        {"meme_id": "b", "original": True, "predicted": False},
    )
    answers = tables.answers(
        {"meme_id": "a", "annotator": "x", "label": True},
        {"meme_id": "a", "annotator": "y", "label": False},
        {"meme_id": "a", "annotator": "judge", "label": False, "role": "adjudicator", "round": "r3"},
        {"meme_id": "a", "annotator": "judge", "label": True, "role": "adjudicator", "round": "r2"},
        {"meme_id": "b", "annotator": "x", "label": True},
    )
    found = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=1))
    assert found.select("meme_id", "label", "decided_by", "n_humans", "margin").rows() == [
        ("a", False, "adjudicator", 2, 0),
        ("b", True, "humans", 1, 1),
    ]
