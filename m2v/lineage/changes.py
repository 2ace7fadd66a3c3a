"""Which rows differ between two versions of a table."""

import polars as pl

from m2v.schemas import Table


def changes(before: pl.DataFrame, after: pl.DataFrame, *, table: Table) -> pl.DataFrame:
    """One row per key that was added, removed or changed.

    Returns:
        The key's columns, then ``change`` ("added", "removed", "changed"), ``columns`` (str, those that differ) and
        for every other column ``<column>_before`` and ``<column>_after``; sorted by key.
    """
    key = list(table.key)
    values = [column for column in table.columns if column not in key]
    joined = before.with_columns(_is_before=True).join(
        after.with_columns(_is_after=True), on=key, how="full", coalesce=True, suffix="_after", nulls_equal=True
    )
    differs = {column: pl.col(column).ne_missing(pl.col(f"{column}_after")) for column in values}
    is_added, is_removed = pl.col("_is_before").is_null(), pl.col("_is_after").is_null()
    names = pl.concat_list([pl.when(differ).then(pl.lit(column)) for column, differ in differs.items()])
    return (
        joined.filter(is_added | is_removed | pl.any_horizontal(list(differs.values())))
        .select(
            *key,
            pl.when(is_added).then(pl.lit("added")).when(is_removed).then(pl.lit("removed")).otherwise(pl.lit("changed"))
            .alias("change"),
            pl.when(is_added | is_removed).then(pl.lit("")).otherwise(names.list.drop_nulls().list.join(", "))
            .alias("columns"),
            *(
                pl.col(column if end == "before" else f"{column}_after").alias(f"{column}_{end}")
                for column in values
                for end in ("before", "after")
            ),
        )
        .sort(key)
    )  # fmt: skip
