"""How well models do a suite's tasks, and whether their answers heed the definition under which they are asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.suites import Suite, SuiteTask
from m2v.errors import InvalidRows
from m2v.evaluation import small_samples
from m2v.evaluation.scores import scores
from m2v.lineage.findings import Finding


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model answers about a task's items under one task's definition.

    Attributes:
        items: Columns ``meme_id`` and ``label``, as ``labelled`` returns them.
        definition: The task under whose definition it was asked.
        answers: Rows of ``suite_answers``.
    """

    model: str
    task: SuiteTask
    definition: SuiteTask
    items: pl.DataFrame
    answers: pl.DataFrame


def labelled(task: SuiteTask, *, memes: pl.DataFrame, facets: pl.DataFrame | None, suite: str) -> pl.DataFrame:
    """Return a task's items with the label that its mapping gives them.

    Args:
        memes: Rows of ``memes`` of its dataset.
        facets: Rows of ``facets`` of it; None where it has none.
        suite: Its suite's name.

    Returns:
        Columns ``meme_id`` and ``label`` (bool), sorted; items without a label by the mapping are left out.

    Raises:
        InvalidRows: No item is left, or a value never occurs; the message says which splits or values there are.
    """
    where = f"suite {suite}, task {task.name}"
    rows = memes.filter(pl.col("split").cast(pl.String) == task.split)
    if rows.is_empty():
        known = ", ".join(sorted(memes["split"].cast(pl.String).unique()))
        raise InvalidRows(f"{where}: {task.dataset} has no item in its split {task.split!r}; it has {known or 'none'}.")
    rule = task.mapping
    if rule is None:
        return rows.select("meme_id", "label").sort("meme_id")
    said = (facets if facets is not None else schemas.FACETS.empty()).filter(facet=rule.facet)
    wanted = [*rule.positive, *(rule.negative or ())]
    unknown = [name for name in wanted if name not in set(said["value"])]
    if unknown:
        known = ", ".join(sorted(said["value"].unique())) or "none"
        raise InvalidRows(
            f"{where}: the facet {rule.facet!r} of {task.dataset} never has the value {unknown[0]!r}; it has {known}. "
            "Correct `mapping:` in the suite's YAML."
        )
    value = pl.col("value")
    is_negative = ~value.is_in(rule.positive) if rule.negative is None else value.is_in(rule.negative)
    by_item = said.group_by(meme_id="item_id").agg(
        positive=value.is_in(rule.positive).any(), negative=is_negative.any() if rule.negative else is_negative.all()
    )
    found = rows.select("meme_id").join(by_item, on="meme_id").filter(pl.col("positive") != pl.col("negative"))
    if found.is_empty():
        raise InvalidRows(
            f"{where}: no item of the split {task.split!r} of {task.dataset} has one of the values "
            f"{', '.join(wanted)} of the facet {rule.facet!r}."
        )
    return found.select("meme_id", label="positive").sort("meme_id")


def results(suite: Suite, asked: Iterable[Asked]) -> pl.DataFrame:
    """Return a row for each model, task and definition.

    An answer that is neither word is wrong, whatever the item: leaving it out would reward a model for what it refuses.

    Args:
        suite: Whose tasks they are.
        asked: One for each row.

    Returns:
        Rows of ``suite_results``, sorted by model, task and definition, tasks in the suite's order.

    Raises:
        InvalidRows: An item has no answer, not even a refusal.
    """
    place = {task.name: number for number, task in enumerate(suite.tasks)}
    given = sorted(asked, key=lambda one: (one.model, place[one.task.name], place[one.definition.name]))
    called = [_called(one) for one in given]
    own = {
        (one.model, one.task.name): said
        for one, said in zip(given, called, strict=True)
        if one.task.name == one.definition.name
    }
    rows = [
        _row(suite.name, one, said, own=own.get((one.model, one.task.name)))
        for one, said in zip(given, called, strict=True)
    ]
    schema = schemas.SUITE_RESULTS
    return schema.validate(pl.DataFrame(rows, schema=dict(schema.columns)))


def _called(one: Asked) -> pl.DataFrame:
    """Return the items with label and ``called``, null where the answer was neither word."""
    joined = one.items.join(one.answers, on="meme_id", how="left").sort("meme_id")
    missing = joined.filter(pl.col("outcome").is_null())["meme_id"]
    if len(missing):
        raise InvalidRows(
            f"suite_answers of {one.model} under {one.definition.name}: {len(missing)} items of {one.task.name} have "
            f"no answer, for example {missing[0]!r}; run the study again."
        )
    outcome = pl.col("outcome")
    called = pl.when(outcome == "positive").then(True).when(outcome == "negative").then(False)
    return joined.with_columns(called=called)


def _row(suite: str, one: Asked, rows: pl.DataFrame, *, own: pl.DataFrame | None) -> dict[str, Any]:
    labels = rows["label"].to_numpy().astype(bool)
    called = rows.select(pl.col("called").fill_null(~pl.col("label")))["called"].to_numpy().astype(bool)
    probabilities = called.astype(np.float64)
    point = scores(labels, probabilities, threshold=0.5)[one.task.metric]
    low, high = small_samples.intervals(labels, probabilities, threshold=0.5, seed=0)[one.task.metric]
    has_both = bool(labels.any() and not labels.all())
    is_told = has_both or one.task.metric == "accuracy"
    n_changed = None
    if own is not None and one.task.name != one.definition.name:
        n_changed = int((own["called"].ne_missing(rows["called"])).sum())
    return {
        "suite": suite,
        "model": one.model,
        "task": one.task.name,
        "definition": one.definition.name,
        "is_transfer": one.task.name != one.definition.name,
        "dataset": one.task.dataset,
        "split": one.task.split,
        "metric": one.task.metric,
        "n_items": rows.height,
        "n_positive": int(labels.sum()),
        "n_refused": rows.filter(outcome="refused").height,
        "n_unparsed": rows.filter(outcome="unparsed").height,
        "value": point if is_told else None,
        "low": low if is_told else None,
        "high": high if is_told else None,
        "chance": chance(labels, one.task.metric) if is_told else None,
        "n_changed": n_changed,
    }


def chance(labels: np.ndarray, metric: str) -> float:
    """Return what answers reach at best that do not look at the items.

    Accuracy: the more frequent label for all. F1: positive for all, 2p / (1 + p) at a share p of positives. Macro-F1: a
    half, which a coin comes up to on labels in balance and below which it stays on others.

    Args:
        labels: (items,), bool.
    """
    share = float(labels.mean())
    return {"accuracy": max(share, 1 - share), "f1": 2 * share / (1 + share), "macro_f1": 0.5}[metric]


def is_above_chance(row: dict[str, Any]) -> bool:
    """Return whether a row of ``suite_results`` has an interval that lies above chance."""
    return row["low"] is not None and row["low"] > row["chance"]


def findings(rows: pl.DataFrame, *, n_tasks: int, variant: str) -> list[Finding]:
    """Return the checks of a study's suites: whether definitions are heeded, and whether there are answers.

    Args:
        rows: Rows of ``suite_results``.
        n_tasks: Of all suites.
    """
    told = [_heeded(str(model), found) for (model,), found in rows.sort("model").group_by("model", maintain_order=True)]
    unanswered = rows.filter(~pl.col("is_transfer")).select(n=pl.col("n_refused") + pl.col("n_unparsed"))["n"].sum()
    asked = int(rows.filter(~pl.col("is_transfer"))["n_items"].sum())
    return [
        Finding(
            "definitions_heeded",
            "suite_results",
            variant,
            is_fine=all(is_fine for is_fine, _ in told),
            summary=" ".join(sentence for _, sentence in told),
            figures={"n_tasks": n_tasks, "n_models": len(told)},
        ),
        Finding(
            "suite_answered",
            "suite_results",
            variant,
            is_fine=not unanswered,
            summary=f"{unanswered} of {asked} answers are neither of the two words; each counts as wrong.",
            figures={"n_unanswered": int(unanswered), "n_asked": asked},
        ),
    ]


def _heeded(model: str, rows: pl.DataFrame) -> tuple[bool, str]:
    own, transfer = rows.filter(~pl.col("is_transfer")), rows.filter("is_transfer")
    n_above = sum(is_above_chance(row) for row in own.to_dicts())
    sentence = f"{model} is above chance in {n_above} of {own.height} tasks"
    if transfer.is_empty():
        return n_above == own.height, f"{sentence}."
    changed = int(transfer["n_changed"].sum()) / int(transfer["n_items"].sum())
    sentence += f"; under another task's definition {100 * changed:.1f} % of its answers change."
    return n_above == own.height and changed > 0, sentence


def summary(model: str, rows: pl.DataFrame) -> str:
    """Return how well a model does a suite's tasks and whether it heeds their definitions, in a sentence."""
    return _heeded(model, rows)[1]
