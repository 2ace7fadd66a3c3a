"""Scores on the test videos of which a detector saw no near-duplicate in training."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from m2v import schemas
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.slices import MIN_SUPPORT, scored


def seen(runs: Mapping[str, Predicted], *, duplicates: Mapping[str, pl.DataFrame], seed: int = 0) -> pl.DataFrame:
    """Return how many test videos each run has as good as seen, and its scores on the others.

    Args:
        runs: Test predictions by run.
        duplicates: Rows of ``near_duplicates`` of what each run was trained on; a run without any was not trained.
        seed: Of the bootstrap.

    Returns:
        Rows of ``seen``, sorted by run. Scores are null with fewer than ten videos left, and those of two labels where
        one is left.
    """
    rows = []
    for run, test in sorted(runs.items()):
        found = duplicates.get(run, schemas.NEAR_DUPLICATES.empty()).filter(pl.col("video_id").is_in(test.ids))
        by = {by: set(ids["video_id"]) for (by,), ids in found.group_by("by")}
        known = set().union(*by.values())
        left = np.array([item not in known for item in test.ids], dtype=bool)
        rows.append(
            {
                **dict.fromkeys(schemas.SEEN.columns),
                "run": run,
                "n_test": len(test.ids),
                "n_seen": len(known),
                "n_seen_text": len(by.get("text", ())),
                "n_seen_picture": len(by.get("picture", ())),
                "n_unseen_positive": int(test.labels[left].sum()),
                **(scored(test, left, seed=seed) if left.sum() >= MIN_SUPPORT else {}),
            }
        )
    return schemas.SEEN.validate(pl.DataFrame(rows, schema=dict(schemas.SEEN.columns)))
