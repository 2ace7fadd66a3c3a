"""What a model is asked: demonstrations and an item, as chat messages, under a target's definition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from m2v.entries.base import Entry
from m2v.entries.datasets import LabelDefinition
from m2v.entries.prompts import Prompt
from m2v.files.digests import data_sha256, text_sha256

Media = Literal["image", "video"]
Cut = Callable[[str], str]


@dataclass(frozen=True)
class Shown:
    """An item or a demonstration as a model is shown it.

    Attributes:
        text: Of the meme, or the video's transcript.
        pictures: Paths: a meme's image, or a video's frames in order; none where there is no picture.
        pictures_sha256: Of their pixels, in the same order.
        media: How the pictures are given: each as an image, or all of them as one video.
        description: Of the picture in words, where demonstrations are described instead of shown.
    """

    text: str
    pictures: tuple[str, ...] = ()
    pictures_sha256: tuple[str, ...] = ()
    media: Media = "image"
    description: str | None = None

    @property
    def parts(self) -> list[dict[str, str]]:
        """Placeholders for its pictures, as chat templates know them."""
        if self.media == "video" and self.pictures:
            return [{"type": "video"}]
        return [{"type": "image"} for _ in self.pictures]


@dataclass(frozen=True)
class Demonstration:
    """An item with the label that the target's definition gives it."""

    shown: Shown
    label: bool


@dataclass(frozen=True)
class Asked:
    """A conversation up to where the model's answer begins.

    Attributes:
        messages: For a chat template.
        pictures: Every picture in it, in order, with how it is given.
        n_before: How many messages come before the item's own.
    """

    messages: list[dict[str, Any]]
    pictures: list[Shown]
    n_before: int


def ask(
    item: Shown,
    *,
    prompt: Prompt,
    label: LabelDefinition,
    demonstrations: Sequence[Demonstration] = (),
    cut: Cut = lambda text: text,
) -> Asked:
    """Return the conversation about an item.

    A picture comes before its text, and the demonstrations before the item, so that all items share how their
    conversations begin.

    Args:
        demonstrations: In prompt order.
        cut: Shortens one text, an item's or a demonstration's; nothing else is ever cut.
    """
    if prompt.demonstrations == "described" and demonstrations:
        examples = "".join(
            prompt.example.format(
                text=cut(example.shown.text),
                description=example.shown.description or "",
                label=label.word(example.label),
            )
            for example in demonstrations
        )
        content = [{"type": "text", "text": examples}, *item.parts, _instruction(item, prompt, label, cut)]
        return Asked([{"role": "user", "content": content}], [item], 0)
    messages = []
    for example in demonstrations:
        messages.append(_turn(example.shown, prompt, label, cut))
        messages.append(answer(label.word(example.label)))
    pictures = [*(example.shown for example in demonstrations), item]
    return Asked([*messages, _turn(item, prompt, label, cut)], pictures, len(messages))


@dataclass(frozen=True)
class Question:
    """What a model is asked about each item, in words for people.

    Attributes:
        items: What it is asked about, for example ``veggie under garden``.
        knows_nothing: Its weights are random.
        words: The prompt, with ``[text]`` where an item's text stands.
        is_defined: Whether these words say what the label means.
        demonstrations: What it is shown first, as half a sentence.
    """

    model: str
    items: str
    prompt: str
    words: str
    is_defined: bool
    demonstrations: str
    knows_nothing: bool


def question(model: Entry, prompt: Prompt, label: LabelDefinition, *, items: str, demonstrations: str) -> Question:
    """Return what a model is asked about items under a definition.

    Args:
        items: What they are called.
        demonstrations: What it is shown first, as half a sentence.
    """
    return Question(
        model=model.name,
        items=items,
        prompt=prompt.name,
        words=asked(prompt, label),
        is_defined=prompt.says_definition,
        demonstrations=demonstrations,
        knows_nothing=model.knows_nothing,
    )


def asked(prompt: Prompt, label: LabelDefinition) -> str:
    """Return the prompt under a definition, with ``[text]`` where an item's text stands."""
    return _filled(prompt, label, text="[text]")


def answer(word: str) -> dict[str, Any]:
    """Return the message in which the model says the word."""
    return {"role": "assistant", "content": [{"type": "text", "text": word}]}


def request_sha256(
    item: Shown,
    *,
    prompt: Prompt,
    label: LabelDefinition,
    demonstrations: Sequence[Demonstration],
    model: dict[str, Any],
    decoding: dict[str, Any],
) -> str:
    """Return the hash of all that decides an answer: equal hashes are one request.

    Args:
        model: Which weights.
        decoding: How they are asked.
    """
    identity_of = {
        "item": identity(item),
        "prompt": prompt.model_dump(mode="json", exclude={"name", "title"}),
        "label": label.model_dump(mode="json"),
        "demonstrations": [[identity(example.shown), example.label] for example in demonstrations],
        "model": model,
        "decoding": decoding,
    }
    return data_sha256(identity_of)


def identity(shown: Shown) -> list[Any]:
    """Return what decides an answer of what is shown, without its content."""
    return [text_sha256(shown.text), list(shown.pictures_sha256), shown.media, shown.description]


def _turn(shown: Shown, prompt: Prompt, label: LabelDefinition, cut: Cut) -> dict[str, Any]:
    return {"role": "user", "content": [*shown.parts, _instruction(shown, prompt, label, cut)]}


def _instruction(shown: Shown, prompt: Prompt, label: LabelDefinition, cut: Cut) -> dict[str, str]:
    return {"type": "text", "text": _filled(prompt, label, text=cut(shown.text))}


def _filled(prompt: Prompt, label: LabelDefinition, *, text: str) -> str:
    words = {name: value.strip() for name, value in label.model_dump().items()}
    return prompt.instruction.format(text=text, **words)
