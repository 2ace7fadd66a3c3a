"""Operators on items themselves: a video's text and its frames become others, before any detector looks at them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from PIL import Image

from m2v.entries.operators import Operator
from m2v.errors import Unusable
from m2v.robustness import films, pictures, texts
from m2v.robustness.draws import draw


@dataclass(frozen=True, eq=False)
class Item:
    """What a detector may see of an item.

    Attributes:
        frames: RGB; empty where nothing is decoded.
    """

    item_id: str
    text: str
    frames: tuple[Image.Image, ...] = ()


# Takes an item, a donor of the other label, and what the operator says; returns the new item.
Change = Callable[[Item, Item, Operator, Random], Item]


def changed(operator: Operator, item: Item, *, donor: Item) -> Item:
    """Return the new item that an operator makes of one, with the id of the old one.

    Args:
        donor: An item of the other label, whose frames some operators show.

    Raises:
        Unusable: Nothing in the item can be changed so: no such letters or nouns, no text, no frame, or a text that
            cannot be written into its frames.
    """
    new = CHANGES[operator.kind](item, donor, operator, draw(operator.seed, item.item_id, operator.kind))
    if new.text == item.text and new.frames == item.frames:
        raise Unusable(f"{operator.name} finds nothing to change in {item.item_id}.")
    return new


def _of_text(change: Callable[..., str]) -> Change:
    def apply(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
        _require_text(item)
        return replace(item, text=change(item.text, strength=operator.strength, draw=numbers))

    return apply


def _of_frames(change: Callable[..., Image.Image]) -> Change:
    def apply(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
        _require_frames(item)
        # Every frame alike: the same side to be turned to, the same spots.
        state = numbers.getstate()
        frames = []
        for frame in item.frames:
            numbers.setstate(state)
            frames.append(change(frame, strength=operator.strength, draw=numbers))
        return replace(item, frames=tuple(frames))

    return apply


def _emoji(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    _require_text(item)
    new = texts.emoji(item.text, strength=operator.strength, draw=numbers, nouns=operator.nouns)
    return replace(item, text=new)


def _counter_speech(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    _require_text(item)
    return replace(item, text=texts.counter_speech(item.text, draw=numbers))


def _neutral(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    """Return a harmless text over a negative item's frames."""
    return replace(item, text=texts.harmless(numbers), frames=donor.frames)


def _text_in_picture(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    return replace(item, text="", frames=_written(item.frames, item.text, operator))


def _half_and_half(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    said, shown = texts.halves(item.text)
    return replace(item, text=said, frames=_written(item.frames, shown, operator))


def _quotation(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    """Return the text in quotation marks over a negative item's frames, and in them."""
    quoted = texts.quoted(item.text)
    return replace(item, text=quoted, frames=_written(donor.frames, quoted, operator))


def _harmless_frames(item: Item, donor: Item, operator: Operator, numbers: Random) -> Item:
    _require_frames(item)
    return replace(item, frames=tuple(films.harmless_frames(item.frames, strength=operator.strength, draw=numbers)))


def _written(frames: Sequence[Image.Image], text: str, operator: Operator) -> tuple[Image.Image, ...]:
    """Return frames that show a text's words one share after the other, as subtitles do."""
    if not frames or not text.strip():
        raise Unusable(f"{operator.name} needs a text and a picture to write it into.")
    font = operator.folder / operator.font if operator.font else None
    shares = pictures.shares(text, len(frames))
    return tuple(
        pictures.written(frame, share, font=font) if share else frame
        for frame, share in zip(frames, shares, strict=True)
    )


def _require_text(item: Item) -> None:
    if not item.text.strip():
        raise Unusable(f"{item.item_id} has no text.")


def _require_frames(item: Item) -> None:
    if not item.frames:
        raise Unusable(f"{item.item_id} has no frame.")


CHANGES: Mapping[str, Change] = {
    "leetspeak": _of_text(texts.leetspeak),
    "homoglyphs": _of_text(texts.homoglyphs),
    "spacing": _of_text(texts.spacing),
    "harmless-around": _of_text(texts.harmless_around),
    "emoji": _emoji,
    "counter-speech": _counter_speech,
    "neutral": _neutral,
    "text-in-picture": _text_in_picture,
    "half-and-half": _half_and_half,
    "quotation": _quotation,
    "blur": _of_frames(pictures.blur),
    "low-contrast": _of_frames(pictures.low_contrast),
    "rotation": _of_frames(pictures.rotation),
    "dense-background": _of_frames(pictures.dense_background),
    "frame": _of_frames(pictures.frame),
    "film": _of_frames(films.filmed),
    "harmless-frames": _harmless_frames,
}


def opened(paths: Sequence[Path]) -> tuple[Image.Image, ...]:
    """Return pictures in RGB."""
    found = []
    for path in paths:
        with Image.open(path) as picture:
            found.append(picture.convert("RGB"))
    return tuple(found)
