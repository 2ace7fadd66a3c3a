"""What is wrong with the data as it comes: leaks between splits, missing and repeated texts, unheld demonstrations."""

from collections.abc import Mapping

import polars as pl

from m2v import schemas
from m2v.lineage.findings import Finding

# Pictures look alike whose perceptual hashes differ in at most so many of 64 bits.
ALIKE_BITS = 6
ORDER = ["train", "validation", "test"]
IS_EMPTY = pl.col("text").str.strip_chars() == ""


def video_findings(videos: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return the checks of a target's videos.

    Args:
        videos: Rows of ``videos``.
    """
    texts = videos.filter(~IS_EMPTY)
    repeated_ids = _in_several_splits(videos, "video_id")
    repeated_texts = _in_several_splits(texts, "text_sha256")
    n_texts = repeated_texts["text_sha256"].n_unique()
    empty = videos.filter(IS_EMPTY)
    # Many layouts say nothing of sound, which is in the video's own file then.
    says_sound = videos["audio"].count() > 0
    silent = videos.filter(pl.col("audio").is_null()) if says_sound else videos.clear()
    outcomes = [
        (
            "ids_in_one_split",
            repeated_ids,
            f"{repeated_ids['video_id'].n_unique()} videos stand in more than one split",
        ),
        (
            "texts_in_one_split",
            repeated_texts,
            f"{n_texts} distinct texts stand in more than one split, in {repeated_texts.height} rows",
        ),
        ("texts_present", empty, f"{empty.height} of {videos.height} videos have no text"),
        (
            "audio_present",
            silent,
            f"{silent.height} of {videos.height} videos have no audio"
            if says_sound
            else "The tables name no files of sound; videos have their own",
        ),
    ]
    return [
        Finding(
            check,
            "videos",
            variant,
            is_fine=rows.is_empty(),
            summary=f"{summary}.",
            ids=tuple(rows["video_id"].unique().sort()),
            figures={"n_rows": rows.height, **({"n_texts": n_texts} if check == "texts_in_one_split" else {})},
        )
        for check, rows, summary in outcomes
    ]


def meme_findings(memes: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Return the checks of a dataset's memes.

    Args:
        memes: Rows of ``memes``.
    """
    texts = memes.filter(~IS_EMPTY)
    repeated = texts.filter(pl.col("text_sha256").is_duplicated())
    empty = memes.filter(IS_EMPTY)
    n_texts = repeated["text_sha256"].n_unique()
    contradictory = repeated.filter(pl.col("label").n_unique().over("text_sha256") > 1)
    return [
        Finding(
            "texts_unique",
            "memes",
            variant,
            is_fine=repeated.is_empty(),
            summary=(
                f"{n_texts} texts stand in {repeated.height} memes; {contradictory.height} of these have a label that "
                "another meme with the same text contradicts."
            ),
            ids=tuple(repeated["meme_id"].sort()),
            figures={"n_texts": n_texts, "n_memes": repeated.height, "n_contradictory": contradictory.height},
        ),
        Finding(
            "texts_present",
            "memes",
            variant,
            is_fine=empty.is_empty(),
            summary=f"{empty.height} of {memes.height} memes have no text.",
            ids=tuple(empty["meme_id"].sort()),
            figures={"n_rows": empty.height},
        ),
    ]


def demonstration_findings(demonstrations: pl.DataFrame, videos: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Whether a few-shot example is also trained on, or even tested on.

    The paper trains on train + validation, so that a demonstration out of the validation split is trained on too.

    Args:
        demonstrations: Rows of ``demonstrations``.
        videos: Rows of ``videos`` of the same target.
    """
    placed = demonstrations.select("video_id").join(videos.select("video_id", "split"), on="video_id", how="left")
    n = {split: placed.filter(split=split).height for split in ORDER}
    n_unknown = placed["split"].null_count()
    n_trained_on = placed.filter(pl.col("split").is_in(ORDER[:2]))["video_id"].n_unique()
    offending = placed.filter(pl.col("split").is_not_null())["video_id"].unique().sort()
    return [
        Finding(
            "demonstrations_held_out",
            "demonstrations",
            variant,
            is_fine=offending.is_empty(),
            summary=(
                f"Of {demonstrations.height} demonstrations {n['train']} stand in train, {n['validation']} in "
                f"validation, {n['test']} in test and {n_unknown} in none of these: a recipe that trains on "
                f"train + validation, as the paper's does, trains on {n_trained_on} of them."
            ),
            ids=tuple(offending),
            figures={
                **{f"n_{split}": count for split, count in n.items()},
                "n_unknown": n_unknown,
                "n_trained_on_in_paper_mode": n_trained_on,
            },
        )
    ]


def picture_findings(images: pl.DataFrame, memes: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Pictures that cannot be used, that are not whole, and pictures that look alike, above all in different splits.

    Args:
        images: Rows of ``meme_images``.
        memes: Columns ``meme_id`` and ``split``.
    """
    unusable = images.filter(pl.col("problem").is_not_null())
    reasons = dict(unusable.group_by(pl.col("problem").cast(pl.String)).len().sort("problem").iter_rows())
    # Versions from before it was looked at do not say.
    torn = images.filter(pl.col("is_torn"))["meme_id"].sort() if "is_torn" in images.columns else pl.Series()
    usable = images.drop_nulls("perceptual_hash")
    pairs = near_duplicates(dict(usable.select("meme_id", "perceptual_hash").iter_rows()))
    split = dict(memes.select("meme_id", pl.col("split").cast(pl.String)).iter_rows())
    across = [pair for pair in pairs if split[pair[0]] != split[pair[1]]]
    alike = sorted({item for pair in pairs for item in pair})
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return [
        Finding(
            "pictures_usable",
            "meme_images",
            variant,
            is_fine=unusable.is_empty(),
            summary=f"{unusable.height} of {images.height} pictures cannot be used{f': {counts}' if counts else ''}.",
            ids=tuple(unusable["meme_id"].sort()),
            figures={"n_pictures": images.height, **{f"n_{reason}": count for reason, count in reasons.items()}},
        ),
        Finding(
            "pictures_whole",
            "meme_images",
            variant,
            is_fine=torn.is_empty(),
            summary=f"Of {images.height} pictures, {len(torn)} are cut off: their file ends early, the rest is grey.",
            ids=tuple(torn),
            figures={"n_torn": len(torn)},
        ),
        Finding(
            "pictures_unique",
            "meme_images",
            variant,
            is_fine=not pairs,
            summary=(
                f"{len(alike)} pictures look like another one ({len(pairs)} pairs within {ALIKE_BITS} of 64 bits of "
                f"their perceptual hash, {len(across)} of them in different splits)."
            ),
            ids=tuple(alike),
            figures={"n_alike": len(alike), "n_pairs": len(pairs), "n_pairs_across_splits": len(across)},
        ),
    ]


def shared_pictures(images: Mapping[str, pl.DataFrame]) -> Finding:
    """Pictures that look like one of another dataset.

    Args:
        images: Rows of ``meme_images`` by dataset.
    """
    hashes = {
        f"{dataset}/{item}": digest
        for dataset, rows in images.items()
        for item, digest in rows.drop_nulls("perceptual_hash").select("meme_id", "perceptual_hash").iter_rows()
    }
    across = [pair for pair in near_duplicates(hashes) if len({item.partition("/")[0] for item in pair}) > 1]
    alike = sorted({item for pair in across for item in pair})
    return Finding(
        "pictures_of_one_dataset",
        "meme_images",
        ", ".join(images),
        is_fine=not across,
        summary=(
            f"{len(alike)} pictures look like one of another dataset "
            f"({len(across)} pairs within {ALIKE_BITS} of 64 bits)."
        ),
        ids=tuple(alike),
        figures={"n_alike": len(alike), "n_pairs": len(across)},
    )


def near_duplicates(hashes: Mapping[str, str], *, bits: int = ALIKE_BITS) -> list[tuple[str, str]]:
    """Pairs of ids, in order, whose perceptual hashes differ in at most so many of 64 bits.

    Hashes within 7 bits have one of eight bytes in common, by the pigeonhole principle; only those are compared.

    Args:
        hashes: 16 hexadecimal digits by id.
        bits: At most 7.
    """
    values = {item: int(digest, 16) for item, digest in sorted(hashes.items())}
    pairs = set()
    for shift in range(0, 64, 8):
        buckets: dict[int, list[str]] = {}
        for item, value in values.items():
            buckets.setdefault(value >> shift & 0xFF, []).append(item)
        for items in buckets.values():
            for place, one in enumerate(items):
                pairs.update(
                    (one, other) for other in items[place + 1 :] if (values[one] ^ values[other]).bit_count() <= bits
                )
    return sorted(pairs)


def feature_findings(features: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Videos without a frame.

    Args:
        features: Rows of ``video_features``.
    """
    unusable = features.filter(pl.col("problem").is_not_null())
    reasons = sorted(set(unusable["problem"]))
    n_silent = features["audio_problem"].is_not_null().sum()
    why = f" ({', '.join(reasons)})" if reasons else ""
    return [
        Finding(
            "videos_usable",
            "video_features",
            variant,
            is_fine=unusable.is_empty(),
            summary=f"{unusable.height} of {features.height} videos have no frame{why}; {n_silent} have no sound.",
            ids=tuple(unusable["video_id"].sort()),
            figures={"n_videos": features.height, "n_without_frames": unusable.height, "n_silent": int(n_silent)},
        )
    ]


def training_findings(
    examples: pl.DataFrame, demonstrations: pl.DataFrame, *, target: str, variant: str
) -> list[Finding]:
    """Whether a training set holds demonstrations of its target.

    Args:
        examples: Rows of ``training_examples``.
        demonstrations: Rows of ``demonstrations`` of the target called ``target``.
    """
    trained_on = examples.filter(dataset=target).join(
        demonstrations, left_on="item_id", right_on="video_id", how="semi"
    )
    ids = trained_on["item_id"].unique().sort()
    return [
        Finding(
            "demonstrations_not_trained_on",
            "training_examples",
            variant,
            is_fine=ids.is_empty(),
            summary=f"{len(ids)} of {demonstrations.height} demonstrations are also trained on.",
            ids=tuple(ids),
            figures={"n_trained_on": len(ids)},
        )
    ]


def leaks(videos: pl.DataFrame, *, dataset: str) -> pl.DataFrame:
    """Return what has to go so that no video and no text stands in two splits: the copy in the earlier split.

    The order is train, validation, test: the test split never loses anything.

    Args:
        videos: Rows of ``videos``.
        dataset: The target's name.

    Returns:
        Rows of ``rejects``, sorted by item and split.
    """
    rank = pl.col("split").to_physical()
    last_of_id = rank.max().over("video_id")
    last_of_text = pl.when(IS_EMPTY).then(rank).otherwise(rank.max().over("text_sha256"))
    marked = videos.with_columns(rank=rank, last_of_id=last_of_id, last_of_text=last_of_text)
    leaked = marked.filter(pl.max_horizontal("last_of_id", "last_of_text") > pl.col("rank"))
    is_id = pl.col("last_of_id") > pl.col("rank")
    last = pl.when(is_id).then("last_of_id").otherwise("last_of_text")
    return leaked.select(
        dataset=pl.lit(dataset),
        item_id="video_id",
        split="split",
        reason=pl.when(is_id)
        .then(pl.lit("id_in_other_split"))
        .otherwise(pl.lit("text_in_other_split"))
        .cast(schemas.REJECTS.columns["reason"]),
        detail=pl.format("also in {}", last.replace_strict(dict(enumerate(ORDER)), return_dtype=pl.String)),
    ).sort("item_id", "split")


def _in_several_splits(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    return rows.filter(pl.col("split").n_unique().over(column) > 1)
