"""Facets, segments and source votes as tables, and what is wrong with them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from m2v import schemas
from m2v.datasets import layouts
from m2v.datasets.layouts import Parts
from m2v.datasets.rules import overlapping
from m2v.entries.datasets import Dataset
from m2v.entries.layouts import Layout
from m2v.lineage.findings import Finding

# What is looked at in segments.
OF_SEGMENTS = ("segments_ordered", "segments_long", "segments_apart", "segments_fit_labels")
# And in tables that are read from other files than the items are.
OF_JOINED = ("items_annotated", "labels_agree")
# What of a row makes a table; all else of it is facets.
OWN = {schemas.SEGMENTS.name: "segments", schemas.SOURCE_VOTES.name: "votes"}


def of(dataset: Dataset) -> list[schemas.Table]:
    """Return the tables of what else is said of a dataset's items, in its own files or those of its annotations."""
    return tables(layouts.of(dataset.annotated))


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


@dataclass(frozen=True)
class Annotated:
    """What a dataset's authors say of its items besides their labels, counted.

    Attributes:
        sentences: How many there are of what.
        facets: ``facet``, ``value``, ``n_items`` and ``n_positive`` of each value, the most frequent of a facet first.
    """

    name: str
    sentences: tuple[str, ...]
    facets: tuple[dict[str, Any], ...]


def annotated(name: str, items: pl.DataFrame, stored: Mapping[str, pl.DataFrame]) -> Annotated | None:
    """Count what is said of a dataset's items; None where nothing is.

    Args:
        items: Rows of ``memes`` or ``videos``.
        stored: Rows of ``facets``, ``segments`` and ``source_votes``, those of them that there are.
    """
    item_id = schemas.id_column(items)
    labels = items.select(item_id=item_id, label="label").unique("item_id", keep="first")
    empty = {table.name: table.empty() for table in (schemas.FACETS, schemas.SEGMENTS, schemas.SOURCE_VOTES)}
    facets, segments, votes = (empty | dict(stored)).values()
    sentences = []
    if facets.height:
        n = facets["item_id"].n_unique()
        sentences.append(f"{facets.height:,} facets of {n:,} of {labels.height:,} items.")
    if segments.height:
        spans = segments.unique(["item_id", "part"])
        lengths = (spans["end_s"] - spans["start_s"]).clip(0)
        sentences.append(
            f"{spans.height:,} segments of {spans['item_id'].n_unique():,} items; half of them are longer than "
            f"{lengths.median():.0f} s, {lengths.sum() / 3600:.1f} h in all."  # pyright: ignore[reportOptionalOperand]
        )
    if votes.height:
        by_item = votes.group_by("item_id").agg(n=pl.len(), n_labels=pl.col("label").n_unique()).filter(pl.col("n") > 1)
        agreed = f"; in {(by_item['n_labels'] == 1).sum():,} of {by_item.height:,} all agree" if by_item.height else ""
        sentences.append(f"{votes.height:,} votes of {votes['item_id'].n_unique():,} items{agreed}.")
    counts = facets.join(labels, on="item_id").group_by("facet", "value")
    by_value = counts.agg(n_items=pl.len(), n_positive=pl.col("label").sum())
    by_value = by_value.sort("facet", "n_items", "value", descending=[False, True, False])
    return Annotated(name, tuple(sentences), tuple(by_value.to_dicts())) if sentences else None


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


def checks(table: schemas.Table, *, is_joined: bool = False) -> tuple[str, ...]:
    """Return the names of what ``findings`` and, of other files than the items', ``joined`` give of a table."""
    of_segments = OF_SEGMENTS if table is schemas.SEGMENTS else ()
    of_rows = ("rows_agree",) if table.name in OWN else ()
    return ("cells_read", *of_rows, *of_segments, *(OF_JOINED if is_joined else ()))


def findings(table: schemas.Table, parts: Parts, items: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return what is wrong with one of these tables.

    Args:
        items: Rows of ``memes`` or ``videos``.
    """
    is_own = (lambda what: what == OWN[table.name]) if table.name in OWN else (lambda what: what not in OWN.values())
    unread = [item_id for item_id, what in parts.malformed if is_own(what)]
    again = [item_id for item_id, what in parts.again if is_own(what)]
    found = [_counted("cells_read", table, variant, unread, "cells are not of their form and were not read")]
    if table.name in OWN:
        found.append(_counted("rows_agree", table, variant, again, "rows say something else than an item's first row"))
    return [*found, *(_of_segments(parts, items, variant=variant) if table is schemas.SEGMENTS else [])]


def joined(
    table: schemas.Table, parts: Parts, items: pl.DataFrame, *, variant: str, missing: str | None
) -> list[Finding]:
    """Return what does not fit where one of these tables is read from other files than the items are.

    Args:
        items: Rows of ``memes`` or ``videos``.
        missing: Where the files were looked for, if they are nowhere.
    """
    item_id = schemas.id_column(items)
    if missing:
        summary = f"The dataset's own annotations are not here, so this table is empty. {missing}"
        return [Finding(check, table.name, variant, is_fine=True, summary=summary) for check in OF_JOINED]
    unnamed = [key for key in items[item_id].unique() if key not in parts.labels]
    labels = items.select(item_id, "label").unique(maintain_order=True).iter_rows()
    otherwise = [key for key, label in labels if parts.labels.get(key, label) != label]
    return [
        _counted("items_annotated", table, variant, unnamed, "items stand in none of the dataset's annotations"),
        _counted("labels_agree", table, variant, otherwise, "items have another label in the dataset's annotations"),
    ]


def _counted(check: str, table: schemas.Table, variant: str, ids: Sequence[str], what: str) -> Finding:
    summary = f"{len(ids):,} {what}."
    return Finding(check, table.name, variant, not ids, summary, tuple(sorted(set(ids))), figures={"n": len(ids)})


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
    item_id = schemas.id_column(items)
    labels = items.select(item_id=item_id, label="label").unique("item_id", keep="first", maintain_order=True)
    harmful = segments.filter(pl.col("label") != "normal").unique("item_id")
    negative = harmful.join(labels.filter(~pl.col("label")), on="item_id", how="semi")["item_id"]
    outcomes = (
        ("segments_ordered", reversed_, "segments end before they begin"),
        ("segments_long", empty, "segments have no length"),
        ("segments_apart", crossing, "items have segments that overlap"),
        ("segments_fit_labels", negative, "items with label 0 have segments of another kind"),
    )
    return [_counted(check, schemas.SEGMENTS, variant, list(ids), what) for check, ids, what in outcomes]
