"""Which test videos a detector has as good as seen in training: texts almost equal, or pictures that look alike."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.datasets.integrity import ALIKE_BITS
from m2v.lineage.findings import Finding

# Texts this alike are near-duplicates; the limit of Lee et al. (2022, ACL, Deduplicating Training Data), who compare
# shingles of words. Characters serve texts of a few words and languages without spaces too.
SHINGLE, ALIKE = 5, 0.8
# A test video is known by its pictures when so many of its frames look like those of one training item.
FRAMES_SHARE = 0.5
# About half of a perceptual hash's bits are set, by its definition; of a picture without any content hardly one is.
SET_BITS = range(16, 49)
# Texts and pictures that are compared with all others at once.
AT_ONCE, EXAMPLES_AT_ONCE = 256, 16_384
N_SHINGLES = 2**22

Pictures = Mapping[tuple[str, ...], Sequence[str]]


def near_duplicates(
    examples: pl.DataFrame,
    test: pl.DataFrame,
    *,
    pictures: Pictures | None = None,
    test_pictures: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Return the test videos that have a near-duplicate among training examples, with the nearest one.

    Args:
        examples: Rows of ``training_examples``.
        test: Columns ``video_id`` and ``text``.
        pictures: Perceptual hashes (16 hexadecimal digits) of examples' pictures or frames, by dataset and id.
        test_pictures: And of test videos' frames, by id.

    Returns:
        Rows of ``near_duplicates``, sorted.
    """
    examples, test = examples.sort("dataset", "item_id", "split"), test.sort("video_id")
    rows = [*_by_text(examples, test), *_by_picture(examples, test, pictures or {}, test_pictures or {})]
    schema = schemas.NEAR_DUPLICATES
    return schema.validate(pl.DataFrame(rows, schema=dict(schema.columns)).sort(schema.key))


def normalised(text: str) -> str:
    """Return a text's words in small letters, without punctuation, as near-duplicates are compared."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def shingles(text: str) -> set[str]:
    """Return all pieces of five characters of a normalised text; a shorter one is one piece, an empty one none."""
    whole = normalised(text)
    return {whole[start : start + SHINGLE] for start in range(max(1, len(whole) - SHINGLE + 1))} - {""}


def _by_text(examples: pl.DataFrame, test: pl.DataFrame) -> list[dict[str, Any]]:
    found, known = _shingled(test["text"]), _shingled(examples["text"])

    def alike(rows: slice, others: slice) -> np.ndarray:
        """Return Jaccard's index, (test, examples), float64."""
        both = (found[0][rows] @ known[0][others].T).toarray()
        either = found[1][rows, None] + known[1][None, others] - both
        return np.divide(both, either, out=np.zeros_like(both), where=either > 0)

    return _nearest(examples, test, "text", alike=alike, least=ALIKE)


def _shingled(texts: pl.Series) -> tuple[Any, np.ndarray]:
    """Return which shingles each text has, (texts, shingles), sparse, and how many, (texts,), both float64."""
    from sklearn.feature_extraction.text import HashingVectorizer

    settings: dict[str, Any] = {"analyzer": shingles, "norm": None}  # both allowed, its annotations deny it
    hashed = HashingVectorizer(n_features=N_SHINGLES, binary=True, alternate_sign=False, dtype=np.float64, **settings)
    members: Any = hashed.transform(texts.to_list())  # a CSR matrix
    return members, np.diff(members.indptr).astype(np.float64)


def _by_picture(
    examples: pl.DataFrame, test: pl.DataFrame, pictures: Pictures, test_pictures: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    shown = _hashes([pictures.get(item, ()) for item in examples.select("dataset", "item_id").iter_rows()])
    tested = _hashes([test_pictures.get(item, ()) for item in test["video_id"]])
    if not any(map(len, shown)) or not any(map(len, tested)):
        return []

    def alike(rows: slice, others: slice) -> np.ndarray:
        """Return the share of each test video's frames that have one alike in an example, (test, examples), float64."""
        of_examples = shown[others]
        starts = np.cumsum([0, *map(len, of_examples)])[:-1]
        has_some = np.array([len(hashes) > 0 for hashes in of_examples])
        shares = np.zeros((len(tested[rows]), len(of_examples)))
        if not has_some.any():
            return shares
        flat = np.concatenate(of_examples)
        for row, hashes in enumerate(tested[rows]):
            if len(hashes):
                near = np.bitwise_count(hashes[:, None] ^ flat[None]) <= ALIKE_BITS  # (frames, pictures)
                shares[row, has_some] = np.maximum.reduceat(near, starts[has_some], axis=1).mean(axis=0)
        return shares

    return _nearest(examples, test, "picture", alike=alike, least=FRAMES_SHARE)


def _hashes(listed: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Return each item's hashes that have content, (pictures,), uint64, each once."""
    values = [{int(digest, 16) for digest in digests} for digests in listed]
    return [
        np.array(sorted(value for value in found if value.bit_count() in SET_BITS), dtype=np.uint64) for found in values
    ]


def _nearest(
    examples: pl.DataFrame,
    test: pl.DataFrame,
    by: str,
    *,
    alike: Callable[[slice, slice], np.ndarray],
    least: float,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    ids = examples.select("dataset", "item_id", "split").rows()
    for start in range(0, test.height, AT_ONCE):
        here = slice(start, min(start + AT_ONCE, test.height))
        best = np.zeros(here.stop - start)
        place, count = np.zeros((2, here.stop - start), dtype=int)
        for first in range(0, examples.height, EXAMPLES_AT_ONCE):
            found = alike(here, slice(first, first + EXAMPLES_AT_ONCE))  # (test, examples)
            nearest, value = found.argmax(axis=1), found.max(axis=1)
            place = np.where(value > best, first + nearest, place)
            best = np.maximum(best, value)
            count += (found >= least).sum(axis=1)
        for row in np.flatnonzero(count):
            dataset, item, split = ids[place[row]]
            rows.append(
                {
                    "video_id": test["video_id"][start + int(row)],
                    "by": by,
                    "dataset": dataset,
                    "item_id": item,
                    "split": split,
                    "similarity": float(best[row]),
                    "n_examples": int(count[row]),
                }
            )
    return rows


def finding(rows: pl.DataFrame, *, n_test: int, n_examples: int, has_pictures: bool, variant: str) -> Finding:
    """Return the check of a training set: how many test videos it shows already.

    Args:
        rows: Rows of ``near_duplicates``.
        n_test, n_examples: How many were compared.
        has_pictures: Whether pictures were compared too.
    """
    ids = rows["video_id"].unique().sort()
    n = {by: rows.filter(pl.col("by") == by).height for by in ("text", "picture")}
    looked = "texts and pictures were compared" if has_pictures else "texts were compared; this study has no pictures"
    return Finding(
        "test_unseen",
        "near_duplicates",
        variant,
        is_fine=ids.is_empty(),
        summary=(
            f"{len(ids)} of {n_test} test videos have a near-duplicate among the {n_examples} training examples "
            f"({n['text']} by text, {n['picture']} by picture; {looked})."
        ),
        ids=tuple(ids),
        figures={"n_seen": len(ids), "n_by_text": n["text"], "n_by_picture": n["picture"], "n_test": n_test},
    )
