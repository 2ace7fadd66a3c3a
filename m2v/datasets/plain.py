"""A table of memes as anybody writes one: an id, a text, a picture, a label, called as they often are."""

import re
from collections.abc import Sequence
from pathlib import Path

from m2v.datasets import csvfiles
from m2v.datasets.csvfiles import DELIMITERS, Dialect
from m2v.entries.layouts import Layout
from m2v.errors import BadInput

NAME = "plain"
# Of several columns that could be meant, the first name stands first.
SYNONYMS = {
    "label": ("label", "labels", "class", "hateful", "is_hateful", "hate", "annotation", "gold"),
    "text": ("text", "caption", "captions", "ocr", "ocr_text", "transcription", "sentence", "content"),
    "image": ("image", "img", "image_name", "image_path", "img_path", "picture", "filename", "file_name", "file"),
    "id": ("id", "meme_id", "item_id", "image_id", "uid", "key"),
    "split": ("split", "set", "partition", "subset"),
}
POSITIVE = {"1", "true", "yes", "y", "hateful", "hate", "offensive", "toxic", "harmful", "abusive", "positive"}
NEGATIVE = {"0", "false", "no", "n", "none", "normal", "neutral", "benign", "harmless", "negative"}
NEGATIVE |= {f"{no}{between}{word}" for no in ("non", "not") for between in "-_ " for word in POSITIVE}
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# An error names so many words of a column, or none; and so many of their characters.
N_WORDS, N_CHARACTERS = 8, 40


def layout(path: Path) -> Layout:
    """Return how a delimited file with a header says what its memes are.

    Without an id the picture's name is one; text or picture may be absent, the label may not.

    Raises:
        BadInput: Says which column is missing and which are there, or which word of one is not known.
    """
    delimiter, header = _header(path)
    named = {part: _column(header, names) for part, names in SYNONYMS.items()}
    for part, is_there in (
        ("label", named["label"]),
        ("text or image", named["text"] or named["image"]),
        ("id or image", named["id"] or named["image"]),
    ):
        if not is_there:
            called = ", ".join(name for each in part.split(" or ") for name in SYNONYMS[each])
            raise BadInput(path, f"has no column for {part}, called one of {called}. It has {', '.join(header)}.")
    words = {part: _words(path, delimiter, named[part]) for part in ("label", "split")}
    image, split = named["image"], named["split"]
    given = {
        "name": NAME,
        "title": f"A table of memes: {path.name}",
        "items": "memes",
        "files": [{"names": [path.name], "delimiter": delimiter, "columns": [name for name in named.values() if name]}],
        "id": {"field": named["id"]} if named["id"] else {"field": image, "path": "stem"},
        "text": {"fields": [named["text"]]} if named["text"] else {},
        "label": {"field": named["label"], "map": _labels(path, named["label"], words["label"])},
        "split": {"field": split, "map": _splits(path, split, words["split"])} if split else None,
        "media": {"image": {"field": image}} if image else {},
        "places": {"patterns": ["{name}", "images/{name}", "img/{name}"], "loose": True},
    }
    return Layout.model_validate({name: value for name, value in given.items() if value not in ({}, None)})


def _header(path: Path) -> tuple[str, list[str]]:
    """Return the delimiter that gives most columns, and their names."""
    read = {delimiter: csvfiles.header(path, dialect=Dialect(delimiter)) for delimiter in DELIMITERS}
    return max(read.items(), key=lambda item: len(item[1]))


def _column(header: Sequence[str], names: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in reversed(header)}
    return next((plain[name] for name in names if name in plain), None)


def _words(path: Path, delimiter: str, column: str | None) -> list[str]:
    if column is None:
        return []
    rows = csvfiles.rows(path, columns=[column], others=True, dialect=Dialect(delimiter))
    return sorted({row.cells[column] for row in rows})


def _labels(path: Path, column: str | None, words: Sequence[str]) -> dict[str, bool]:
    known = {word: word.strip().lower() for word in words}
    _refuse(path, column, [word for word in words if known[word] not in POSITIVE | NEGATIVE], "0 and 1, yes and no")
    return {word: plain in POSITIVE for word, plain in known.items()}


def _splits(path: Path, column: str, words: Sequence[str]) -> dict[str, str]:
    known = {word: word.strip().lower() for word in words}
    _refuse(path, column, [word for word in words if known[word] not in SPLITS], "train, validation, test")
    return {word: SPLITS[plain] for word, plain in known.items()}


def _refuse(path: Path, column: str | None, unknown: Sequence[str], known: str) -> None:
    if unknown:
        # A column of many words may hold items' texts, which no message shows.
        shown = ", ".join(repr(word[:N_CHARACTERS]) for word in unknown)
        said = shown if len(unknown) <= N_WORDS else f"{len(unknown):,} different words"
        raise BadInput(
            path,
            f"says {said}, and what that means is not known; known are {known}. Rename the words, or write a "
            "layout (docs/how-to/layout.md) that maps them.",
            column=column,
        )
