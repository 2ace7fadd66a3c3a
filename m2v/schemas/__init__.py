"""Columns and dtypes of every table, once: a module for each stage."""

from m2v.errors import UnknownName
from m2v.schemas.annotation import CONFLICTS, HUMAN_LABELS, QUARANTINED_ANSWERS, ROUNDS, SKIPS, VOTED_LABELS
from m2v.schemas.datasets import DEMONSTRATIONS, FACETS, ITEM_SPLITS, MEMES, SEGMENTS, SOURCE_VOTES, VIDEOS, id_column
from m2v.schemas.detectors import (
    CHECKPOINTS,
    EXPLANATIONS,
    OPERATED_PREDICTIONS,
    REJECTS,
    TEST_PREDICTIONS,
    TRAINING_EXAMPLES,
    VALIDATION_PREDICTIONS,
)
from m2v.schemas.evaluation import (
    CALIBRATION,
    COMPARISONS,
    DIFFERENCES,
    LABEL_SUSPECTS,
    LEARNING_CURVES,
    METRICS,
    NEAR_DUPLICATES,
    OPERATING_POINTS,
    PREVALENCE_ESTIMATES,
    PREVALENCE_SCORES,
    RELIABILITY,
    RESULTS,
    REVIEW_BANDS,
    ROBUSTNESS,
    SCORES,
    SEEN,
    SLICE_SCORES,
    SLICES,
    SUITE_RESULTS,
)
from m2v.schemas.features import FEATURES
from m2v.schemas.lineage import FINDINGS, FORGOTTEN
from m2v.schemas.media import ITEM_TEXTS, MEME_IMAGES, VIDEO_FEATURES
from m2v.schemas.prediction import PREDICTIONS, SUITE_ANSWERS
from m2v.schemas.probes import FUNCTIONS, PROBE_PREDICTIONS, PROBES
from m2v.schemas.publishing import ADAPTER_RELEASES, DATASET_RELEASES, RELEASED_LABELS
from m2v.schemas.table import SPLITS, DType, Table

TABLES: dict[str, Table] = {
    entry.name: entry
    for entry in (
        MEMES,
        VIDEOS,
        DEMONSTRATIONS,
        FACETS,
        SEGMENTS,
        SOURCE_VOTES,
        ITEM_SPLITS,
        MEME_IMAGES,
        VIDEO_FEATURES,
        ITEM_TEXTS,
        FEATURES,
        PREDICTIONS,
        CONFLICTS,
        HUMAN_LABELS,
        ROUNDS,
        SKIPS,
        QUARANTINED_ANSWERS,
        VOTED_LABELS,
        TRAINING_EXAMPLES,
        REJECTS,
        CHECKPOINTS,
        TEST_PREDICTIONS,
        VALIDATION_PREDICTIONS,
        OPERATED_PREDICTIONS,
        EXPLANATIONS,
        METRICS,
        RESULTS,
        COMPARISONS,
        DIFFERENCES,
        CALIBRATION,
        RELIABILITY,
        OPERATING_POINTS,
        LEARNING_CURVES,
        PREVALENCE_ESTIMATES,
        PREVALENCE_SCORES,
        REVIEW_BANDS,
        SLICES,
        NEAR_DUPLICATES,
        SEEN,
        LABEL_SUSPECTS,
        ROBUSTNESS,
        PROBES,
        PROBE_PREDICTIONS,
        FUNCTIONS,
        SUITE_ANSWERS,
        SUITE_RESULTS,
        DATASET_RELEASES,
        ADAPTER_RELEASES,
        FORGOTTEN,
        FINDINGS,
    )
}


def table(name: str) -> Table:
    """Return the table of that name.

    Raises:
        UnknownName: With the nearest known names.
    """
    if name not in TABLES:
        raise UnknownName("table", name, TABLES)
    return TABLES[name]


__all__ = [
    "ADAPTER_RELEASES",
    "CALIBRATION",
    "CHECKPOINTS",
    "COMPARISONS",
    "CONFLICTS",
    "DATASET_RELEASES",
    "DEMONSTRATIONS",
    "DIFFERENCES",
    "EXPLANATIONS",
    "FACETS",
    "FEATURES",
    "FINDINGS",
    "FORGOTTEN",
    "FUNCTIONS",
    "HUMAN_LABELS",
    "ITEM_SPLITS",
    "ITEM_TEXTS",
    "LABEL_SUSPECTS",
    "LEARNING_CURVES",
    "MEMES",
    "MEME_IMAGES",
    "METRICS",
    "NEAR_DUPLICATES",
    "OPERATED_PREDICTIONS",
    "OPERATING_POINTS",
    "PREDICTIONS",
    "PREVALENCE_ESTIMATES",
    "PREVALENCE_SCORES",
    "PROBES",
    "PROBE_PREDICTIONS",
    "QUARANTINED_ANSWERS",
    "REJECTS",
    "RELEASED_LABELS",
    "RELIABILITY",
    "RESULTS",
    "REVIEW_BANDS",
    "ROBUSTNESS",
    "ROUNDS",
    "SCORES",
    "SEEN",
    "SEGMENTS",
    "SKIPS",
    "SLICES",
    "SLICE_SCORES",
    "SOURCE_VOTES",
    "SPLITS",
    "SUITE_ANSWERS",
    "SUITE_RESULTS",
    "TABLES",
    "TEST_PREDICTIONS",
    "TRAINING_EXAMPLES",
    "VALIDATION_PREDICTIONS",
    "VIDEOS",
    "VIDEO_FEATURES",
    "VOTED_LABELS",
    "DType",
    "Table",
    "id_column",
    "table",
]
