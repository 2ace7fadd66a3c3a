"""Tasks of a suite: their labels by a mapping, scores of answers, and models that ignore the definition."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from m2v import catalog, schemas
from m2v.datasets import readers, sources
from m2v.entries.datasets import LabelDefinition
from m2v.entries.suites import FacetMapping, Suite, SuiteTask
from m2v.errors import InvalidRows
from m2v.evaluation.suites import Asked, chance, findings, is_above_chance, labelled, results, summary
from tests import tables

WORDS = LabelDefinition(positive="rude", negative="nice", positive_definition="Insults.", negative_definition="Not.")


def task(name: str = "bed", **settings: object) -> SuiteTask:
    return SuiteTask.model_validate({"name": name, "dataset": "beets", "label": WORDS, **settings})


def suite(*tasks: SuiteTask) -> Suite:
    return Suite(name="beds", title="Beds", tasks=tasks)


def memes(*rows: tuple[str, bool], split: str = "test") -> pl.DataFrame:
    listed = [{"meme_id": meme, "label": label} for meme, label in rows]
    return tables.frame(schemas.MEMES, listed, split=split, text="", text_sha256="")


def answers(outcomes: Mapping[str, str]) -> pl.DataFrame:
    listed = [{"meme_id": meme, "outcome": outcome} for meme, outcome in outcomes.items()]
    return tables.frame(schemas.SUITE_ANSWERS, listed, request_sha256="")


def facets(*rows: tuple[str, str]) -> pl.DataFrame:
    return tables.frame(schemas.FACETS, [{"item_id": item, "value": value} for item, value in rows], facet="bed")


def test_a_mapping_makes_labels_of_facets_and_leaves_out_what_it_does_not_say() -> None:
    items = memes(("m1", False), ("m2", False), ("m3", False), ("m4", False), ("m5", False))
    said = facets(("m1", "sunny"), ("m2", "shady"), ("m3", "dry"), ("m4", "sunny"), ("m4", "shady"))

    exact = task(mapping=FacetMapping(facet="bed", positive=("sunny",), negative=("shady",)))
    others = task(mapping=FacetMapping(facet="bed", positive=("sunny",)))
    #           m3 is neither, m4 both, and nothing is said of m5
    assert labelled(exact, memes=items, facets=said, suite="beds").rows() == [("m1", True), ("m2", False)]
    assert labelled(others, memes=items, facets=said, suite="beds").rows() == [
        ("m1", True),
        ("m2", False),
        ("m3", False),
        ("m4", True),
    ]


def test_a_task_without_items_and_a_wrong_value_name_what_there_is() -> None:
    one = memes(("m1", True))
    said = facets(("m1", "sunny"), ("m9", "shady"))
    for words, message in (
        (
            {"positive": ["suny"]},
            "suite beds, task bed: the facet 'bed' of beets never has the value 'suny'; it has shady",
        ),
        ({"positive": ["sunny"], "negative": ["x"]}, "never has the value 'x'; it has shady, sunny"),
    ):
        with pytest.raises(InvalidRows, match=message):
            labelled(task(mapping={"facet": "bed", **words}), memes=one, facets=said, suite="beds")
    with pytest.raises(InvalidRows, match="never has the value 'sunny'; it has none"):
        labelled(task(mapping={"facet": "soil", "positive": ["sunny"]}), memes=one, facets=said, suite="beds")
    shady = task(mapping={"facet": "bed", "positive": ["shady"], "negative": ["shady"]})
    with pytest.raises(InvalidRows, match="no item of the split 'test' of beets has one of the values shady, shady"):
        labelled(shady, memes=one, facets=said, suite="beds")
    with pytest.raises(InvalidRows, match=r"beets has no item in its split 'test'; it has train"):
        labelled(task(), memes=memes(("m1", True), split="train"), facets=None, suite="beds")


def test_what_is_neither_word_is_wrong_and_counted() -> None:
    one = task(metric="accuracy")
    items = memes(*((f"m{number}", number < 3) for number in range(6))).select("meme_id", "label")
    said = answers(
        {"m0": "positive", "m1": "refused", "m2": "unparsed", "m3": "negative", "m4": "refused", "m5": "positive"}
    )
    row = results(suite(one), [Asked("radish", one, one, items, said)]).row(0, named=True)

    assert (row["n_items"], row["n_positive"], row["n_refused"], row["n_unparsed"]) == (6, 3, 2, 1)
    assert row["value"] == 2 / 6
    assert row["chance"] == 0.5
    assert row["low"] < row["value"] < row["high"]
    assert (row["is_transfer"], row["n_changed"]) == (False, None)


def test_an_item_without_an_answer_is_an_error() -> None:
    one = task()
    items = memes(("m0", True), ("m1", False)).select("meme_id", "label")
    with pytest.raises(InvalidRows, match="1 items of bed have no answer, for example 'm1'"):
        results(suite(one), [Asked("radish", one, one, items, answers({"m0": "positive"}))])


def test_of_one_label_only_accuracy_is_scored() -> None:
    items = memes(("m0", True), ("m1", True)).select("meme_id", "label")
    said = answers({"m0": "positive", "m1": "negative"})
    for metric, value in (("accuracy", 0.5), ("macro_f1", None), ("f1", None)):
        one = task(metric=metric)
        row = results(suite(one), [Asked("radish", one, one, items, said)]).row(0, named=True)
        assert (row["value"], row["low"] is None, row["chance"] is None) == (value, value is None, value is None)
        assert not is_above_chance(row)


def test_chance_is_what_needs_no_look_at_the_items() -> None:
    labels = np.array([True, False, False, False])
    assert (chance(labels, "accuracy"), chance(labels, "f1"), chance(labels, "macro_f1")) == (0.75, 0.4, 0.5)


# The sample suite itself.
Model = Callable[[SuiteTask, dict[str, str]], bool]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, pl.DataFrame, pl.DataFrame]:
    """Return the sample suite, its memes and their facets."""
    entries = catalog.load()
    dataset = entries.memes["veggie-tasks"]
    files = sources.find(entries.sources["sample-suite"], home=tmp_path_factory.mktemp("home"))
    rows = readers.table(dataset, readers.items(dataset, files=files))
    parts = readers.parts(dataset, files=files, ids=set(rows["meme_id"]))
    said = pl.DataFrame(parts.facets, schema=dict(schemas.FACETS.columns), orient="row")
    return entries.suites["sample-suite"], rows, said


def asked(sample: tuple[Suite, pl.DataFrame, pl.DataFrame], model: Model) -> pl.DataFrame:
    """Return the results of a model that is a rule about a task's definition and a meme's facets."""
    of, rows, said = sample
    by_item = {
        str(item): dict(found.select("facet", "value").iter_rows()) for (item,), found in said.group_by("item_id")
    }
    given = []
    for scored in of.tasks:
        items = labelled(scored, memes=rows, facets=said, suite=of.name)
        for definition in of.tasks:
            called = {item: "positive" if model(definition, about) else "negative" for item, about in by_item.items()}
            given.append(Asked("radish", scored, definition, items, answers(called)))
    return results(of, given)


def above(rows: pl.DataFrame) -> list[str]:
    return [row["task"] for row in rows.filter(~pl.col("is_transfer")).to_dicts() if is_above_chance(row)]


BLIND: dict[str, Callable[[dict[str, str]], bool]] = {
    "whatever attacks": lambda about: about["attack"] == "yes",
    "whatever is rotten": lambda about: about["rot"] == "yes",
    "whatever names a shop": lambda about: about["shop"] == "yes",
    "most of the three": lambda about: list(about.values()).count("yes") > 1,
    "either": lambda about: "yes" in (about["attack"], about["rot"]),
    "friendly and fresh": lambda about: about["attack"] == about["rot"] == "no",
    "all": lambda about: True,
    "none": lambda about: False,
}


@pytest.mark.parametrize("rule", BLIND)
def test_a_model_that_ignores_the_definition_is_at_chance_in_at_least_two_tasks(rule: str, sample) -> None:
    rows = asked(sample, lambda definition, about: BLIND[rule](about))

    assert rows.height == 25
    assert len(above(rows)) <= 3
    # Of two tasks that ask the opposite, one at most.
    assert len({"insult", "welcome"}.intersection(above(rows))) <= 1
    assert len({"rot", "freshness"}.intersection(above(rows))) <= 1
    assert rows.filter("is_transfer")["n_changed"].sum() == 0
    told = findings(rows, n_tasks=5, variant="sample_suite")[0]
    assert not told.is_fine
    assert told.summary.endswith("under another task's definition 0.0 % of its answers change.")


def test_random_answers_are_at_chance(sample) -> None:
    drawn = np.random.default_rng(7)
    rows = asked(sample, lambda definition, about: bool(drawn.random() < 0.5))
    assert len(above(rows)) <= 3


def test_a_model_that_heeds_the_definition_does_all_tasks_and_loses_under_another_definition(sample) -> None:
    def heeds(definition: SuiteTask, about: dict[str, str]) -> bool:
        assert definition.mapping
        return about[definition.mapping.facet] in definition.mapping.positive

    rows = asked(sample, heeds)
    assert above(rows) == ["insult", "welcome", "rot", "freshness", "trade"]
    transfer = rows.filter("is_transfer")
    assert not any(is_above_chance(row) for row in transfer.to_dicts())
    opposite = transfer.filter(task="insult", definition="welcome").row(0, named=True)
    assert (opposite["value"], opposite["n_changed"]) == (0.0, 80)
    assert findings(rows, n_tasks=5, variant="sample_suite")[0].is_fine
    assert summary("radish", rows).startswith("radish is above chance in 5 of 5 tasks; under another")


def test_every_combination_of_what_the_memes_are_has_as_many(sample, tmp_path: Path) -> None:
    _, _, said = sample
    wide = said.pivot("facet", index="item_id", values="value")
    assert wide.group_by("attack", "rot", "shop").len()["len"].to_list() == [10] * 8
