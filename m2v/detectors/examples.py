"""What a strategy trains on, and what is kept out of it."""

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.variants import TrainingSet
from m2v.errors import InvalidRows

KEY = ["dataset", "item_id", "split"]
N_FOLDS = 5


def build(
    training_set: TrainingSet,
    *,
    videos: pl.DataFrame,
    memes: pl.DataFrame | None,
    votes: pl.DataFrame | None,
    leaks: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the strategy's examples, and the items that were kept out with the reason.

    Memes come from their train split, with the original labels (``om_ft``) or the voted ones (``rm_ft``,
    ``vid_rm_ft``; undecided ones are rejected). Videos come from the target's train split, in paper mode from its
    validation split too, less the leaks.

    Args:
        videos: Rows of ``videos``.
        memes: Rows of ``memes``; None for ``vid_ft``.
        votes: Rows of ``voted_labels``; None where original labels are used.
        leaks: Rows of ``rejects``; empty where leaks are kept.

    Returns:
        Rows of ``training_examples`` and of ``rejects``, sorted by dataset, item and split.

    Raises:
        InvalidRows: Nothing is left, or only one class; or a meme has no vote, not even an undecided one.
    """
    parts, rejected = [], []
    if memes is not None and training_set.memes:
        rows = memes.filter(split="train")
        if votes is not None:
            _require_votes(rows, votes=votes, training_set=training_set)
        kept, out = _memes(rows, votes=votes, dataset=training_set.memes.name)
        parts.append(kept)
        rejected.append(out)
    if training_set.uses_videos:
        splits = ["train", "validation"] if training_set.paper_mode else ["train"]
        rows = _videos(videos.filter(pl.col("split").is_in(splits)), dataset=training_set.target.name)
        parts.append(rows.join(leaks, on=KEY, how="anti"))
        rejected.append(leaks.join(rows, on=KEY, how="semi"))
    examples = pl.concat(parts).sort(KEY)
    if examples["label"].n_unique() < 2:
        raise InvalidRows(
            f"training_examples/{training_set.name}: {examples.height} examples of {examples['label'].n_unique()} "
            "classes; training needs both. See its rejects, and the labels of its parents."
        )
    return examples, pl.concat(rejected).sort(KEY)


def validation(videos: pl.DataFrame, *, leaks: pl.DataFrame) -> pl.DataFrame:
    """Return the target's validation split less the leaks, sorted by ``video_id``.

    Args:
        videos: Rows of ``videos``.
        leaks: Rows of ``rejects``.
    """
    leaked = leaks.select(pl.col("item_id").alias("video_id"), "split")
    return videos.filter(split="validation").join(leaked, on=["video_id", "split"], how="anti").sort("video_id")


def folds(examples: pl.DataFrame, *, n: int = N_FOLDS, seed: int = 0) -> pl.Series | None:
    """Return in which fold each example is, from 0: both labels in every fold, equal texts in one.

    Args:
        examples: Rows of ``training_examples``.
        n: How many; fewer where a label has fewer different texts.
        seed: Of what is put where.

    Returns:
        (examples,), u32; None where a label has fewer than two different texts, so that none can be held out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    texts = examples.group_by("label").agg(pl.col("text_sha256").n_unique())["text_sha256"]
    n = min(n, *texts, 0 if len(texts) < 2 else n)
    if n < 2:
        return None
    divided = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    fold = np.zeros(examples.height, dtype=np.uint32)
    for number, (_, held_out) in enumerate(divided.split(fold, examples["label"], examples["text_sha256"])):
        fold[held_out] = number
    return pl.Series("fold", fold)


def drawn(examples: pl.DataFrame, *, share: float, seed: int) -> pl.DataFrame:
    """Return a share of the examples, of each dataset and label alike, in their order; a smaller share is part of it.

    Args:
        examples: Rows of ``training_examples``.
        share: In (0, 1]; at least one example of each dataset and label stays.
        seed: Of what is drawn.
    """
    generator = np.random.default_rng([seed, 3])
    # One order for every share: a curve does not go up and down because other examples are drawn.
    order = pl.Series("order", generator.permutation(examples.height))
    ranked = examples.with_columns(order).with_columns(place=pl.col("order").rank("ordinal").over("dataset", "label"))
    wanted = (pl.len().over("dataset", "label") * share).round().clip(lower_bound=1)
    return ranked.filter(pl.col("place") <= wanted).drop("order", "place")


def _require_votes(memes: pl.DataFrame, *, votes: pl.DataFrame, training_set: TrainingSet) -> None:
    missing = memes.join(votes, on="meme_id", how="anti")["meme_id"]
    if len(missing):
        raise InvalidRows(
            f"training_examples/{training_set.name}: {len(missing)} memes have no vote, for example {missing.min()!r}. "
            "Memes and voted labels must be of the same alignment; recompute the voted labels."
        )


def _memes(rows: pl.DataFrame, *, votes: pl.DataFrame | None, dataset: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    if votes is not None:
        decided = votes.select("meme_id", "decided_by", voted="label")
        rows = rows.join(decided, on="meme_id").with_columns(label="voted")
    source = "original" if votes is None else "voted"
    is_undecided = pl.col("label").is_null()
    detail = pl.col("decided_by").cast(pl.String) if votes is not None else pl.lit("")
    undecided = rows.filter(is_undecided).select(
        dataset=pl.lit(dataset),
        item_id="meme_id",
        split="split",
        reason=pl.lit("undecided").cast(schemas.REJECTS.columns["reason"]),
        detail=detail,
    )
    return _examples(rows.filter(~is_undecided), item_id="meme_id", dataset=dataset, source=source), undecided


def _videos(videos: pl.DataFrame, *, dataset: str) -> pl.DataFrame:
    return _examples(videos, item_id="video_id", dataset=dataset, source="video")


def _examples(rows: pl.DataFrame, *, item_id: str, dataset: str, source: str) -> pl.DataFrame:
    return rows.select(
        dataset=pl.lit(dataset),
        item_id=item_id,
        split="split",
        text="text",
        text_sha256="text_sha256",
        label="label",
        label_source=pl.lit(source).cast(schemas.TRAINING_EXAMPLES.columns["label_source"]),
    )
