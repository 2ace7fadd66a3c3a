"""What the forest plot shows, before it is drawn."""

import polars as pl

from m2v.entries.splits import OWN
from m2v.evaluation import wording

ORDER = pl.Enum(list(wording.STRATEGIES))
MARKS = {
    "panel": pl.String,
    "strategy": pl.String,
    "memes": pl.String,
    "series": pl.String,
    "is_published": pl.Boolean,
    "seed": pl.Int32,
    "fold": pl.UInt32,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def panelled(results: pl.DataFrame) -> pl.DataFrame:
    """Return results with the name of their panel: the target, and its split where that is not its own.

    Args:
        results: Rows of ``results``.
    """
    named = pl.when(pl.col("split") == OWN).then(pl.col("target")).otherwise(pl.format("{}, {}", "target", "split"))
    return results.with_columns(panel=named)


def otherwise_divided(results: pl.DataFrame, *, paper: pl.DataFrame) -> list[str]:
    """Return the panels of targets that the paper has values of, on another split than theirs; sorted.

    Args:
        results: Rows of ``results``.
        paper: As ``paper_results`` returns it.
    """
    theirs = paper.select("target", paper_digest="split_digest").unique()
    other = panelled(results).join(theirs, on="target").filter(pl.col("split_digest") != pl.col("paper_digest"))
    return sorted(set(other["panel"]))


def marks(results: pl.DataFrame, *, paper: pl.DataFrame, score: str = "macro_f1") -> pl.DataFrame:
    """Every run's score, and every value that the paper published about the same split of the same target.

    Args:
        results: Rows of ``results``.
        paper: As ``paper_results`` returns it. What its tables repeat is shown once; the best figures of the datasets'
            own papers belong to no strategy and are not shown, nor are targets without results.
        score: One of ``schemas.SCORES``; the paper has no AUROC.

    Returns:
        Columns ``panel``, ``strategy``, ``memes`` (null without), ``series`` (the model), ``is_published``, ``seed``,
        ``fold``, ``value``, ``low``, ``high`` (the ends, like ``seed``, null where published); sorted by panel, then
        from top to bottom. The majority class is a line, not a mark.
    """
    results = panelled(results)
    ours = results.filter(pl.col("strategy") != "majority").select(
        "panel",
        "strategy",
        "memes",
        "seed",
        "fold",
        series=pl.col("model") + pl.when("paper_mode").then(pl.lit(wording.PAPER_MODE)).otherwise(pl.lit("")),
        is_published=pl.lit(value=False),
        value=score,
        low=f"{score}_low",
        high=f"{score}_high",
    )
    panels = results.select("target", "split_digest", "panel").unique()
    is_shown = pl.col("strategy").is_in(list(wording.STRATEGIES))
    published = (
        paper.filter(is_shown)
        .join(panels, on=["target", "split_digest"])
        .select(
            "panel",
            "strategy",
            # The paper's table names the target's own videos here too.
            memes=pl.when(pl.col("finetune_dataset") != pl.col("target")).then("finetune_dataset"),
            series="model",
            is_published=pl.lit(value=True),
            value=score if score in paper.columns else pl.lit(None, dtype=pl.Float64),
        )
    )
    return (
        pl.concat([pl.DataFrame(schema=MARKS), ours, published.unique()], how="diagonal")
        .drop_nulls("value")
        .sort("panel", pl.col("strategy").cast(ORDER), "memes", "is_published", "series", "fold", "seed", "value")
    )
