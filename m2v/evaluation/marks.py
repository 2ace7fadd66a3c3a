"""What the forest plot shows, before it is drawn."""

import polars as pl

from m2v.evaluation import wording

ORDER = pl.Enum(list(wording.STRATEGIES))
MARKS = {
    "target": pl.String,
    "strategy": pl.String,
    "memes": pl.String,
    "series": pl.String,
    "is_published": pl.Boolean,
    "seed": pl.Int32,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def marks(results: pl.DataFrame, *, paper: pl.DataFrame, score: str = "macro_f1") -> pl.DataFrame:
    """Every run's score and every value that the paper published about the same targets.

    Args:
        results: Rows of ``results``.
        paper: As ``paper_results`` returns it. What its tables repeat is shown once; the best figures of the datasets'
            own papers belong to no strategy and are not shown, nor are targets without results.
        score: One of ``schemas.SCORES``; the paper has no AUROC.

    Returns:
        Columns ``target``, ``strategy``, ``memes`` (null without), ``series`` (the model), ``is_published``, ``seed``,
        ``value``, ``low``, ``high`` (the ends, like ``seed``, null where published); sorted by target, then
        from top to bottom. The majority class is a line, not a mark.
    """
    ours = results.filter(pl.col("strategy") != "majority").select(
        "target",
        "strategy",
        "memes",
        "seed",
        series=pl.col("model") + pl.when("paper_mode").then(pl.lit(wording.PAPER_MODE)).otherwise(pl.lit("")),
        is_published=pl.lit(value=False),
        value=score,
        low=f"{score}_low",
        high=f"{score}_high",
    )
    is_shown = pl.col("strategy").is_in(list(wording.STRATEGIES)) & pl.col("target").is_in(
        results["target"].unique().to_list()
    )
    published = paper.filter(is_shown).select(
        "target",
        "strategy",
        # The paper's table names the target's own videos here too.
        memes=pl.when(pl.col("finetune_dataset") != pl.col("target")).then("finetune_dataset"),
        series="model",
        is_published=pl.lit(value=True),
        value=score if score in paper.columns else pl.lit(None, dtype=pl.Float64),
    )
    return (
        pl.concat([pl.DataFrame(schema=MARKS), ours, published.unique()], how="diagonal")
        .drop_nulls("value")
        .sort("target", pl.col("strategy").cast(ORDER), "memes", "is_published", "series", "seed", "value")
    )
