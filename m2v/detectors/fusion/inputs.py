"""What a head that fuses modalities is given: each item's features, and which of them it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors.family import Task
from m2v.errors import InvalidRows
from m2v.features import rows


@dataclass(frozen=True, eq=False)
class FusionInputs:
    """Features of items by ``<extractor>:<modality>``.

    Attributes:
        values: (items, dimensions) each, float32, NaN where an item lacks the modality.
        present: (items, modalities), bool, in the order of ``values``.
    """

    values: Mapping[str, np.ndarray]
    present: np.ndarray


def dimensions(task: Task, items: pl.DataFrame) -> dict[str, int]:
    """Return the dimensions of every modality that some of the items have, by ``<extractor>:<modality>``.

    Args:
        items: Column ``dataset``.

    Raises:
        InvalidRows: None of the items has any feature by one of the extractors.
    """
    datasets, sizes = set(items["dataset"]), {}
    for extractor, by_dataset in task.features.items():
        lengths: dict[str, int] = {}
        for dataset, path in by_dataset.items():
            if dataset in datasets:
                lengths |= _lengths(path)
        if not lengths:
            raise InvalidRows(
                f"{task.model.name}: no item to train on has a feature by {extractor}. The check modalities_complete "
                "of its table says which items lack what."
            )
        sizes |= {f"{extractor}:{modality}": size for modality, size in sorted(lengths.items())}
    return sizes


def read(task: Task, items: pl.DataFrame, *, sizes: Mapping[str, int]) -> FusionInputs:
    """Return the items' features, a part's mean where an item has several parts.

    Args:
        items: Columns ``dataset``, ``item_id``, ``split``.
        sizes: Of each modality, as ``dimensions`` gives them.

    Raises:
        InvalidRows: Vectors have other dimensions than those that the head was trained on.
    """
    values = {name: np.full((items.height, size), np.nan, dtype=np.float32) for name, size in sizes.items()}
    present = np.zeros((items.height, len(values)), dtype=bool)
    names = items["dataset"].to_numpy()
    for extractor, by_dataset in task.features.items():
        for dataset, path in by_dataset.items():
            places = np.flatnonzero(names == dataset)
            features = pl.read_parquet(path)
            for number, name in enumerate(values):
                owner, _, modality = name.partition(":")
                if owner != extractor or not len(places):
                    continue
                means, has_any = rows.pooled(items[places], features=features, modality=modality)
                if has_any.any() and means.shape[1] != sizes[name]:
                    raise InvalidRows(
                        f"{task.model.name}: {extractor} gives {modality} of {dataset} {means.shape[1]} dimensions, "
                        f"where others have {sizes[name]}. Items of one run must be seen by the same model."
                    )
                values[name][places[has_any]] = means[has_any]
                present[places, number] = has_any
    return FusionInputs(values, present)


def _lengths(path: Path) -> dict[str, int]:
    there = pl.scan_parquet(path).filter((pl.col("role") == "item") & pl.col("vector").is_not_null())
    lengths = there.group_by(pl.col("modality").cast(pl.String)).agg(pl.col("vector").list.len().max()).collect()
    return dict(lengths.iter_rows())
