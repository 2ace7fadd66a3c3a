"""Items of several datasets under several operators: test items to score, and training items to add."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.operators import Operator
from m2v.errors import InvalidRows
from m2v.robustness import registry
from m2v.robustness.operated import Operated, operated

# Rows of features by extractor and dataset.
Features = Mapping[str, Mapping[str, pl.DataFrame]]


def every(operators: Sequence[Operator], items: pl.DataFrame, *, features: Features) -> Operated:
    """Return what every operator makes of every item, as ``operated`` does; ``items`` have ``operator`` too.

    Args:
        items: Of one dataset.
    """
    [dataset] = items["dataset"].unique().to_list() or [""]
    seen = {extractor: by_dataset[dataset] for extractor, by_dataset in features.items()}
    made = {operator.name: operated(operator, items, features=seen) for operator in operators}
    empty = items.clear().with_columns(parent_id=pl.lit(""), donor_id=pl.lit(""), operator=pl.lit(""))
    named = [found.items.with_columns(operator=pl.lit(name)) for name, found in made.items()]
    rows = {
        extractor: pl.concat([schemas.FEATURES.empty(), *(found.features[extractor] for found in made.values())])
        for extractor in seen
    }
    return Operated(pl.concat([empty, *named]), rows, sum(found.n_left_out for found in made.values()))


def added(
    operators: Sequence[Operator], items: pl.DataFrame, *, share: float, features: Features, seed: int
) -> tuple[pl.DataFrame, Features]:
    """Return training items with the new ones after them, and all features that they need.

    Each operator changes as many items as it can have of ``share`` times all items, divided evenly among the operators;
    which ones is drawn, without repeats, among those with the label that it changes. Donors are training items too.

    Args:
        items: Columns ``dataset``, ``item_id``, ``split``, ``label`` and what the detector sees.
        features: Of all items, whatever their split.
        seed: Of the draw.

    Raises:
        InvalidRows: An operator makes no item of any training item.
    """
    generator = np.random.default_rng([seed, 2])
    parts, rows = [items], {name: dict(by_dataset) for name, by_dataset in features.items()}
    n_each = round(share * items.height / len(operators))
    for operator in operators:
        made = _by_dataset(operator, items, features)
        there = [(dataset, item) for dataset, found in made.items() for item in found.items["item_id"].to_list()]
        if not there:
            raise InvalidRows(
                f"Operator {operator.name} changes none of {items.height:,} items to train on: none has "
                f"{operator.modality} that it could change, or nobody gives one. Leave it out of `augment:`."
            )
        places = generator.permutation(len(there))[:n_each]
        for dataset, found in made.items():
            chosen = [there[place][1] for place in sorted(places) if there[place][0] == dataset]
            parts.append(found.items.filter(pl.col("item_id").is_in(chosen)).select(items.columns))
            for extractor, seen in found.features.items():
                new = seen.filter(pl.col("item_id").is_in(chosen))
                rows[extractor][dataset] = pl.concat([rows[extractor][dataset], new])
    return pl.concat(parts), rows


def n_wanted(operator: Operator, labels: np.ndarray) -> int:
    """Return how many of the items have the label that the operator changes."""
    wanted = {"positive": labels.sum(), "negative": (~labels).sum(), "all": len(labels)}
    return int(wanted[registry.of(operator).parents])


def _by_dataset(operator: Operator, items: pl.DataFrame, features: Features) -> dict[str, Operated]:
    made = {}
    for (name,), of_dataset in items.group_by("dataset", maintain_order=True):
        seen = {extractor: by_dataset[str(name)] for extractor, by_dataset in features.items()}
        made[str(name)] = operated(operator, of_dataset, features=seen)
    return made
