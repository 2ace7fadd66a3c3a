"""Changes of texts: what they change, how much of it, and that a seed decides which."""

from random import Random

import pytest

from m2v.robustness import texts


def drawn(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311


SAID = "The turnips ate a carrot in the garden"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (texts.leetspeak, "7h3 7urn1p5 473 4 c4rr07 1n 7h3 94rd3n"),
        (texts.spacing, "T h e t u r n i p s a t e a c a r r o t i n t h e g a r d e n"),
        (texts.emoji, "The turnips ate a 🥕 in the garden"),
    ],
)
def test_all_of_it_at_full_strength(change, expected: str) -> None:
    assert change(SAID, strength=1, draw=drawn(0)) == expected


def test_letters_that_look_alike_are_other_letters() -> None:
    changed = texts.homoglyphs(SAID, strength=1, draw=drawn(0))
    assert len(changed) == len(SAID)
    same = {old for old, new in zip(SAID, changed, strict=True) if old == new}
    assert same == set("hurntdg ")  # no Cyrillic or Greek letter looks like these
    assert not any(letter in changed for letter in texts.HOMOGLYPHS)


@pytest.mark.parametrize("change", [texts.leetspeak, texts.homoglyphs, texts.spacing])
def test_a_share_of_it_by_a_seed(change) -> None:
    half = change(SAID, strength=0.5, draw=drawn("a"))
    assert half == change(SAID, strength=0.5, draw=drawn("a"))
    assert half != change(SAID, strength=0.5, draw=drawn("b"))
    assert half not in {SAID, change(SAID, strength=1, draw=drawn("a"))}
    assert change(SAID, strength=0, draw=drawn("a")) == SAID


def test_more_of_the_same_letters_at_a_greater_strength() -> None:
    changed = [texts.leetspeak(SAID, strength=strength, draw=drawn(1)) for strength in (0.2, 0.6, 1)]
    differing = [{place for place, letter in enumerate(text) if letter != SAID[place]} for text in changed]
    assert differing[0] < differing[1] < differing[2]


def test_nothing_to_change_is_left_as_it_is() -> None:
    for change in (texts.leetspeak, texts.homoglyphs, texts.spacing, texts.emoji):
        assert change("", strength=1, draw=drawn(0)) == ""
    assert texts.emoji("nothing but verbs", strength=1, draw=drawn(0)) == "nothing but verbs"


def test_nouns_of_ones_own_and_their_plurals() -> None:
    nouns = {"turnip": "🥔"}
    assert texts.emoji(SAID, strength=1, draw=drawn(0), nouns=nouns) == "The 🥔 ate a 🥕 in the garden"
    assert texts.emoji("two tomatoes", strength=1, draw=drawn(0)) == "two 🍅"


def test_sentences_around_a_text() -> None:
    once = texts.harmless_around(SAID, strength=0.1, draw=drawn(0))
    before, after = once.split(SAID)
    assert before.strip() in texts.HARMLESS
    assert after.strip() in texts.HARMLESS
    thrice = texts.harmless_around(SAID, strength=1, draw=drawn(0))
    assert sum(sentence in thrice for sentence in texts.HARMLESS) >= 3
    assert SAID in thrice


def test_texts_about_a_text() -> None:
    assert texts.quoted(f" {SAID} ") == f"“{SAID}”"
    objection = texts.counter_speech(SAID, draw=drawn(0))
    assert f"“{SAID}”" in objection
    assert objection != f"“{SAID}”"
    assert texts.counter_speech("{text}", draw=drawn(0), sentences=["no {text}"]) == "no {text}"


def test_halves_have_every_word_once() -> None:
    assert texts.halves("one two three") == ("one two", "three")
    assert texts.halves("one") == ("one", "")
    assert texts.halves("") == ("", "")
