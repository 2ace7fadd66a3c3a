import polars as pl
import pytest

from m2v import schemas
from m2v.annotation import rounds
from m2v.annotation.rounds import ITEM_COLUMNS, Definition
from m2v.errors import LabelStudioError
from tests import tables
from tests.m2v.annotation.test_answers import a_round

DEFINITION = Definition("<View><Text name='text' value='$text'/></View>", "g", "blind")
MEMES = tables.memes(*({"meme_id": each, "text": each} for each in "abc"))
NO_GOLD = pl.DataFrame(schema={"meme_id": pl.String, "label": pl.Boolean})


def conflicts(**reasons: str) -> pl.DataFrame:
    rows = [{"meme_id": meme, "reason": reason} for meme, reason in reasons.items()]
    return tables.frame(schemas.CONFLICTS, rows, original=True, predicted=False, inclusion_probability=1.0)


def asked(**settings: object) -> pl.DataFrame:
    usual = {"gold": NO_GOLD, "definition": DEFINITION, "role": "annotator", "asked": set(), "pictures": {}}
    return rounds.to_ask(conflicts(a="disagreement", b="audit"), MEMES, **{**usual, **settings})  # pyright: ignore


def test_conflicts_and_the_audit_sample_are_asked() -> None:
    assert asked().select("meme_id", "kind", "gold").rows() == [("a", "conflict", None), ("b", "audit", None)]


def test_gold_items_come_along_only_with_others_and_are_never_conflicts() -> None:
    gold = pl.DataFrame({"meme_id": ["c", "a"], "label": [True, False]})
    found = asked(gold=gold)
    assert found.select("meme_id", "kind", "gold").rows()[1:] == [("b", "audit", None), ("c", "gold", True)]
    rest = set(found.filter(pl.col("kind") != "gold")["question_sha256"])
    assert asked(gold=gold, asked=rest).is_empty()


@pytest.mark.parametrize(
    "other",
    [
        Definition("<View/>", "g", "blind"),
        Definition(DEFINITION.config, "another guideline", "blind"),
        Definition(DEFINITION.config, "g", "assisted"),
    ],
)
def test_another_definition_is_another_question(other: Definition) -> None:
    same = set(asked()["question_sha256"])
    assert asked(asked=same).is_empty()
    assert asked(asked=same, definition=other).height == 2


def test_another_page_is_no_other_question() -> None:
    page = Definition("<View/>", "g", "blind")
    same = set(asked()["question_sha256"])
    assert asked(asked=same, definition=page, earlier_configs={DEFINITION.config_sha256}).is_empty()
    assert asked(definition=page, earlier_configs={DEFINITION.config_sha256}).height == 2


def test_an_adjudicator_is_asked_another_question() -> None:
    assert asked(asked=set(asked()["question_sha256"]), role="adjudicator").height == 2


def test_keys_differ_between_rounds_and_say_nothing() -> None:
    one, other = rounds.keyed(asked(), uid="1"), rounds.keyed(asked(), uid="2")
    assert set(one["item_key"]).isdisjoint(other["item_key"])
    assert one["item_key"].is_sorted()


def test_formatting_makes_no_other_config() -> None:
    assert rounds.config_sha256("<View>\n  <Text name='a' value='b'/>\n</View>") == rounds.config_sha256(
        '<View><Text value="b" name="a"></Text></View>'
    )
    with pytest.raises(LabelStudioError, match="is no XML"):
        rounds.config_sha256("<View>")


def test_a_round_without_pictures_shows_none_and_an_assisted_one_shows_the_model() -> None:
    template = (
        '<View><Image name="image" value="$image"/><View className="m2v-answer"><Choices name="label"/></View></View>'
    )
    plain = rounds.config_for(template, has_media=False, mode="blind")
    assert "$image" not in plain
    assert "$suggestion" not in plain
    assisted = rounds.config_for(template, has_media=True, mode="assisted")
    assert assisted.index("$image") < assisted.index("$suggestion") < assisted.index("m2v-answer")


def items(*memes: str) -> pl.DataFrame:
    rows = [{"item_key": f"k{meme}", "meme_id": meme, "question_sha256": meme, "kind": "conflict"} for meme in memes]
    return pl.DataFrame(rows, schema=ITEM_COLUMNS)


def answered(**labels: str) -> pl.DataFrame:
    """For each meme its answers, y or n, by annotators 0, 1, …"""
    rows = [
        {"meme_id": meme, "annotator": str(number), "label": letter == "y"}
        for meme, letters in labels.items()
        for number, letter in enumerate(letters)
    ]
    return tables.frame(schemas.HUMAN_LABELS, rows, round="fhm_hatemm_001", role="annotator", mode="blind")


def test_an_item_is_done_when_enough_answered_or_nobody_is_left() -> None:
    skips = tables.frame(
        schemas.SKIPS,
        [{"meme_id": "b", "annotator": "1"}],
        round="fhm_hatemm_001",
        reason="harmful",
        skipped_at=pl.Series(["2026-11-20"]).str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC").item(),
    )
    said = answered(a="yy", b="y", c="y")
    named = a_round(annotators=("0", "1"))
    found = rounds.coverage(items("a", "b", "c"), answers=said, skips=skips, asked=named)
    assert found.select("meme_id", "n_answers", "n_skips", "is_done").rows() == [
        ("a", 2, 0, True),
        ("b", 1, 1, True),  # one answered, one skipped, and there are only two
        ("c", 1, 0, False),
    ]
    anybody = rounds.coverage(items("a", "b"), answers=said, skips=skips, asked=a_round())
    assert anybody["is_done"].to_list() == [True, False]
    # Two people spoke: of b both, so that it waits for a third; of c one may still answer.
    about = {"answers": said, "skips": skips}
    cover = rounds.coverage(items("a", "b", "c"), **about, asked=a_round())
    assert rounds.wanting_others(cover, **about, asked=a_round()) == 1
    assert rounds.wanting_others(cover, answers=said.clear(), skips=skips.clear(), asked=a_round()) == 0


def test_narrow_votes_and_items_that_nobody_could_answer_are_left_open() -> None:
    asked_about = items("tie", "two", "all", "none")
    said = answered(tie="yn", two="yyn", all="yyy")
    assert rounds.left_open(asked_about, said, below=1)["meme_id"].to_list() == ["none", "tie"]
    assert rounds.left_open(asked_about, said, below=2)["meme_id"].to_list() == ["none", "tie", "two"]
    assert rounds.left_open(asked_about, said, below=1, min_answers=3)["meme_id"].to_list() == ["none", "tie"]
    assert rounds.left_open(asked_about, said, below=1, min_answers=4)["meme_id"].len() == 4
