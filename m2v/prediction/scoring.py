"""How a model's answer is read: the probability of two words from one forward pass, or a generated word.

Conversations about many items begin alike: with the demonstrations. That part is computed once and its cache is given
to every batch, which ends with the item's own picture and text. The split is at the item's picture, whose placeholder
is a token of its own in every tokenizer, so that both parts have the tokens of the whole.
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from m2v.entries.datasets import LabelDefinition
from m2v.errors import M2VError
from m2v.prediction import parsing, processing
from m2v.prediction.models import Loaded, refuse_long
from m2v.prediction.prompts import Asked, Shown, answer

LARGEST_BATCH = 64
FIRST_BATCH = 4


@dataclass(frozen=True)
class Question:
    """A conversation as text, ready for a processor.

    Attributes:
        item: Its key.
        name: What it is called in errors.
        before: Up to the item's own picture, or up to its own message where it has none.
        after: The rest, up to where the answer begins.
        pictures_before, pictures: Of the two parts.
        n_tokens: Of ``after`` without its pictures; batches are made by it.
    """

    item: str
    name: str
    before: str
    after: str
    pictures_before: tuple[Shown, ...]
    pictures: tuple[Shown, ...]
    n_tokens: int

    @property
    def text(self) -> str:
        """All of it."""
        return self.before + self.after

    @property
    def all_pictures(self) -> tuple[Shown, ...]:
        """Of all of it."""
        return (*self.pictures_before, *self.pictures)


@dataclass(frozen=True)
class Batch:
    """Questions that are asked together.

    Attributes:
        before: What all of them begin with and what is computed once; empty where nothing is.
    """

    before: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Words:
    """Where the two answers part.

    Attributes:
        n_dropped: Tokens at the end of a question that merge with the answer's first letters.
        forced: Tokens that both answers begin with, in the place of those.
        positive, negative: The first token in which they differ.
    """

    n_dropped: int
    forced: tuple[int, ...]
    positive: int
    negative: int


@dataclass
class Counts:
    """What happened beside the answers."""

    n_cut: int = 0
    n_prefixes: int = 0
    n_halved: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------- questions


class Cutter:
    """Shortens texts to ``max_tokens`` of a tokenizer, from the side that the entry names, and counts them.

    Special tokens that stand in a text as if a user could write them are broken up first: they must not open a turn or
    ask for an image.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.tokenizer, self.entry = loaded.tokenizer, loaded.entry
        special = {str(token) for token in self.tokenizer.get_added_vocab()} | set(loaded.media_tokens)
        self._special = re.compile("|".join(re.escape(token) for token in sorted(special, key=len, reverse=True)))
        self.n_cut = 0

    def __call__(self, text: str) -> str:
        """Return the text, shortened where it is too long."""
        text = self._special.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
        tokenised = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = tokenised["offset_mapping"]
        excess = len(spans) - self.entry.max_text_tokens
        if excess <= 0:
            return text
        self.n_cut += 1
        return text[: spans[-excess][0]] if self.entry.cut == "right" else text[spans[excess][0] :]


def questions(asked: Iterable[tuple[str, Asked, str]], *, loaded: Loaded) -> list[Question]:
    """Conversations as text, split where they stop being alike.

    Args:
        asked: Key, conversation, and what the item is called in errors.
    """
    return [_question(item, question, name, loaded) for item, question, name in asked]


def _question(item: str, asked: Asked, name: str, loaded: Loaded) -> Question:
    template = loaded.processor.apply_chat_template
    text = template(asked.messages, add_generation_prompt=True)
    *shown_before, own = asked.pictures
    if own.pictures:
        # The last placeholder of the whole conversation is the item's last picture; it may have several.
        n_own = len(own.parts)
        places = [match.start() for match in re.finditer("|".join(map(re.escape, loaded.media_tokens)), text)]
        split = places[-n_own]
    else:
        split = len(template(asked.messages[: asked.n_before])) if asked.n_before else 0
    before, after = text[:split], text[split:]
    n_tokens = len(loaded.tokens(after))
    return Question(item, name, before, after, tuple(shown_before), (own,) if own.pictures else (), n_tokens)


def words(question: Question, asked: Asked, *, label: LabelDefinition, loaded: Loaded) -> Words:
    """Where the tokens of the two answers part, in this model's way of writing a conversation.

    Raises:
        M2VError: They do not part: one word is all of the other's tokens.
    """
    template = loaded.processor.apply_chat_template

    def tokens(text: str) -> list[int]:
        return loaded.tokens(text[len(question.before) :])

    open_end = tokens(question.text)
    answers = [tokens(template([*asked.messages, answer(word)])) for word in (label.positive, label.negative)]
    n_common = common(*answers)
    if n_common >= min(map(len, answers)):
        raise M2VError(
            f"{loaded.entry.name} writes {label.positive!r} and {label.negative!r} so that one is the beginning of the "
            "other; its answer cannot be told. Use other words in the target's YAML."
        )
    kept = min(common(open_end, answers[0]), n_common)
    n_dropped = len(open_end) - kept
    if n_dropped > 4:
        raise M2VError(
            f"The chat template of {loaded.entry.name} writes an open question otherwise than an answered one."
        )
    return Words(n_dropped, tuple(answers[0][kept:n_common]), answers[0][n_common], answers[1][n_common])


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


# ------------------------------------------------------------------------------------------------------------ scoring


class Scorer:
    """Asks a model about items in batches that begin alike.

    Args:
        words: What to score; None where the model is only to write.
        shares_prefix: False computes every conversation whole, which gives the same labels and takes longer.
        largest: Batch; where memory runs out, a batch is asked in halves.
    """

    def __init__(
        self, loaded: Loaded, *, words: Words | None, shares_prefix: bool | None = None, largest: int = LARGEST_BATCH
    ) -> None:
        self.loaded, self.words, self.largest = loaded, words, largest
        self.shares_prefix = loaded.shares_prefix if shares_prefix is None else shares_prefix
        self.counts = Counts()
        self._before, self._shared, self._ceiling = "", None, largest

    def plan(self, asked: Iterable[Question]) -> list[Batch]:
        """Batches of questions that begin alike, or of any where the model is to write; short ones first."""
        shares = self.shares_prefix and self.words is not None
        return batches(asked, loaded=self.loaded, shares_prefix=shares, largest=self.largest)

    def probabilities(self, asked: Sequence[Question]) -> Iterator[tuple[str, float]]:
        """Yield the positive word's probability against the negative one's, by item, as batches are done."""
        yield from self.scored(self.plan(asked))

    def scored(self, planned: Iterable[Batch]) -> Iterator[tuple[str, float]]:
        """Yield the same for batches that were planned, here or elsewhere."""
        for batch in planned:
            if batch.before != self._before:
                # The one before is freed first.
                self._shared, self._ceiling = None, self.largest
                self._shared = self._prefix(batch.questions[0]) if batch.before else None
                self._before = batch.before
            for part in self._fitting(batch.questions, lambda part: self._forward(part, self._shared)):
                yield from part

    def outcomes(self, asked: Sequence[Question], *, label: LabelDefinition) -> Iterator[tuple[str, parsing.Outcome]]:
        """Yield what the model says when it writes, by item, as batches are done; greedy, so always the same."""
        yield from self.written(self.plan(asked), label=label)

    def written(self, planned: Iterable[Batch], *, label: LabelDefinition) -> Iterator[tuple[str, parsing.Outcome]]:
        """Yield the same for batches that were planned, here or elsewhere."""
        for batch in planned:
            for part in self._fitting(batch.questions, self._generate):
                for item, text in part:
                    yield item, parsing.parsed(text, label=label)

    def _fitting(self, batch: Sequence[Question], run: Callable[[Sequence[Question]], Any]) -> Iterator[Any]:
        """Yield a batch in as few parts as memory allows."""
        start = 0
        while start < len(batch):
            part = batch[start : start + self._ceiling]
            try:
                done = run(part)
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise self._no_memory(part[0]) from None
                self._ceiling = max(1, len(part) // 2)
                self.counts.n_halved += 1
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            yield done
            start += len(part)

    def _no_memory(self, question: Question) -> M2VError:
        return M2VError(
            f"{self.loaded.entry.name} has no memory left for the conversation about {question.name} alone. Take fewer "
            "demonstrations or frames, or a larger accelerator."
        )

    @torch.no_grad()  # not inference_mode, whose tensors ZeRO-3 cannot train on afterwards
    def _prefix(self, question: Question) -> Any:
        """Return the cache of what comes before the items' own pictures."""
        self.counts.n_prefixes += 1
        inputs = self._inputs([question.before], [question.pictures_before], is_beginning=True)
        try:
            cache = self.loaded.model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        except torch.OutOfMemoryError:
            raise self._no_memory(question) from None
        if self.loaded.architecture == "mllama":
            # A token attends to the last picture before it only, so the items' tokens never see the demonstrations'.
            from transformers.cache_utils import DynamicLayer

            for place in self.loaded.config.text_config.cross_attention_layers:
                cache.layers[place] = DynamicLayer()
        return cache

    @torch.no_grad()
    def _forward(self, batch: Sequence[Question], prefix: Any) -> list[tuple[str, float]]:
        if prefix is None:
            texts, pictures = [question.text for question in batch], [question.all_pictures for question in batch]
        else:
            texts, pictures = [question.after for question in batch], [question.pictures for question in batch]
        inputs = self._inputs(texts, pictures, is_beginning=prefix is None)
        assert self.words
        inputs = ended(inputs, self.words, pad=self.loaded.tokenizer.pad_token_id)
        lengths = inputs["attention_mask"].sum(1)  # (batch,)
        n_before = prefix.get_seq_length() if prefix is not None else 0
        refuse_long(self.loaded.entry, (lengths + n_before).tolist(), [question.name for question in batch])
        if prefix is not None:
            mask = inputs["attention_mask"]
            positions = torch.arange(mask.shape[1], device=mask.device) + n_before
            inputs["attention_mask"] = torch.cat([mask.new_ones(len(batch), n_before), mask], dim=1)
            inputs["position_ids"] = positions.expand(len(batch), -1)
            cache = copy.copy(prefix)
            cache.layers = [_for_all(layer, len(batch)) for layer in prefix.layers]
            inputs |= {"past_key_values": cache, "use_cache": True}
        ends, places = torch.unique(lengths - 1, return_inverse=True)
        logits = self.loaded.model(**inputs, logits_to_keep=ends).logits  # (batch, ends, words)
        last = logits[torch.arange(len(batch), device=logits.device), places].float()
        leads = (last[:, self.words.positive] - last[:, self.words.negative]).double()
        return list(zip([question.item for question in batch], leads.sigmoid().tolist(), strict=True))

    @torch.no_grad()
    def _generate(self, batch: Sequence[Question]) -> list[tuple[str, str]]:
        tokenizer = self.loaded.tokenizer
        tokenizer.padding_side = "left"
        try:
            texts, pictures = [question.text for question in batch], [question.all_pictures for question in batch]
            inputs = self._inputs(texts, pictures, is_beginning=True)
        finally:
            tokenizer.padding_side = "right"
        generated = self.loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=parsing.MAX_NEW_TOKENS, pad_token_id=tokenizer.pad_token_id
        )
        replies = tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return list(zip([question.item for question in batch], replies, strict=True))

    def _inputs(
        self, texts: Sequence[str], pictures: Sequence[Sequence[Shown]], *, is_beginning: bool
    ) -> dict[str, Any]:
        tensors = processing.inputs(texts, pictures, loaded=self.loaded, is_beginning=is_beginning)
        return {name: tensor.to(self.loaded.device) for name, tensor in tensors.items()}


def batches(
    asked: Iterable[Question], *, loaded: Loaded, shares_prefix: bool | None = None, largest: int = LARGEST_BATCH
) -> list[Batch]:
    """Questions that can be asked together: alike in their beginning and in how many pictures they have, short first.

    Batches grow, so that memory that is too small is found out early. Which question is in which batch follows from
    the questions alone, wherever they are asked, because a batch's padding moves the last digits of its answers.

    Args:
        shares_prefix: What they begin with is computed once; default: where the architecture allows.
    """
    shares = loaded.shares_prefix if shares_prefix is None else shares_prefix
    # Nothing is shared with an item that has no picture, nor of a beginning that has none: Mllama's tokens see the last
    # picture before them, and where there is none a little of all of them, the item's own too.
    needs_picture = loaded.architecture == "mllama"
    groups: dict[tuple[str, int, int], list[Question]] = {}
    for question in asked:
        is_shared = shares and (not needs_picture or bool(question.pictures_before and question.pictures))
        alike = (
            question.before if is_shared else "",
            len(question.pictures_before),
            sum(len(p.parts) for p in question.pictures),
        )
        groups.setdefault(alike, []).append(question)
    chosen = []
    for (before, _, _), group in groups.items():
        ordered, start, size = sorted(group, key=_length), 0, min(FIRST_BATCH, largest)
        while start < len(ordered):
            # Of one alone nothing is shared.
            chosen.append(Batch(before if len(group) > 1 else "", tuple(ordered[start : start + size])))
            start, size = start + size, min(2 * size, largest)
    return chosen


def _length(question: Question) -> int:
    return question.n_tokens


def ended(inputs: dict[str, Any], answers: Words, *, pad: int) -> dict[str, Any]:
    """Return inputs whose rows end with the tokens that both answers begin with."""
    if not answers.n_dropped and not answers.forced:
        return inputs
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    shift = len(answers.forced) - answers.n_dropped
    width = ids.shape[1] + max(shift, 0)
    lengths = mask.sum(1)
    columns = torch.arange(width, device=ids.device)
    grown = torch.nn.functional.pad(ids, (0, width - ids.shape[1]), value=pad)
    starts = lengths - answers.n_dropped
    for offset, token in enumerate(answers.forced):
        grown[torch.arange(len(ids)), starts + offset] = token
    new_mask = (columns < (lengths + shift).unsqueeze(1)).to(mask.dtype)
    grown = torch.where(new_mask.bool(), grown, pad)
    ended = {**inputs, "input_ids": grown, "attention_mask": new_mask}
    if "mm_token_type_ids" in inputs:
        # 0 is text, which the new ones are.
        ended["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, width - ids.shape[1]))
    if "cross_attention_mask" in inputs:
        # (batch, tokens, pictures, tiles): a new token sees what the one before it sees.
        seen = inputs["cross_attention_mask"]
        source = torch.minimum(columns.expand(len(ids), -1), (starts - 1).unsqueeze(1))
        ended["cross_attention_mask"] = seen[torch.arange(len(ids)).unsqueeze(1), source]
    return ended


def _for_all(layer: Any, n: int) -> Any:
    """Return a layer of a cache of one conversation as that of ``n``; nothing is copied until something is added."""
    mine = copy.copy(layer)
    if layer.is_initialized:
        mine.keys, mine.values = (states.expand(n, -1, -1, -1) for states in (layer.keys, layer.values))
    return mine
