"""Splits of a dataset besides its own: read from lists of ids, or drawn; and what tells one split from another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from m2v import schemas
from m2v.datasets import csvfiles, draws, textfiles
from m2v.entries.datasets import Dataset
from m2v.entries.splits import SplitPlan
from m2v.errors import BadInput, InvalidRows
from m2v.files.digests import data_sha256
from m2v.lineage.findings import Finding

ORDER = ("test", "validation", "train")


def assigned(
    plan: SplitPlan,
    dataset: Dataset,
    *,
    fold: int | None,
    videos: pl.DataFrame,
    facets: pl.DataFrame | None,
    files: Mapping[str, Path],
) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """Return each item's split.

    Args:
        fold: Which one is the test split, from 1 on, where the plan has folds.
        videos: Rows of ``videos``.
        facets: Rows of ``facets``, where the plan groups by one.
        files: Of the plan's source, by name.

    Returns:
        Rows of ``splits``, and ids that the plan and the dataset do not share, with the reason.

    Raises:
        BadInput: Names the file and row that cannot be used; an id is in two splits.
        InvalidRows: A split would be empty, or an item is in two groups.
    """
    items = videos.unique("video_id", keep="first", maintain_order=True).sort("video_id")
    ids = items["video_id"].to_list()
    if plan.is_drawn:
        labels, groups = items["label"].to_list(), _groups(plan, ids, facets, dataset)
        splits = _drawn(plan, ids, labels, groups, fold=fold)
        found = dict(zip(ids, splits, strict=True))
        left_out: list[tuple[str, str]] = []
    else:
        found = _listed(plan, files)
        left_out = [(item_id, "stand in none of its lists") for item_id in ids if item_id not in found]
        known = set(ids)
        left_out += [(item_id, "are listed and not in the dataset") for item_id in found if item_id not in known]
        found = {item_id: found[item_id] for item_id in ids if item_id in found}
    for split in ORDER:
        if split not in found.values() and not (split == "validation" and not plan.is_drawn):
            raise InvalidRows(f"splits of {dataset.name}: nothing is left for {split}; divide it otherwise.")
    rows = pl.DataFrame(list(found.items()), schema=dict(schemas.ITEM_SPLITS.columns), orient="row")
    return rows.sort("item_id"), left_out


def _drawn(plan: SplitPlan, ids: list[str], labels: list[bool], groups: list[str], *, fold: int | None) -> list[str]:
    if plan.shares:
        return draws.splits(ids, labels, shares=plan.shares, groups=groups)
    assert plan.folds  # a plan is drawn in one of two ways
    assert fold is not None
    n, test = plan.folds.n, fold - 1
    names = {test: "test", (test + 1) % n: "validation"}
    of_items = draws.folds(ids, labels, n=n, seed=plan.folds.seed, groups=groups)
    return [names.get(number, "train") for number in of_items]


def _groups(plan: SplitPlan, ids: list[str], facets: pl.DataFrame | None, dataset: Dataset) -> list[str]:
    if plan.grouped_until:
        # What has no such place in its id is a group of its own.
        return [item_id.rpartition(plan.grouped_until)[0] or item_id for item_id in ids]
    if plan.grouped_by is None:
        return ids
    assert facets is not None  # whoever groups by a facet reads them
    rows = facets.filter(facet=plan.grouped_by)
    if rows.is_empty():
        raise InvalidRows(f"splits of {dataset.name}: no item has a facet {plan.grouped_by!r} to group by.")
    several = rows.filter(pl.col("item_id").is_duplicated())["item_id"]
    if len(several):
        raise InvalidRows(
            f"splits of {dataset.name}: item {several[0]!r} has several values of {plan.grouped_by!r}, so it would "
            "stand in several groups."
        )
    of_items = dict(rows.select("item_id", "value").iter_rows())
    return [f"{plan.grouped_by}:{of_items[item_id]}" if item_id in of_items else item_id for item_id in ids]


def _listed(plan: SplitPlan, files: Mapping[str, Path]) -> dict[str, str]:
    found: dict[str, tuple[str, textfiles.Row]] = {}
    for split, row, item_id in _rows(plan, files):
        other, known = found.setdefault(item_id, (split, row))
        if other != split:
            problem = f"{item_id[: textfiles.N_QUOTED]!r} stands in row {known.number} of {known.path.name} too"
            raise BadInput(row.path, f"row {row.number}: {problem}, which says {other}; an item has one split.")
    return {item_id: split for item_id, (split, _) in found.items()}


def _rows(plan: SplitPlan, files: Mapping[str, Path]) -> list[tuple[str, textfiles.Row, str]]:
    if plan.column:
        column = plan.column
        path = files[column.file]
        dialect = csvfiles.TABS if path.suffix == ".tsv" else csvfiles.COMMAS
        rows = csvfiles.rows(path, columns=[column.id, column.split], others=True, dialect=dialect)
        return [(row.choice(column.split, column.map), row, row.filled(column.id)) for row in rows]
    read = []
    for split, names in (plan.lists or {}).items():
        for name in names:
            dialect = csvfiles.Dialect(header=("id",))
            rows = csvfiles.rows(files[name], columns=["id"], others=False, dialect=dialect)
            read += [(split, row, row.filled("id")) for row in rows]
    return read


def applied(videos: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Return videos in another split than their own, each once; those that it leaves out are not there.

    Args:
        videos: Rows of ``videos``.
        splits: Rows of ``splits``.
    """
    each = videos.unique("video_id", keep="first", maintain_order=True).drop("split")
    joined = each.join(splits.rename({"item_id": "video_id"}), on="video_id")
    return joined.select(videos.columns).sort("video_id", "split")


def digest(videos: pl.DataFrame) -> str:
    """Return the sha256 that tells one split of a dataset from another: which ids stand in which part.

    Args:
        videos: Rows of ``videos``, or columns ``video_id`` and ``split``.
    """
    pairs = videos.select(pl.col("split").cast(pl.String), "video_id").unique().sort("split", "video_id")
    return data_sha256([list(pair) for pair in pairs.iter_rows()])


def finding(left_out: Sequence[tuple[str, str]], own: pl.DataFrame, rows: pl.DataFrame, *, variant: str) -> Finding:
    """Return which items a split leaves out, which of its ids are of no item, and what its test shares with their own.

    Args:
        own: Rows of ``videos``.
        rows: Rows of ``splits``.
    """
    counts = Counter(reason for _, reason in left_out)
    summary = "; ".join(f"{n:,} ids {reason}" for reason, n in sorted(counts.items()))
    tests = [set(own.filter(split="test")["video_id"]), set(rows.filter(split="test")["item_id"])]
    n_shared, n_test = len(tests[0] & tests[1]), len(tests[1])
    shared = f"{n_shared:,} of its {n_test:,} test items are test items of the dataset's own split."
    return Finding(
        "ids_divided",
        schemas.ITEM_SPLITS.name,
        variant,
        is_fine=not left_out,
        summary=f"{summary or 'Every item stands in one part'}. {shared}",
        ids=tuple(sorted(item_id for item_id, _ in left_out)),
        figures={"n_left_out": len(left_out), "n_test": n_test, "n_test_shared": n_shared},
    )
