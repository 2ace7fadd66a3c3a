"""Memes of the sample suite: each attacks a vegetable or not, is about rot or not, names a shop or not.

These three have nothing to do with each other: every combination has as many memes. They carry five tasks, of which two
pairs ask the opposite of each other. Whoever ignores the definition gives both tasks of a pair the same answers, is
right in one as often as wrong in the other, and so is above chance in at most one of them.
"""

import csv
import itertools
from pathlib import Path

from m2v.datasets.sample import ATTACKS, FRESH, FRIENDLY, KINDS, ROTTEN, Draw

N_PER_COMBINATION = 10
SHOPS = ["the market", "the farm shop"]
GROUNDS = ["this garden", "the greenhouse", "our row"]
FILE = "veggie_tasks.csv"


def write(folder: Path, *, seed: int) -> None:
    """Write the memes with their facets into an existing folder; equal seeds give equal bytes."""
    draw = Draw(seed)
    combinations = list(itertools.product((True, False), repeat=3)) * N_PER_COMBINATION
    rows = []
    for number, (is_attack, is_rotten, is_shop) in enumerate(combinations):
        sentence = draw.one(ATTACKS if is_attack else FRIENDLY)
        told = sentence.format(kind=draw.one(KINDS), place=draw.one(SHOPS if is_shop else GROUNDS))
        rows.append(
            {
                "id": f"{number:03d}",
                "text": f"{told} - {draw.one(ROTTEN if is_rotten else FRESH)}",
                "split": "test",
                "attack": _word(is_attack),
                "rot": _word(is_rotten),
                "shop": _word(is_shop),
            }
        )
    with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _word(is_so: bool) -> str:
    return "yes" if is_so else "no"
