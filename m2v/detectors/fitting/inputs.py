"""What a head on frozen features is given: each item's vectors, and which modalities it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from m2v.detectors.family import Task
from m2v.detectors.fitting.entry import Fitted
from m2v.errors import InvalidRows
from m2v.features import rows

# Ids that an error names.
N_NAMED = 5


@dataclass(frozen=True, eq=False)
class Sequences:
    """One modality of items.

    Attributes:
        vectors: (vectors, dimensions), float32; the first item's, then the second's.
        starts: (items + 1,), int64: item i has vectors ``starts[i]:starts[i + 1]``, none where they are equal.
    """

    vectors: np.ndarray
    starts: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Which items have it, (items,), bool."""
        return np.diff(self.starts) > 0

    def of(self, places: np.ndarray) -> "Sequences":
        """Return it of some items only, in their order."""
        counts = np.diff(self.starts)[places]
        starts = np.concatenate([[0], np.cumsum(counts)])
        which = np.repeat(self.starts[places] - starts[:-1], counts) + np.arange(starts[-1])
        return Sequences(self.vectors[which], starts)


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """Features of items by ``<extractor>:<modality>``.

    Attributes:
        modalities: By name, in one order for all of a run.
    """

    modalities: Mapping[str, Sequences]

    @property
    def present(self) -> np.ndarray:
        """Which item has which modality, (items, modalities), bool."""
        return np.stack([modality.present for modality in self.modalities.values()], axis=1)

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(next(iter(self.modalities.values())).starts) - 1

    def of(self, places: np.ndarray) -> "HeadInputs":
        """Return the inputs of some items only, in their order."""
        return HeadInputs({name: modality.of(places) for name, modality in self.modalities.items()})


def dimensions(task: Task, items: pl.DataFrame) -> dict[str, int]:
    """Return the dimensions of every modality that some of the items' datasets have, by ``<extractor>:<modality>``.

    Args:
        items: Column ``dataset``.

    Raises:
        InvalidRows: None of the items has any feature by one of the extractors, or vectors of two lengths are mixed.
    """
    datasets, sizes = set(items["dataset"]), {}
    for extractor, by_dataset in task.features.items():
        lengths: dict[str, int] = {}
        for dataset, path in by_dataset.items():
            if dataset in datasets:
                for modality, length in _lengths(task, path, extractor=extractor, dataset=dataset).items():
                    if lengths.setdefault(modality, length) != length:
                        raise _mixed(task, extractor, modality, dataset, sorted({length, lengths[modality]}))
        if not lengths:
            raise InvalidRows(
                f"{task.model.name}: no item to train on has a feature by {extractor}. The check modalities_complete "
                "of its table says which items lack what."
            )
        sizes |= {f"{extractor}:{modality}": size for modality, size in sorted(lengths.items())}
    return sizes


def read(task: Task, items: pl.DataFrame, *, sizes: Mapping[str, int]) -> HeadInputs:
    """Return the items' features: every vector where the head sees tokens, else their mean.

    Args:
        items: Columns ``dataset``, ``item_id``, ``split``.
        sizes: Of each modality, as ``dimensions`` gives them.

    Raises:
        InvalidRows: Vectors have other dimensions than those that the head was trained on, or hold a number that is
            not finite; or an item has no feature at all and the model's entry does not say ``keep``.
    """
    assert isinstance(task.model, Fitted)
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in sizes}
    places = items.select("dataset", "item_id", "split").with_row_index("place")
    for extractor, by_dataset in task.features.items():
        for dataset, path in by_dataset.items():
            there = places.filter(dataset=dataset)
            if not there.height:
                continue
            _lengths(task, path, extractor=extractor, dataset=dataset)
            features = pl.read_parquet(path)
            for name, size in sizes.items():
                owner, _, modality = name.partition(":")
                if owner == extractor:
                    found = rows.of_items(there, features=features, modality=modality)
                    _refuse_unusable(task, found, name=name, dataset=dataset, size=size)
                    parts[name].append(found)
    inputs = HeadInputs({name: _sequences(found, items.height, sizes[name]) for name, found in parts.items()})
    if not task.model.sees_tokens:
        inputs = HeadInputs({name: pooled(modality) for name, modality in inputs.modalities.items()})
    else:
        inputs = HeadInputs({name: thinned(each, task.model.longest) for name, each in inputs.modalities.items()})
    if task.model.without_features == "refuse":
        _refuse_bare(task, items, inputs)
    return inputs


def pooled(modality: Sequences) -> Sequences:
    """Return one vector for each item that has any: their mean, taken in float64."""
    present = modality.present
    counts, first = np.diff(modality.starts)[present], modality.starts[:-1][present]
    if not len(first):
        return modality
    means = np.add.reduceat(modality.vectors.astype(np.float64), first) / counts[:, None]
    return Sequences(means.astype(np.float32), np.concatenate([[0], np.cumsum(present)]))


def thinned(modality: Sequences, longest: int) -> Sequences:
    """Return at most so many vectors of each item, evenly spread over those that it has."""
    counts = np.diff(modality.starts)
    if counts.max(initial=0) <= longest:
        return modality
    kept = np.minimum(counts, longest)
    starts = np.concatenate([[0], np.cumsum(kept)])
    step = np.arange(starts[-1]) - np.repeat(starts[:-1], kept)
    which = np.repeat(modality.starts[:-1], kept) + step * np.repeat(counts, kept) // np.repeat(kept, kept)
    return Sequences(modality.vectors[which], starts)


def definitions(task: Task) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the vectors of the label's negative and positive definition by modality, where an extractor read them."""
    known = {}
    for extractor, by_dataset in task.features.items():
        for path in by_dataset.values():
            said = pl.scan_parquet(path).filter((pl.col("role") != "item") & pl.col("vector").is_not_null()).collect()
            if said["role"].n_unique() == 2:
                positive, negative = rows.definitions(said)
                known[f"{extractor}:{said['modality'][0]}"] = (negative, positive)
    return known


def _sequences(parts: Sequence[pl.DataFrame], n_items: int, size: int) -> Sequences:
    """Put datasets' vectors in the items' order."""
    if not parts:
        return Sequences(np.zeros((0, size), np.float32), np.zeros(n_items + 1, np.int64))
    found = pl.concat(parts).sort("place", maintain_order=True)
    counts = np.bincount(found["place"].to_numpy(), minlength=n_items)
    vectors = found["vector"].explode().to_numpy().reshape(-1, size) if found.height else np.zeros((0, size))
    return Sequences(vectors.astype(np.float32), np.concatenate([[0], np.cumsum(counts)]))


def _lengths(task: Task, path: Path, *, extractor: str, dataset: str) -> dict[str, int]:
    there = pl.scan_parquet(path).filter((pl.col("role") == "item") & pl.col("vector").is_not_null())
    grouped = there.group_by(pl.col("modality").cast(pl.String)).agg(pl.col("vector").list.len().unique().sort())
    lengths = {}
    for modality, found in grouped.collect().sort("modality").iter_rows():
        if len(found) > 1:
            raise _mixed(task, extractor, modality, dataset, found)
        lengths[modality] = found[0]
    return lengths


def _mixed(task: Task, extractor: str, modality: str, dataset: str, lengths: Sequence[int]) -> InvalidRows:
    return InvalidRows(
        f"{task.model.name}: features of two extractors are mixed. By {extractor} the {modality} of {dataset} have "
        f"{' and '.join(map(str, lengths))} dimensions. All items of a run must be seen by one extractor: extract "
        f"features again, or give the other ones a name of their own."
    )


def _refuse_unusable(task: Task, found: pl.DataFrame, *, name: str, dataset: str, size: int) -> None:
    extractor, _, modality = name.partition(":")
    if not found.height:
        return
    if (length := found["vector"][0].len()) != size:
        raise InvalidRows(
            f"{task.model.name}: {extractor} gives {modality} of {dataset} {length} dimensions, "
            f"where others have {size}. Items of one run must be seen by the same model."
        )
    fine = found["vector"].explode().is_finite().to_numpy().reshape(-1, size).all(axis=1)
    if not fine.all():
        ids = found.filter(pl.Series(np.logical_not(fine).tolist()))["item_id"].unique(maintain_order=True)
        raise InvalidRows(
            f"{task.model.name}: {extractor} gives {modality} of {_named(ids, of=found['item_id'].n_unique())} of "
            f"{dataset} a number that is not finite. Extract these features again, or leave their rows out of the file "
            "that they come in."
        )


def _refuse_bare(task: Task, items: pl.DataFrame, inputs: HeadInputs) -> None:
    bare = np.logical_not(inputs.present.any(axis=1))
    if bare.any():
        ids = items["item_id"].filter(pl.Series(bare.tolist()))
        raise InvalidRows(
            f"{task.model.name}: {_named(ids, of=items.height)} have no feature by {' or '.join(task.features)}, so "
            "that nothing is known of them. Extract or bring their features; or say `without_features: keep` in the "
            "model's YAML, which scores them all the same, alike, and leaves them out of training."
        )


def _named(ids: pl.Series, *, of: int) -> str:
    more = ", …" if len(ids) > N_NAMED else ""
    return f"{len(ids):,} of {of:,} items ({', '.join(ids.head(N_NAMED))}{more})"
