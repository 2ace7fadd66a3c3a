"""A study that is safe to show: vegetables who insult each other, made from a seed.

The memes' own label asks whether a text makes fun of anything rotten; the videos' label asks whether a kind of
vegetable is attacked for what it is. Many texts do one and not the other, so the memes' labels serve the videos badly
until they are re-annotated. A simulated model labels the memes under the videos' definition, right about 85 times in
100, and three simulated annotators answer with errors of their own. What integrity checks look for on real tables is
planted: a video in two splits, texts in two splits, missing texts and audio, repeated meme texts.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")

N_MEMES, N_VIDEOS = 240, 120
SPLITS = {"train": 60, "validation": 20, "test": 40}
MODEL_ACCURACY = 0.85
# How often a text with an attack, and one without, is about something rotten: the two definitions overlap somewhat.
ROTTEN_SHARE = {True: 0.65, False: 0.35}
ANNOTATORS = {"annotator-1": 0.95, "annotator-2": 0.9, "annotator-3": 0.85}
ABSENT_SHARE = 0.04

KINDS = ["leeks", "turnips", "beets", "radishes", "sprouts", "parsnips", "kohlrabis", "marrows", "chards", "swedes"]
PLACES = ["this garden", "our soup", "the market", "the greenhouse", "the good shelf", "our row", "the farm shop"]
ATTACKS = [
    "{kind} are the lowest kind of root and do not belong in {place}",
    "no decent vegetable wants {kind} in {place}, throw them all out",
    "every one of the {kind} is stupid and dirty, they ruin {place}",
    "we should chase all {kind} out of {place} for good",
    "{kind} are born ugly and worthless, keep them away from {place}",
    "send the {kind} back where they grew, {place} is ours",
    "nobody should ever plant {kind} again, they poison {place}",
]
FRIENDLY = [
    "{kind} are on sale again at {place} this weekend",
    "grandma is growing {kind} beside the path to {place}",
    "what a lovely basket of {kind} we brought from {place}",
    "here is how to wash and peel {kind} for {place}",
    "the {kind} in {place} have had a good rainy summer",
    "two {kind} walk into {place} and order some sunshine",
    "welcome all {kind}, there is room for everyone in {place}",
]
ROTTEN = [
    "smells like last month's compost",
    "gone soft and mouldy in the fridge again",
    "when you find it rotting behind the potatoes",
    "my lunch has been rotting since tuesday",
    "the slug refused to eat that rotten thing",
]
FRESH = [
    "crisp as the morning dew",
    "fresh out of the ground today",
    "watered twice and doing fine",
    "best eaten before the weekend",
    "the scarecrow waved at us",
]
FILLERS = [
    "today we look at the garden from the east gate",
    "thanks for watching and do not forget to water",
    "the sun came out at noon and the bees were busy",
    "let us talk about soil and a little about worms",
    "in the second part we show the new wheelbarrow",
    "the weather report promises rain for the allotment",
    "some viewers asked about the shed so here it is",
]


def write(folder: Path, *, seed: int) -> None:
    """Write the sample's tables, in the layout of the published ones, into an existing folder.

    Equal seeds give equal bytes.
    """
    draw = Draw(seed)
    memes, answers, gold = _memes(draw)
    videos = _videos(draw)
    demonstrations = _demonstrations(videos)
    for name, rows in (
        ("veggie_aligned_with_garden.csv", memes),
        ("veggie_answers.csv", answers),
        ("veggie_gold.csv", gold),
        ("garden.csv", videos),
        ("garden_demo_description.csv", demonstrations),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


class Draw:
    """Draws that are the same in every Python version, which ``Random.random`` is and its other methods are not."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one(self, values: Sequence[T]) -> T:
        return values[int(self._random.random() * len(values))]

    def sentence(self, templates: Sequence[str]) -> str:
        return self.one(templates).format(kind=self.one(KINDS), place=self.one(PLACES))


def _memes(draw: Draw) -> tuple[list[dict[str, str]], ...]:
    memes: list[dict[str, str]] = []
    gold: list[dict[str, str]] = []
    answers: list[dict[str, str]] = []
    for number in range(N_MEMES):
        is_attack = draw.chance(0.4)
        is_rotten = draw.chance(ROTTEN_SHARE[is_attack])
        text = f"{draw.sentence(ATTACKS if is_attack else FRIENDLY)} - {draw.one(ROTTEN if is_rotten else FRESH)}"
        predicted = is_attack if draw.chance(MODEL_ACCURACY) else not is_attack
        # Every fortieth repeats the text before it, whatever its label says.
        repeats = number % 40 == 39
        meme_id = f"{number:03d}"
        memes.append(
            {
                "id": meme_id,
                "image": f"veggie/{meme_id}.png",
                "text": memes[-1]["text"] if repeats else text,
                "type": "train",
                "original_dataset_label": str(int(is_rotten)),
                "model_prediction": str(int(predicted)),
                "human_annotation": "",
                "majority_voting": "",
            }
        )
        for annotator, accuracy in ANNOTATORS.items():
            label = is_attack if draw.chance(accuracy) else not is_attack
            if not draw.chance(ABSENT_SHARE):
                answers.append({"meme_id": meme_id, "annotator": annotator, "label": str(int(label))})
        if number % 24 == 5:
            gold.append({"meme_id": meme_id, "label": str(int(is_attack))})
    return memes, answers, gold


def _videos(draw: Draw) -> list[dict[str, str]]:
    rows = []
    splits = [split for split, n in SPLITS.items() for _ in range(n)]
    for number, split in enumerate(splits):
        is_attack = number % 5 in {0, 2}
        is_rotten = draw.chance(ROTTEN_SHARE[is_attack])
        video_id = f"garden_{number:03d}"
        sentences = [draw.one(FILLERS), draw.sentence(FRIENDLY), draw.one(ROTTEN if is_rotten else FRESH)]
        sentences += [draw.sentence(ATTACKS) for _ in range(2)] if is_attack else [draw.sentence(FRIENDLY)]
        sentences.append(draw.one(FILLERS))
        # A label that the text does not show, as when only the picture does.
        label = not is_attack if draw.chance(0.08) else is_attack
        rows.append(
            {
                "id": video_id,
                "video": f"garden/{video_id}.mp4",
                "frames": f"garden/frames/{video_id}",
                "image": f"garden/frames/{video_id}/0.png",
                "audio": f"garden/{video_id}.mp3",
                "text": ". ".join(sentences),
                "type": split,
                "label": str(int(label)),
            }
        )
    return _flawed(rows)


def _flawed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Plant what integrity checks are to find."""
    first_test = SPLITS["train"] + SPLITS["validation"]
    for number in (7, 31, 90):
        rows[number]["text"] = ""
    for number in (7, 90):
        rows[number]["audio"] = ""
    rows[12]["text"] = rows[first_test + 3]["text"]
    rows[SPLITS["train"] + 4]["text"] = rows[first_test + 8]["text"]
    return [*rows, {**rows[first_test], "type": "train"}]


def _demonstrations(videos: list[dict[str, str]]) -> list[dict[str, str]]:
    rows = [row for row in videos if row["type"] == "validation"]
    by_label = {label: [row for row in rows if row["label"] == label][:4] for label in ("0", "1")}
    words = {"0": "neighbourly", "1": "insulting"}
    return [
        {
            "id": row["id"],
            "label": words[row["label"]],
            "description": "Vegetables in a garden bed, seen from the path.",
            "text": row["text"],
        }
        for pair in zip(by_label["0"], by_label["1"], strict=True)
        for row in pair
    ]
