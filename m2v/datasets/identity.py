"""Whether new rows of a table are of the dataset that it has had: two studies may call different datasets the same."""

import polars as pl

from m2v import schemas
from m2v.errors import AnotherDataset


def refuse_another(before: pl.DataFrame, after: pl.DataFrame, *, name: str, title: str) -> None:
    """Raise where no item of a dataset is among those that its table has had.

    An item is the same where its id and text are; where it has no text, its id and medium. A dataset that was edited,
    cut or extended keeps some of its items, a copy of a study all of them.

    Args:
        before, after: Rows of ``memes`` or of ``videos``.
        name: Of the table and its variant.
        title: Of the dataset that the new rows are of.

    Raises:
        AnotherDataset: Both have rows, and no item in common.
    """
    if before.is_empty() or after.is_empty():
        return
    item_id = schemas.id_column(after)
    medium = "image" if "image" in after.columns else "video"
    told = pl.when(pl.col("text") != "").then("text_sha256").otherwise(pl.col(medium).fill_null("")).alias("told")
    ours, theirs = (rows.select(item_id, told) for rows in (after, before))
    if ours.join(theirs, on=[item_id, "told"], how="semi").is_empty():
        raise AnotherDataset(
            f"{name} in this home holds another dataset: none of its {before.height:,} items is among the "
            f"{after.height:,} of {title!r}. Two studies call different datasets {name.partition('/')[2]!r}, and would "
            "overwrite each other's tables. Rename this one (its YAML's file, and where the study names it), or give "
            "this study a home of its own: M2V_HOME=… before the command. Nothing was written."
        )
