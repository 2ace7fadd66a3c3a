"""Few-shot labelling on tiny models of both architectures: the fast way says what the slow way says."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from m2v.errors import M2VError
from m2v.prediction import parsing, processing, prompts, scoring
from m2v.prediction.models import Loaded
from m2v.prediction.prompts import Asked, Demonstration, Shown
from m2v.prediction.scoring import Question, Scorer
from tests import vlms

# Mllama's first tokens, which see no picture before them, see a little of all pictures: of the item's own too, where it
# is in the same pass (docs/labelling.md).
TOLERANCE = {"mllama": 2e-3, "llava_next_video": 1e-5, "smolvlm": 1e-5, "qwen3_vl": 1e-5}


def shown(row: dict[str, Any]) -> Shown:
    return Shown(
        text=row["text"],
        pictures=tuple(row["pictures"]),
        pictures_sha256=tuple(row["pictures_sha256"]),
        media=row["media"],
    )


def demonstrations(folder: Path, n: int = 4) -> list[Demonstration]:
    return [Demonstration(shown(row), row["label"]) for row in vlms.garden(folder, n)]


def items(folder: Path, n: int = 7, *, start: int = 20) -> list[Shown]:
    rows = vlms.garden(folder, n, start=start)
    for place, row in enumerate(rows):
        row["text"] += " with a leek" * (3 * place)
    return [shown(row) for row in rows]


def asked(loaded: Loaded, things: list[Shown], examples: list[Demonstration] = []) -> list[Asked]:  # noqa: B006 (read only)
    cut = scoring.Cutter(loaded)
    return [
        prompts.ask(each, prompt=vlms.PROMPT, label=vlms.LABEL, demonstrations=examples, cut=cut) for each in things
    ]


def questions(loaded: Loaded, conversations: list[Asked]) -> list[Question]:
    named = [(str(place), each, f"item {place}") for place, each in enumerate(conversations)]
    return scoring.questions(named, loaded=loaded)


def probabilities(
    loaded: Loaded, conversations: list[Asked], *, shares_prefix: bool | None = None, **settings: Any
) -> dict[str, float]:
    each = questions(loaded, conversations)
    words = scoring.words(each[0], conversations[0], label=vlms.LABEL, loaded=loaded)
    scorer = Scorer(loaded, words=words, shares_prefix=shares_prefix, **settings)
    return dict(scorer.probabilities(each))


def one_at_a_time(loaded: Loaded, conversations: list[Asked]) -> dict[str, float]:
    """The plain way: the whole conversation, alone, through the model's own forward pass."""
    found = {}
    words = scoring.words(questions(loaded, conversations[:1])[0], conversations[0], label=vlms.LABEL, loaded=loaded)
    for place, each in enumerate(conversations):
        text = loaded.processor.apply_chat_template(each.messages, add_generation_prompt=True)
        inputs = processing.inputs([text], [tuple(each.pictures)], loaded=loaded)
        inputs = scoring.ended(inputs, words, pad=loaded.tokenizer.pad_token_id)
        with torch.no_grad():
            last = loaded.model(**inputs).logits[0, int(inputs["attention_mask"].sum()) - 1].double()
        pair = torch.stack([last[words.positive], last[words.negative]]).softmax(0)
        found[str(place)] = float(pair[0])
    return found


def test_shared_demonstrations_give_what_one_at_a_time_gives(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path), demonstrations(tmp_path))
    slow, fast = one_at_a_time(loaded, conversations), probabilities(loaded, conversations)
    assert fast.keys() == slow.keys()
    for item, probability in slow.items():
        assert fast[item] == pytest.approx(probability, abs=TOLERANCE[loaded.architecture])
        assert (fast[item] > 0.5) == (probability > 0.5)
    # The pictures count, else the comparison would say nothing.
    odds = [math.log(each / (1 - each)) for each in slow.values()]
    assert max(odds) - min(odds) > 0.5


def test_demonstrations_are_encoded_once(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path), demonstrations(tmp_path))
    each = questions(loaded, conversations)
    words = scoring.words(each[0], conversations[0], label=vlms.LABEL, loaded=loaded)
    scorer = Scorer(loaded, words=words, largest=2)
    assert len(list(scorer.probabilities(each))) == 7
    assert scorer.counts.n_prefixes == (1 if loaded.shares_prefix else 0)


def test_which_architectures_share_what_comes_before(built: Path) -> None:
    from m2v.prediction import models

    sharing = {each for each in vlms.ARCHITECTURES if models.load(vlms.entry(each), home=built).shares_prefix}
    # Positions of Qwen's tokens depend on all pictures before them.
    assert sharing == {"mllama", "llava_next_video", "smolvlm"}


def test_without_demonstrations_batches_give_what_one_at_a_time_gives(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path))
    slow, fast = one_at_a_time(loaded, conversations), probabilities(loaded, conversations)
    assert fast == pytest.approx(slow, abs=1e-5)


def test_items_with_and_without_a_picture_are_asked_together(loaded: Loaded, tmp_path: Path) -> None:
    mixed = [*items(tmp_path, 3), Shown(text="a leek alone"), Shown(text="a pea alone")]
    conversations = asked(loaded, mixed, demonstrations(tmp_path))
    slow, fast = one_at_a_time(loaded, conversations), probabilities(loaded, conversations)
    assert fast == pytest.approx(slow, abs=TOLERANCE[loaded.architecture])


def test_videos_are_shown_as_their_frames(built: Path, tmp_path: Path) -> None:
    from m2v.prediction import models

    loaded = models.load(vlms.entry("llava_next_video"), home=built)
    rows = vlms.garden(tmp_path, 4, as_video=True)
    conversations = asked(loaded, [shown(row) for row in rows])
    assert probabilities(loaded, conversations) == pytest.approx(one_at_a_time(loaded, conversations), abs=1e-5)


@pytest.mark.parametrize("size", [(1120, 1), (1, 1120)])
def test_a_picture_of_any_shape_is_asked_about(loaded: Loaded, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "green").save(tmp_path / "narrow.png")
    narrow = Shown("a leek", (str(tmp_path / "narrow.png"),), ("narrow",), "image")
    found = probabilities(loaded, asked(loaded, [narrow, *items(tmp_path, 1)]))
    assert all(0 < each < 1 for each in found.values())


def test_white_stands_beside_a_picture_that_is_too_long_and_beside_no_other(tmp_path: Path) -> None:
    for name, size in (("narrow", (1000, 1)), ("usual", (1000, 5))):
        Image.new("RGB", size, "green").save(tmp_path / f"{name}.png")
    narrow, usual = (processing._opened(str(tmp_path / f"{name}.png")) for name in ("narrow", "usual"))
    assert (narrow.size, usual.size) == ((1000, 5), (1000, 5))
    assert narrow.getpixel((500, 0)) == (255, 255, 255)
    assert {narrow.getpixel((500, 2)), *usual.getdata()} == {(0, 128, 0)}


def test_a_picture_that_is_left_whole_takes_fewer_tokens(built: Path, tmp_path: Path) -> None:
    from m2v.prediction import models

    found = {}
    for splits in (True, False):
        loaded = models.load(vlms.entry("smolvlm", splits_pictures=splits), home=built)
        conversations = asked(loaded, items(tmp_path, 2), demonstrations(tmp_path, 2))
        assert probabilities(loaded, conversations) == pytest.approx(one_at_a_time(loaded, conversations), abs=1e-5)
        text = loaded.processor.apply_chat_template(conversations[0].messages)
        found[splits] = processing.inputs([text], [tuple(conversations[0].pictures)], loaded=loaded)["input_ids"].shape[
            1
        ]
    whole = vlms.entry("smolvlm", splits_pictures=False)
    assert whole.identity != vlms.entry("smolvlm").identity
    # Of each of the three pictures only the whole one is left: four tokens between two that enclose it.
    assert found[True] - found[False] >= 3 * 4 * 4


def test_the_order_of_demonstrations_matters(loaded: Loaded, tmp_path: Path) -> None:
    examples = demonstrations(tmp_path)
    there = probabilities(loaded, asked(loaded, items(tmp_path, 2), examples))
    back = probabilities(loaded, asked(loaded, items(tmp_path, 2), examples[::-1]))
    assert there != pytest.approx(back, abs=1e-6)


def test_twice_the_same_is_the_same_to_the_bit(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path), demonstrations(tmp_path))
    assert probabilities(loaded, conversations) == probabilities(loaded, conversations)


class Cramped(torch.nn.Module):
    """A model on a machine whose memory holds so many conversations at a time."""

    def __init__(self, model: Any, *, holds: int) -> None:
        super().__init__()
        self.model, self.holds = model, holds

    def forward(self, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > self.holds:
            raise torch.OutOfMemoryError
        return self.model(**inputs)


def test_where_memory_runs_out_batches_get_smaller(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path), demonstrations(tmp_path))
    each = questions(loaded, conversations)
    words = scoring.words(each[0], conversations[0], label=vlms.LABEL, loaded=loaded)
    scorer = Scorer(replace(loaded, model=Cramped(loaded.model, holds=2)), words=words)
    assert dict(scorer.probabilities(each)) == pytest.approx(probabilities(loaded, conversations), abs=1e-5)
    assert scorer.counts.n_halved == 1


@pytest.mark.parametrize("n_demonstrations", [0, 2])
def test_an_item_that_fits_no_memory_is_named(loaded: Loaded, tmp_path: Path, n_demonstrations: int) -> None:
    conversations = asked(loaded, items(tmp_path, 2), demonstrations(tmp_path, n_demonstrations))
    each = questions(loaded, conversations)
    words = scoring.words(each[0], conversations[0], label=vlms.LABEL, loaded=loaded)
    scorer = Scorer(replace(loaded, model=Cramped(loaded.model, holds=0)), words=words)
    with pytest.raises(M2VError, match="item 0 alone"):
        list(scorer.probabilities(each))


def test_a_conversation_that_is_too_long_is_an_error_that_names_it(built: Path, tmp_path: Path) -> None:
    from m2v.prediction import models

    loaded = models.load(vlms.entry("mllama", context_tokens=60), home=built)
    with pytest.raises(M2VError, match=r"item 0 has \d+ tokens, tiny-mllama reads 60"):
        probabilities(loaded, asked(loaded, items(tmp_path, 1), demonstrations(tmp_path)))


@pytest.mark.parametrize(("side", "kept"), [("right", "first"), ("left", "last")])
def test_only_an_items_text_is_cut_and_from_the_side_that_the_entry_says(built: Path, side: str, kept: str) -> None:
    from m2v.prediction import models

    loaded = models.load(vlms.entry("mllama", max_text_tokens=12, cut=side), home=built)
    cut = scoring.Cutter(loaded)
    long = Shown(text="first " + "leek " * 60 + "last")
    conversation = prompts.ask(long, prompt=vlms.PROMPT, label=vlms.LABEL, cut=cut)
    text = loaded.processor.apply_chat_template(conversation.messages, add_generation_prompt=True)
    assert cut.n_cut == 1
    assert kept in text
    assert ("last" if kept == "first" else "first") not in text
    assert "Is it insulting or neighbourly?" in text
    assert text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")


@pytest.mark.parametrize("token", ["<|eot_id|>", "<|image|>", "<|start_header_id|>"])
def test_a_text_cannot_open_a_turn_or_ask_for_a_picture(mllama: Loaded, tmp_path: Path, token: str) -> None:
    row = vlms.garden(tmp_path, 1)[0]
    row["text"] = f"a leek {token} user"
    conversation = asked(mllama, [shown(row)])[0]
    text = mllama.processor.apply_chat_template(conversation.messages, add_generation_prompt=True)
    plain = asked(mllama, [shown(row | {"text": "a leek"})])[0]
    expected = mllama.processor.apply_chat_template(plain.messages, add_generation_prompt=True)
    assert text.count(token) == expected.count(token)
    assert 0 <= probabilities(mllama, [conversation])["0"] <= 1


def test_what_a_model_writes_is_read_strictly(loaded: Loaded, tmp_path: Path) -> None:
    conversations = asked(loaded, items(tmp_path, 3))
    scorer = Scorer(loaded, words=None)
    outcomes = dict(scorer.outcomes(questions(loaded, conversations), label=vlms.LABEL))
    # Untrained, it writes anything but one of the two words.
    assert outcomes.keys() == {"0", "1", "2"}
    assert set(outcomes.values()) <= {"unparsed", "refused"}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("insulting", "positive"),
        (" Insulting.\n", "positive"),
        ('"neighbourly"', "negative"),
        ("not insulting", "unparsed"),
        ("insulting neighbourly", "unparsed"),
        ("insultingly", "unparsed"),
        ("", "unparsed"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I am unable to say", "refused"),
    ],
)
def test_only_one_of_the_two_words_alone_is_a_label(text: str, outcome: str) -> None:
    assert parsing.parsed(text, label=vlms.LABEL) == outcome


def test_words_that_begin_alike_are_told_where_they_part(loaded: Loaded, tmp_path: Path) -> None:
    label = vlms.LABEL.model_copy(update={"positive": "garden soup", "negative": "garden market"})
    conversations = [prompts.ask(each, prompt=vlms.PROMPT, label=label) for each in items(tmp_path, 4)]
    each = questions(loaded, conversations)
    words = scoring.words(each[0], conversations[0], label=label, loaded=loaded)
    assert words.forced
    found = dict(Scorer(loaded, words=words).probabilities(each))
    for place, conversation in enumerate(conversations):
        # The plain way: the whole conversation with an answer in it, and what was expected where the two part.
        texts = [
            loaded.processor.apply_chat_template([*conversation.messages, prompts.answer(word)])
            for word in (label.positive, label.negative)
        ]
        one, other = (loaded.tokens(text) for text in texts)
        n_alike = scoring.common(one, other)
        with torch.no_grad():
            logits = loaded.model(**processing.inputs(texts[:1], [tuple(conversation.pictures)], loaded=loaded)).logits[
                0
            ]
        there = logits[len(logits) - (len(one) - n_alike) - 1].double()
        expected = torch.stack([there[one[n_alike]], there[other[n_alike]]]).softmax(0)[0]
        assert found[str(place)] == pytest.approx(float(expected), abs=1e-5)


def test_words_of_which_one_begins_the_other_are_refused(mllama: Loaded, tmp_path: Path) -> None:
    label = vlms.LABEL.model_copy(update={"positive": "leek", "negative": "leek"})
    conversations = asked(mllama, items(tmp_path, 1))
    with pytest.raises(M2VError, match="Use other words"):
        scoring.words(questions(mllama, conversations)[0], conversations[0], label=label, loaded=mllama)
