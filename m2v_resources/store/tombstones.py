"""What is kept of items that were taken down, and what is not stored because of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from m2v import schemas
from m2v.entries.variants import variant as named
from m2v.errors import TakenDown

HOLDS_IDS = ("meme_id", "item_id")
# Without these, nobody would know what is on the Hub; they hold no item.
RECORDS = {schemas.FORGOTTEN.name, schemas.DATASET_RELEASES.name, schemas.ADAPTER_RELEASES.name}


class Reads(Protocol):
    """What a table store can be asked."""

    def latest(self, table: str, variant: str) -> object | None:
        """Return the latest version, if there is one."""
        ...

    def read(self, table: str, variant: str) -> pl.DataFrame:
        """Return the rows of the latest version."""
        ...

    def all_numbers(self, table: str = "") -> Mapping[tuple[str, str], list[int]]:
        """Return numbers of complete versions by table and variant."""
        ...


def read(store: Reads, variant: str) -> pl.DataFrame:
    """Return the tombstones of a dataset, none where there are none; columns that older code had not are empty."""
    if store.latest(schemas.FORGOTTEN.name, variant) is None:
        return schemas.FORGOTTEN.empty()
    rows = store.read(schemas.FORGOTTEN.name, variant)
    new = [name for name in schemas.FORGOTTEN.columns if name not in rows.columns]
    nothing = pl.lit([], dtype=pl.List(pl.String))
    return rows.with_columns(**dict.fromkeys(new, nothing)).select(list(schemas.FORGOTTEN.columns))


def refuse(
    store: Reads, table: str, variant: str, *, rows: Path, parents: Mapping[str, Mapping[str, Any]] | None
) -> None:
    """Raise where a version would hold or rest on an item that was taken down after its writer had read it.

    Whoever writes comes by here: `m2v run`, a run of Dagster's daemon or UI, a program of one's own.

    Args:
        rows: The parquet file that is about to become the version.
        parents: The versions that were read, by ``table/variant``.

    Raises:
        TakenDown: Names the item by its id.
    """
    if table in RECORDS:
        return
    place, read_versions = (
        f"{table}/{variant}",
        {f"{name}@{parent['version']}" for name, parent in (parents or {}).items()},
    )
    for _, dataset in store.all_numbers(schemas.FORGOTTEN.name):
        gone = read(store, dataset).select("meme_id", version="held_by").explode("version")
        rests = gone.filter(pl.col("version").is_in(list(read_versions)))
        # Its own dataset's tables, and whatever held it once: a writer may have read a file or the rounds instead.
        held = gone if variant == dataset else gone.filter(pl.col("version").str.starts_with(f"{place}@"))
        forgotten = [*rests["meme_id"], *_held(rows, held["meme_id"].unique().to_list(), dataset=dataset)]
        if forgotten:
            raise TakenDown(
                f"{place} is not stored: {dataset}/{forgotten[0]} was taken down after the run had read it. Run again: "
                "what is stale is then made without it."
            )


def _held(rows: Path, ids: list[str], *, dataset: str) -> list[str]:
    """Return those of a dataset's ids that are in a parquet file of rows."""
    columns = pl.read_parquet_schema(rows)
    name = next((column for column in HOLDS_IDS if column in columns), None)
    if name is None or not ids:
        return []
    wanted = [name, "dataset"] if "dataset" in columns else [name]
    held = pl.scan_parquet(rows).filter(pl.col(name).is_in(ids)).select(wanted).collect()
    return [row[name] for row in held.to_dicts() if named(row.get("dataset", dataset)) == dataset]
