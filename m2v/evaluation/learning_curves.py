"""What more training data would do: scores of detectors that were trained on shares of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.errors import InvalidRows
from m2v.evaluation.scores import scores
from m2v.lineage.findings import Finding

CHECK = "data_enough"


def learning_curves(scored: Mapping[str, pl.DataFrame], *, labels: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return a row for each run, share of its training data and draw of that share.

    Args:
        scored: By run, columns ``share``, ``draw``, ``n_train``, ``threshold``, ``item_id`` and ``probability``: what a
            detector says of each test item that was trained on a draw.
        labels: By run, columns ``item_id`` and ``label`` of the test items, both unique by item.

    Returns:
        Rows of ``learning_curves``. A test set of one label has no AUROC and no macro-F1.

    Raises:
        InvalidRows: A test item has no label.
    """
    rows: list[dict[str, Any]] = []
    for run, said in scored.items():
        joined = said.join(labels[run], on="item_id", how="left")
        if joined["label"].null_count():
            raise InvalidRows(f"learning_curves of {run}: a test item has no label; recompute with `m2v run`.")
        for (share, draw), part in joined.group_by("share", "draw"):
            true = part["label"].to_numpy()
            threshold = part["threshold"].first()
            assert isinstance(threshold, float)  # each draw has one
            found = scores(true, part["probability"].to_numpy(), threshold=threshold)
            is_known = len(np.unique(true)) == 2
            rows.append(
                {
                    "run": run,
                    "share": share,
                    "draw": draw,
                    "n_train": part["n_train"].first(),
                    "n_test": part.height,
                    "macro_f1": found["macro_f1"] if is_known else None,
                    "auroc": found["auroc"],
                }
            )
    return pl.DataFrame(rows, schema=dict(schemas.LEARNING_CURVES.columns)).sort(schemas.LEARNING_CURVES.key)


def finding(rows: pl.DataFrame, *, left_out: Sequence[str], variant: str) -> Finding:
    """Return which runs' scores still rose with the last step of training data, and which have no curve.

    Args:
        rows: Rows of ``learning_curves``.
        left_out: Trained runs without one: their training takes longer than seconds.
        variant: Of the table.
    """
    curves = [found for _, found in over_draws(rows).group_by("run", maintain_order=True)]
    n_rising = sum(is_rising(found) for found in curves)
    summary = f"{n_rising:,} of {len(curves):,} runs still scored higher with the last step of training data."
    if left_out:
        summary += f" {len(left_out):,} runs take too long to be trained again and again: {', '.join(left_out)}."
    figures: dict[str, float | int | None] = {
        "n_rising": n_rising,
        "n_curves": len(curves),
        "n_left_out": len(left_out),
    }
    return Finding(CHECK, schemas.LEARNING_CURVES.name, variant, is_fine=bool(curves), summary=summary, figures=figures)


def is_rising(rows: pl.DataFrame) -> bool:
    """Return whether the whole training data scored above every draw of the largest share before it.

    Args:
        rows: Rows of ``over_draws`` of one run, with two shares at least.
    """
    before, last = rows.sort("share").tail(2).to_dicts()
    return last["macro_f1"] is not None and last["macro_f1"] > before["macro_f1_high"]


def over_draws(rows: pl.DataFrame) -> pl.DataFrame:
    """Return mean, lowest and highest score over the draws of each share, a row for each run and share.

    Args:
        rows: Rows of ``learning_curves``.
    """
    ends = [
        getattr(pl.col(score), how)().alias(f"{score}{end}")
        for score in ("macro_f1", "auroc")
        for how, end in (("mean", ""), ("min", "_low"), ("max", "_high"))
    ]
    grouped = rows.group_by("run", "share").agg(pl.col("n_train").first(), pl.len().alias("n_draws"), *ends)
    return grouped.sort("run", "share")


def in_words(rows: pl.DataFrame) -> str:
    """Say of one run whether its score still rose with the last step of training data.

    Args:
        rows: Rows of ``over_draws`` of one run, with two shares at least.
    """
    before, last = rows.sort("share").tail(2).to_dicts()
    if last["macro_f1"] is None or before["macro_f1"] is None:
        return "the test videos are of one label, so there is no score"
    rise = last["macro_f1"] - before["macro_f1"]
    step = f"from {before['n_train']:,} to {last['n_train']:,} examples"
    if is_rising(rows):
        return f"{step} macro-F1 rose by {rise:.3f}, above every draw before: more data may help"
    return f"{step} macro-F1 changed by {rise:+.3f}, within what draws differ by"
