"""What operators make of items and of their features."""

import numpy as np
import polars as pl
import pytest

from m2v import schemas
from m2v.entries.operators import Operator
from m2v.errors import InvalidCatalog, InvalidRows
from m2v.robustness import mixing, registry
from m2v.robustness.operated import operated

LEEK, PEA, RADISH, BEET = "leek", "pea", "radish", "beet"
LABELS = {LEEK: True, PEA: True, RADISH: False, BEET: False}


def operator(kind: str, modality: str = "text", **settings: object) -> Operator:
    given = {"name": f"{kind}-{modality}", "title": "Made", "kind": kind, "modality": modality, "label": "stays"}
    return Operator.model_validate(given | settings)


def items() -> pl.DataFrame:
    rows = [
        {"dataset": "bed", "item_id": name, "split": "test", "text": name, "text_sha256": f"#{name}", "label": label}
        for name, label in LABELS.items()
    ]
    return pl.DataFrame(rows).cast({"split": schemas.SPLITS})


def features(*, lacking: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return a text of two numbers and two frames of one number each; frames of ``lacking`` are not there."""
    rows = []
    for place, name in enumerate(LABELS):
        said = {"role": "item", "item_id": name, "split": "test", "token": 0, "time_s": None}
        rows.append({**said, "modality": "text", "part": 0, "sha256": f"#{name}", "vector": [float(place), 1.0]})
        for part in range(2):
            vector = None if name in lacking else [10.0 * place + part]
            rows.append({**said, "modality": "frames", "part": part, "sha256": None, "vector": vector})
    return pl.DataFrame(rows, schema=dict(schemas.FEATURES.columns))


def vectors(rows: pl.DataFrame, item: str, modality: str) -> list:
    return rows.filter(item_id=item, modality=modality).sort("part")["vector"].to_list()


def test_a_positive_item_gets_one_modality_of_a_negative_one_and_nothing_else_changes():
    made = operated(operator("swap"), items(), features={"bulb": features()})

    assert made.items["item_id"].to_list() == ["leek~swap-text", "pea~swap-text"]
    assert made.items["parent_id"].to_list() == [LEEK, PEA]
    assert made.items["label"].to_list() == [True, True]
    for new, parent, donor, text, digest in made.items.select(
        "item_id", "parent_id", "donor_id", "text", "text_sha256"
    ).iter_rows():
        assert donor in {RADISH, BEET}
        assert (text, digest) == (donor, f"#{donor}")
        assert vectors(made.features["bulb"], new, "text") == vectors(features(), donor, "text")
        assert vectors(made.features["bulb"], new, "frames") == vectors(features(), parent, "frames")
    schemas.FEATURES.validate(made.features["bulb"])


def test_the_mirror_gives_negative_items_a_positive_ones_modality():
    made = operated(operator("mirror", "frames"), items(), features={"bulb": features()})

    assert made.items["parent_id"].to_list() == [RADISH, BEET]
    assert set(made.items["donor_id"]) <= {LEEK, PEA}
    assert made.items["label"].to_list() == [False, False]
    assert made.items["text"].to_list() == [RADISH, BEET]


def test_every_extractor_of_a_modality_sees_the_same_donor():
    made = operated(operator("swap"), items(), features={"bulb": features(), "root": features()})
    assert made.features["bulb"].equals(made.features["root"])


def test_a_masked_item_lacks_the_modality_and_one_with_nothing_else_is_left_out():
    made = operated(operator("mask"), items(), features={"bulb": features(lacking=(PEA,))})

    assert made.items["parent_id"].to_list() == [LEEK, RADISH, BEET]
    assert made.n_left_out == 1  # of the pea nothing would be left
    assert vectors(made.features["bulb"], "leek~mask-text", "text") == [None]
    assert vectors(made.features["bulb"], "leek~mask-text", "frames") == [[0.0], [1.0]]


def test_an_item_without_the_modality_is_left_out_and_gives_none():
    made = operated(operator("swap", "frames"), items(), features={"bulb": features(lacking=(PEA, RADISH))})
    assert made.items.select("parent_id", "donor_id").rows() == [(LEEK, BEET)]
    assert made.n_left_out == 1
    nobody = operated(operator("swap", "frames"), items(), features={"bulb": features(lacking=(RADISH, BEET))})
    assert (nobody.items.height, nobody.n_left_out) == (0, 2)


@pytest.mark.parametrize("kind", ["noise", "drop"])
def test_noise_changes_the_modality_alone_as_much_as_it_says(kind: str):
    weak, strong = (
        operated(operator(kind, strength=strength), items(), features={"bulb": features()}) for strength in (0.01, 1)
    )
    moved = [
        np.abs(np.array(vectors(made.features["bulb"], f"pea~{kind}-text", "text")) - [[1.0, 1.0]]).max()
        for made in (weak, strong)
    ]
    assert moved[0] < moved[1]
    # The second number never varies, so that there is nothing to move it by.
    assert all(vector[1] == 1 for vector in strong.features["bulb"].filter(modality="text")["vector"])
    assert vectors(strong.features["bulb"], f"pea~{kind}-text", "frames") == [[10.0], [11.0]]
    known = strong.features["bulb"].filter(modality="text").select("item_id", "sha256").sort("item_id")
    assert strong.items.select("item_id", sha256="text_sha256").sort("item_id").equals(known)


@pytest.mark.parametrize("kind", ["swap", "noise", "drop"])
def test_an_items_draw_depends_on_its_id_and_the_seed_alone(kind: str):
    def made(seed: int, part: pl.DataFrame) -> list:
        settings = {} if kind == "swap" else {"strength": 0.5}
        change = operator(kind, "frames", seed=seed, **settings)
        return vectors(
            operated(change, part, features={"bulb": features()}).features["bulb"], "pea~" + change.name, "frames"
        )

    alone = items().filter(pl.col("item_id") != LEEK)
    if kind == "swap":
        assert made(0, items()) == made(0, alone)
    assert made(0, items()) == made(0, items().reverse())
    assert len({str(made(seed, items())) for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("label", "labels"),
    [("stays", [True, True, False, False]), ("flips", [False, False, True, True]), ("control", [False] * 4)],
)
def test_an_operator_says_what_becomes_of_the_label(label: str, labels: list[bool]):
    made = operated(operator("mask", label=label), items(), features={"bulb": features()})
    assert made.items["label"].to_list() == labels


def test_a_detector_that_reads_items_itself_is_shown_the_donors_text_or_none():
    swapped = operated(operator("swap"), items(), features={}).items
    assert swapped["text"].to_list() == swapped["donor_id"].to_list()
    assert operated(operator("noise"), items(), features={}).items.is_empty()  # it has no vectors to move
    shown = items().with_columns(pictures=pl.lit(["bed.png"]), pictures_sha256=pl.lit(["#"]))
    assert operated(operator("mask"), shown, features={}).items["text"].to_list() == [""] * 4


def test_training_items_are_added_in_the_share_and_with_their_features():
    train = items().with_columns(split=pl.lit("train").cast(schemas.SPLITS))
    seen = {"bulb": {"bed": features().with_columns(split=pl.lit("train").cast(schemas.SPLITS))}}
    operators = [operator("noise"), operator("mask", "frames", label="flips")]
    rows, known = mixing.added(operators, train, share=1, features=seen, seed=0)

    assert rows.head(4).equals(train)
    added = rows.tail(-4)
    assert added["item_id"].str.extract("~(.*)").to_list() == ["noise-text"] * 2 + ["mask-frames"] * 2
    of_parents = added["item_id"].str.extract("(.*)~").replace_strict(LABELS, return_dtype=pl.Boolean).to_list()
    assert added["label"].to_list() == [*of_parents[:2], *(not label for label in of_parents[2:])]
    assert set(known["bulb"]["bed"]["item_id"]) == set(rows["item_id"])
    assert rows.columns == train.columns
    schemas.FEATURES.validate(known["bulb"]["bed"])
    again, _ = mixing.added(operators, train, share=1, features=seen, seed=0)
    assert again.equals(rows)


def test_an_operator_that_adds_nothing_to_a_training_is_refused():
    with pytest.raises(
        InvalidRows, match=r"swap-sound changes none of 4 items to train on.*Leave it out of `augment:`"
    ):
        mixing.added([operator("swap", "sound")], items(), share=1, features={"bulb": {"bed": features()}}, seed=0)
    with pytest.raises(InvalidRows, match="noise-text"):  # a detector that reads texts has no vectors of them
        mixing.added([operator("noise")], items(), share=1, features={}, seed=0)


@pytest.mark.parametrize(
    ("kind", "strength", "message"),
    [("swap", 0.5, "kind swap changes a whole modality"), ("drop", 1.5, "of kind drop it is at most 1")],
)
def test_a_strength_that_a_kind_does_not_have_is_refused(kind: str, strength: float, message: str):
    with pytest.raises(InvalidCatalog, match=message):
        registry.check(operator(kind, strength=strength))
