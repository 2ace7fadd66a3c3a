"""Operators applied to items of one dataset and to what extractors see of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.features import Modality
from m2v.entries.operators import Operator
from m2v.features import rows
from m2v.files.digests import text_sha256
from m2v.robustness import registry
from m2v.robustness.draws import generator
from m2v.robustness.noise import Spread, spread

# Which columns of items are which modality, for detectors that look at items themselves.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "text_sha256"),
    "picture": ("pictures", "pictures_sha256", "media", "description"),
    "frames": ("pictures", "pictures_sha256", "media", "description"),
}


@dataclass(frozen=True, eq=False)
class Operated:
    """New items.

    Attributes:
        items: The columns of the items, and ``parent_id``, ``donor_id`` (null where none gave anything); ``label`` is
            what the operator says of it.
        features: Their rows of ``features``, by extractor.
        n_left_out: Items with the right label that lack the modality, or that would have nothing left.
    """

    items: pl.DataFrame
    features: Mapping[str, pl.DataFrame]
    n_left_out: int


def operated(operator: Operator, items: pl.DataFrame, *, features: Mapping[str, pl.DataFrame]) -> Operated:
    """Return the new items that an operator makes of items of one split of one dataset.

    What an item's modality is exchanged with, and every random number, depends on the operator's seed and the item's
    id; donors are items of the other label with that modality, drawn with replacement.

    Args:
        items: Columns ``dataset``, ``item_id``, ``split``, ``text``, ``text_sha256``, ``label``, and where media are
            shown those of ``COLUMNS``.
        features: Rows of ``features`` of the dataset, by extractor; none for a detector that looks at items themselves.
    """
    operation = registry.of(operator)
    own = {name: rows.parts_of(items, features=seen) for name, seen in features.items()}
    has = _has(operator, items, own)
    wanted = items["label"] if operation.parents == "positive" else ~items["label"]
    is_parent = pl.repeat(True, items.height, eager=True) if operation.parents == "all" else wanted
    donor_ids = items.filter(has & ~is_parent)["item_id"].sort().to_list() if operation.takes == "donor" else []
    is_changed = has & is_parent
    if (operation.takes == "donor" and not donor_ids) or (operation.takes == "own" and not own):
        is_changed = is_changed & False  # nobody gives anything, or there are no vectors to change
    if operation.takes == "nothing":
        is_changed = is_changed & _has_more(operator, items, own)
    parents = items.filter(is_changed)
    given = _donors(operator, parents["item_id"].to_list(), donor_ids)
    new = _items(operator, parents, items, given)
    changed = {
        name: _features(operator, seen.join(parents.select("item_id"), on="item_id", how="semi"), seen, given, name)
        for name, seen in own.items()
    }
    return Operated(new, changed, int(is_parent.sum()) - parents.height)


def label(operator: Operator) -> pl.Expr:
    """Return the new item's label by its parent's, ``label``."""
    after = {"stays": pl.col("label"), "flips": ~pl.col("label"), "control": pl.lit(False)}
    return after[operator.label].alias("label")


def _has(operator: Operator, items: pl.DataFrame, own: Mapping[str, pl.DataFrame]) -> pl.Series:
    """Return which items have the modality, (items,), bool."""
    if own:
        there = pl.concat([seen.filter(modality=operator.modality) for seen in own.values()])
        return items["item_id"].is_in(there.drop_nulls("vector")["item_id"].unique().to_list())
    columns = [name for name in COLUMNS.get(operator.modality, ()) if name in items.columns]
    if not columns:
        return pl.repeat(False, items.height, eager=True)
    column = items[columns[0]]
    return column.list.len().fill_null(0) > 0 if column.dtype == pl.List(pl.String) else column.fill_null("") != ""


def _has_more(operator: Operator, items: pl.DataFrame, own: Mapping[str, pl.DataFrame]) -> pl.Series:
    """Return which items have anything besides the modality, (items,), bool."""
    others = [modality for modality in get_args(Modality) if modality != operator.modality]
    found = pl.repeat(False, items.height, eager=True)
    for modality in others if own else [name for name in ("text", "picture") if not _same(name, operator.modality)]:
        found = found | _has(operator.model_copy(update={"modality": modality}), items, own)
    return found


def _same(modality: str, other: str) -> bool:
    return COLUMNS.get(modality) == COLUMNS.get(other)


def _donors(operator: Operator, ids: list[str], candidates: list[str]) -> pl.DataFrame:
    """Return columns ``item_id`` and ``donor_id``; no rows where nobody gives."""
    drawn = [
        candidates[int(generator(operator.seed, operator.kind, item).integers(len(candidates)))]
        for item in (ids if candidates else [])
    ]
    return pl.DataFrame(
        {"item_id": ids if candidates else [], "donor_id": drawn}, schema={"item_id": pl.String, "donor_id": pl.String}
    )


def _items(operator: Operator, parents: pl.DataFrame, items: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """Return the new items as detectors see them that look at items themselves."""
    new = parents.join(given, on="item_id", how="left", maintain_order="left")
    columns = [name for name in COLUMNS.get(operator.modality, ()) if name in items.columns]
    takes = registry.of(operator).takes
    if takes == "donor":
        theirs = items.select(pl.col("item_id").alias("donor_id"), *columns).unique("donor_id", keep="first")
        new = new.drop(columns).join(theirs, on="donor_id", how="left", maintain_order="left")
    elif takes == "nothing":
        empty = {"text": pl.lit(""), "text_sha256": pl.lit(text_sha256("")), "pictures": pl.lit([], pl.List(pl.String))}
        new = new.with_columns(
            empty.get(name, pl.lit(None, items.schema[name])).cast(items.schema[name]).alias(name) for name in columns
        )
    new = new.with_columns(label(operator), parent_id="item_id")
    new = new.with_columns(item_id=pl.format("{}~{}", "item_id", pl.lit(operator.name)))
    if takes == "own" and operator.modality == "text":
        # What is known by the text's hash is another thing now.
        new = new.with_columns(text_sha256=_hash("item_id"))
    return new.select(*items.columns, "parent_id", "donor_id")


def _features(
    operator: Operator, parents: pl.DataFrame, all_items: pl.DataFrame, given: pl.DataFrame, extractor: str
) -> pl.DataFrame:
    """Return the new items' rows of ``features``."""
    is_theirs = pl.col("modality") == operator.modality
    kept, theirs = parents.filter(~is_theirs), parents.filter(is_theirs)
    takes = registry.of(operator).takes
    if takes == "donor":
        donated = all_items.filter(is_theirs).rename({"item_id": "donor_id"}).drop("split")
        splits = parents.select("item_id", "split").unique()
        theirs = given.join(splits, on="item_id").join(donated, on="donor_id").select(parents.columns)
    elif takes == "nothing":
        theirs = theirs.with_columns(
            vector=pl.lit(None, theirs.schema["vector"]), sha256=pl.lit(None, pl.String)
        ).unique(["item_id", "modality"], keep="first")
    else:
        theirs = _changed(operator, theirs, all_items.filter(is_theirs), extractor)
    named = pl.format("{}~{}", "item_id", pl.lit(operator.name))
    new = pl.concat([kept, theirs]).with_columns(item_id=named)
    if takes == "own":
        of_texts = is_theirs & (pl.col("modality") == "text") & pl.col("sha256").is_not_null()
        new = new.with_columns(sha256=pl.when(of_texts).then(_hash("item_id")).otherwise("sha256"))
    return new.select(list(schemas.FEATURES.columns)).sort(schemas.FEATURES.key)


def _changed(operator: Operator, theirs: pl.DataFrame, of_all: pl.DataFrame, extractor: str) -> pl.DataFrame:
    """Return rows with their vectors changed, an item at a time."""
    there = theirs.drop_nulls("vector").sort(schemas.FEATURES.key)
    if there.is_empty():
        return theirs
    around = spread(_matrix(of_all.drop_nulls("vector")))
    vectors = np.concatenate(list(_vectors(operator, there, around, extractor)))
    changed = there.with_columns(vector=pl.Series(vectors.tolist(), dtype=there.schema["vector"]))
    return pl.concat([changed, theirs.filter(pl.col("vector").is_null())])


def _vectors(operator: Operator, there: pl.DataFrame, around: Spread, extractor: str) -> Iterator[np.ndarray]:
    change = registry.of(operator).change
    assert change is not None
    for (item,), of_item in there.group_by("item_id", maintain_order=True):
        numbers = generator(operator.seed, operator.kind, str(item), extractor)
        yield change(_matrix(of_item), strength=operator.strength, around=around, numbers=numbers)


def _matrix(parts: pl.DataFrame) -> np.ndarray:
    return parts["vector"].explode().to_numpy().reshape(parts.height, -1)


def _hash(column: str) -> pl.Expr:
    return pl.col(column).map_elements(text_sha256, return_dtype=pl.String)
