"""Facets, segments and source votes as tables, and what is wrong with them."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from m2v import schemas
from m2v.datasets.layouts import Parts
from m2v.datasets.rules import overlapping
from m2v.entries.layouts import Layout
from m2v.lineage.findings import Finding

# What is looked at in segments.
OF_SEGMENTS = ("segments_ordered", "segments_long", "segments_apart", "segments_fit_labels")


def tables(layout: Layout) -> list[schemas.Table]:
    """Return the tables of what else a layout's files say of items."""
    has_facets = layout.facets or any(file.facets for file in layout.files)
    kinds = ((schemas.FACETS, has_facets), (schemas.SEGMENTS, layout.segments), (schemas.SOURCE_VOTES, layout.votes))
    return [table for table, is_there in kinds if is_there]


def rows(table: schemas.Table, parts: Parts) -> pl.DataFrame:
    """Return rows of one of these tables as they are written, each key once."""
    data = {"facets": parts.facets, "segments": parts.segments, "source_votes": parts.votes}
    frame = pl.DataFrame(data[table.name], schema=dict(table.columns), orient="row")
    return frame.unique(table.key, keep="first", maintain_order=True).sort(table.key)


def rows_used(left_out: Sequence[tuple[str, str]], *, table: schemas.Table, variant: str) -> Finding:
    """Return which rows of a dataset's files are none of its items.

    Args:
        left_out: Their ids, with the reason.
    """
    reasons = Counter(reason for _, reason in left_out)
    counts = ", ".join(f"{n:,} {reason}" for reason, n in sorted(reasons.items()))
    return Finding(
        "rows_used",
        table.name,
        variant,
        is_fine=not left_out,
        summary=f"Rows that are left out: {counts}." if left_out else "Every row is an item.",
        ids=tuple(sorted({item_id for item_id, _ in left_out})),
        figures={"n_left_out": len(left_out)},
    )


def checks(table: schemas.Table) -> tuple[str, ...]:
    """Return the names of what ``findings`` gives of a table."""
    return ("cells_read", *OF_SEGMENTS) if table is schemas.SEGMENTS else ("cells_read",)


def findings(table: schemas.Table, parts: Parts, items: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return what is wrong with one of these tables.

    Args:
        items: Rows of ``memes`` or ``videos``.
    """
    own = {schemas.SEGMENTS.name: "segments", schemas.SOURCE_VOTES.name: "votes"}
    is_own = [
        own.get(table.name) == what if table.name in own else what not in own.values() for _, what in parts.malformed
    ]
    ids = [item_id for (item_id, _), kept in zip(parts.malformed, is_own, strict=True) if kept]
    summary = f"{len(ids):,} cells are not of their form and were not read."
    unread = Finding(
        "cells_read", table.name, variant, not ids, summary, tuple(sorted(set(ids))), figures={"n": len(ids)}
    )
    return [unread, *(_of_segments(parts, items, variant=variant) if table is schemas.SEGMENTS else [])]


def _of_segments(parts: Parts, items: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return what is wrong with segments.

    Args:
        items: Rows of ``memes`` or ``videos``.
    """
    segments = rows(schemas.SEGMENTS, parts)
    spans = segments.unique(["item_id", "part"], keep="first", maintain_order=True)
    reversed_ = spans.filter(pl.col("start_s") > pl.col("end_s"))["item_id"]
    empty = spans.filter(pl.col("start_s") == pl.col("end_s"))["item_id"]
    by_item = spans.group_by("item_id").agg("start_s", "end_s").sort("item_id")
    pairs = {
        item: list(zip(starts, ends, strict=True)) for item, starts, ends in by_item.iter_rows() if len(starts) > 1
    }
    crossing = [item for item, times in pairs.items() if overlapping(times)]
    item_id = "video_id" if "video_id" in items.columns else "meme_id"
    labels = items.select(item_id=item_id, label="label").unique("item_id", keep="first", maintain_order=True)
    harmful = segments.filter(pl.col("label") != "normal").unique("item_id")
    negative = harmful.join(labels.filter(~pl.col("label")), on="item_id", how="semi")["item_id"]
    outcomes = (
        ("segments_ordered", reversed_, "segments end before they begin"),
        ("segments_long", empty, "segments have no length"),
        ("segments_apart", crossing, "items have segments that overlap"),
        ("segments_fit_labels", negative, "items with label 0 have segments of another kind"),
    )
    return [
        Finding(
            check,
            "segments",
            variant,
            is_fine=not len(ids),
            summary=f"{len(ids):,} {what}.",
            ids=tuple(sorted(set(ids))),
            figures={"n": len(ids)},
        )
        for check, ids, what in outcomes
    ]
