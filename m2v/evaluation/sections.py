"""What the report's sections about the worth of a score show, from rows of their tables."""

from typing import Any

import polars as pl

from m2v.evaluation import wording
from m2v.evaluation.differences import candidate
from m2v.evaluation.marks import panelled
from m2v.evaluation.wording import decimal


def differences(rows: pl.DataFrame, *, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's pairs, the scores of a pair side by side, with what can be said of all of them.

    Args:
        rows: Rows of ``differences``.
        results: Rows of ``results``.

    Returns:
        By panel: ``panel``, ``sentence`` and ``pairs``; a pair has the two candidates' ``name_a`` and ``name_b``,
        ``n_items``, ``n_seeds_a``, ``n_seeds_b`` and under ``scores`` a row for each score.
    """
    names = _names(results)
    listed = []
    for panel, of_panel in _panels(rows, names):
        pairs = []
        for (a, b), of_pair in of_panel.group_by("a", "b", maintain_order=True):
            scores = {row["score"]: {**row, "is_apart": is_apart(row)} for row in of_pair.to_dicts()}
            pairs.append({**of_pair.row(0, named=True), "scores": scores, "name_a": names[a], "name_b": names[b]})
        listed.append({"panel": panel, "sentence": _pairs_sentence(of_panel), "pairs": pairs})
    return listed


def is_apart(row: dict[str, Any]) -> bool:
    """Return whether a difference's interval holds no zero."""
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def _pairs_sentence(rows: pl.DataFrame) -> str:
    macro_f1 = rows.filter(score="macro_f1")
    n, n_apart = macro_f1.height, sum(is_apart(row) for row in macro_f1.to_dicts())
    sentence = f"Macro-F1 differs by more than chance in {n_apart} of {n} pair{'s' if n != 1 else ''}."
    smallest = macro_f1["smallest"].drop_nulls()
    if smallest.is_empty():
        return sentence
    low, high = (decimal(value) for value in (smallest.min(), smallest.max()))  # pyright: ignore[reportArgumentType]
    return (
        f"{sentence} A true difference below {low if low == high else f'{low} to {high}'} would often go unseen here."
    )


def _names(results: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what each candidate is: ``panel``, ``fold``, ``strategy``, ``memes`` and ``model`` as people read them."""
    rows = panelled(results).drop_nulls("threshold").with_columns(candidate=candidate())
    return {
        row["candidate"]: {
            "panel": row["panel"],
            "fold": row["fold"],
            "strategy": wording.STRATEGIES[row["strategy"]],
            "memes": row["memes"] or "",
            "model": row["model"] + wording.PAPER_MODE * row["paper_mode"],
        }
        for row in rows.unique("candidate", keep="first", maintain_order=True).to_dicts()
    }


def _panels(rows: pl.DataFrame, names: dict[str, dict[str, Any]]) -> list[tuple[str, pl.DataFrame]]:
    panels = rows.with_columns(
        panel=pl.col("a").map_elements(lambda name: names[name]["panel"], return_dtype=pl.String)
    )
    return [
        (str(panel), of_panel.drop("panel"))
        for (panel,), of_panel in panels.sort("panel", "fold", "a", "b", "score").group_by("panel", maintain_order=True)
    ]
