"""Facets, segments and source votes as tables, and what is wrong with them."""

from collections.abc import Sequence

import polars as pl

from m2v import schemas
from m2v.datasets.layouts import Parts
from m2v.datasets.rules import overlapping
from m2v.entries.layouts import Layout
from m2v.lineage.findings import Finding

# What is looked at in segments.
CHECKS = ("cells_read", "segments_ordered", "segments_long", "segments_apart", "segments_fit_labels")


def tables(layout: Layout) -> list[schemas.Table]:
    """Return the tables of what else a layout's files say of items."""
    has_facets = layout.facets or any(file.facets for file in layout.files)
    said = ((schemas.FACETS, has_facets), (schemas.SEGMENTS, layout.segments), (schemas.SOURCE_VOTES, layout.votes))
    return [table for table, is_there in said if is_there]


def rows(table: schemas.Table, parts: Parts) -> pl.DataFrame:
    """Return rows of one of these tables as they are written, each key once."""
    data = {"facets": parts.facets, "segments": parts.segments, "source_votes": parts.votes}
    frame = pl.DataFrame(data[table.name], schema=dict(table.columns), orient="row")
    return frame.unique(table.key, keep="first", maintain_order=True).sort(table.key)


def findings(parts: Parts, items: pl.DataFrame, *, left_out: Sequence[tuple[str, str]], variant: str) -> list[Finding]:
    """Return what is wrong with what else a dataset says, and which of its rows are no items.

    Args:
        items: Rows of ``memes`` or ``videos``.
        left_out: Ids that are none of the items, with the reason.
    """
    is_videos = "video_id" in items.columns
    table, item_id = ("videos", "video_id") if is_videos else ("memes", "meme_id")
    found = []
    if left_out:
        reasons = pl.DataFrame(left_out, schema=["id", "reason"], orient="row")
        counts = ", ".join(f"{n:,} {reason}" for reason, n in reasons.group_by("reason").len().sort("reason").rows())
        ids = tuple(reasons["id"].unique().sort())
        found.append(
            Finding("rows_used", table, variant, is_fine=False, summary=f"Of the rows, {counts}: left out.", ids=ids)
        )
    if parts.segments or parts.malformed:
        found += of_segments(parts, items.select(pl.col(item_id).alias("item_id"), "label"), variant=variant)
    return found


def of_segments(parts: Parts, items: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return what is wrong with segments.

    Args:
        items: Columns ``item_id`` and ``label``.
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
    labels = items.unique("item_id", keep="first", maintain_order=True)
    harmful = segments.filter(pl.col("label") != "normal").unique("item_id")
    negative = harmful.join(labels.filter(~pl.col("label")), on="item_id", how="semi")["item_id"]
    malformed = [item for item, _ in parts.malformed]
    outcomes = (
        ("cells_read", malformed, "cells are not of their form and were not read"),
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
