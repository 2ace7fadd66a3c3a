"""Changes of a text that people read past, sentences around it, and texts about it.

Each function takes the text, a ``strength`` from 0 to 1 and a ``draw``, and returns the new text. A text that a change
finds nothing to do in comes back as it was.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from random import Random

# The digits that stand for letters on message boards.
LEET = {"a": "4", "b": "8", "e": "3", "g": "9", "i": "1", "o": "0", "s": "5", "t": "7", "z": "2"}
# Cyrillic and Greek letters that look the same (Unicode Technical Standard 39, confusables).
HOMOGLYPHS = dict(zip("aceijopsxyABEHIJKMOPSTXYZ", "асеіјорѕхуАВЕНІЈКМОРЅТХУΖ", strict=True))
# Blocks of pictographs in which Unicode has added nothing since version 14, which the oldest Python that we run has, so
# that every Python knows the same nouns.
PICTOGRAPHS = (*range(0x1F300, 0x1F600), *range(0x1F900, 0x1FA00))
WORD = re.compile(r"[^\W\d_]+")
# Said before and after a text; true of any day, and about nobody.
HARMLESS = (
    "the weather report promises some rain for the afternoon.",
    "the library opens at nine and closes at six.",
    "the bus was on time today.",
    "here is how to make a pot of tea.",
    "thanks for watching and see you next week.",
    "the new shelf is made of wood.",
)
COUNTER_SPEECH = (
    "It is wrong to say this, and nobody deserves it: “{text}”",
    "Somebody wrote “{text}” and I disagree with every word of it.",
    "Please report whoever posts “{text}”. It is not true and it hurts people.",
)


def leetspeak(text: str, *, strength: float, draw: Random) -> str:
    """Return the text with that share of the letters that have one written as a digit."""
    return _letters(text, LEET | {letter.upper(): digit for letter, digit in LEET.items()}, strength, draw)


def homoglyphs(text: str, *, strength: float, draw: Random) -> str:
    """Return the text with that share of the letters that have one written as a Cyrillic or Greek letter like it."""
    return _letters(text, HOMOGLYPHS, strength, draw)


def spacing(text: str, *, strength: float, draw: Random) -> str:
    """Return the text with that share of its words of two letters and more written l i k e this."""
    return _words(text, lambda word: " ".join(word) if len(word) > 1 else None, strength, draw)


def emoji(text: str, *, strength: float, draw: Random, nouns: Mapping[str, str] | None = None) -> str:
    """Return the text with that share of the nouns that have one written as a pictograph.

    Args:
        nouns: More pictographs, or others, by noun; a plural is found by its singular too.
    """
    known = _pictographs() | {noun.lower(): sign for noun, sign in (nouns or {}).items()}
    return _words(text, lambda word: _sign(word.lower(), known), strength, draw)


def harmless_around(text: str, *, strength: float, draw: Random, sentences: Sequence[str] = HARMLESS) -> str:
    """Return the text between harmless sentences: at strength 1 three before it and three after it, at least one."""
    n = max(1, round(3 * strength))
    before, after = (_drawn(sentences, n, draw) for _ in range(2))
    return " ".join([*before, text, *after])


def harmless(draw: Random, *, sentences: Sequence[str] = HARMLESS) -> str:
    """Return two harmless sentences and nothing else."""
    return " ".join(_drawn(sentences, 2, draw))


def quoted(text: str) -> str:
    """Return the text in quotation marks."""
    return f"“{text.strip()}”"


def counter_speech(text: str, *, draw: Random, sentences: Sequence[str] = COUNTER_SPEECH) -> str:
    """Return a text that quotes another one and objects to it.

    Args:
        sentences: Each with ``{text}``, where the other one stands.
    """
    return _drawn(sentences, 1, draw)[0].replace("{text}", text.strip())


def halves(text: str) -> tuple[str, str]:
    """Return the first and the second half of the text's words."""
    words = text.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle]), " ".join(words[middle:])


def _letters(text: str, others: Mapping[str, str], strength: float, draw: Random) -> str:
    letters = list(text)
    for place in _chosen([place for place, letter in enumerate(letters) if letter in others], strength, draw):
        letters[place] = others[letters[place]]
    return "".join(letters)


def _words(text: str, other: Callable[[str], str | None], strength: float, draw: Random) -> str:
    """Return the text with a share of the words that have another form in that form."""
    there = [(match.span(), form) for match in WORD.finditer(text) if (form := other(match.group())) is not None]
    for place in sorted(_chosen(range(len(there)), strength, draw), reverse=True):
        (start, end), form = there[place]
        text = f"{text[:start]}{form}{text[end:]}"
    return text


def _chosen(places: Sequence[int], strength: float, draw: Random) -> list[int]:
    """Return that share of the places, at least one of any. Equal draws at a greater strength choose these and more."""
    # random() is the same in every Python version, which shuffle() is not.
    order = sorted((draw.random(), place) for place in places)
    n = min(len(order), max(1, round(strength * len(order)))) if strength > 0 else 0
    return [place for _, place in order[:n]]


def _drawn(sentences: Sequence[str], n: int, draw: Random) -> list[str]:
    return [sentences[place] for place in _chosen(range(len(sentences)), n / len(sentences), draw)]


def _pictographs() -> dict[str, str]:
    """Return the pictographs whose name is one word, by that word."""
    named = {unicodedata.name(chr(code), "").lower(): chr(code) for code in PICTOGRAPHS}
    return {name: sign for name, sign in named.items() if name.isalpha()}


def _sign(noun: str, known: Mapping[str, str]) -> str | None:
    """Return a noun's pictograph, also of a regular plural; None where it has none."""
    singulars = [noun, *(noun.removesuffix(ending) for ending in ("s", "es") if noun.endswith(ending))]
    return next((known[form] for form in singulars if form in known), None)
