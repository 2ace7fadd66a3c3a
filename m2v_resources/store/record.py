"""The store's own record, read for audits: every version, and single rows without reading whole tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from m2v.errors import StoreError
from m2v.lineage.graph import Graph, Node
from m2v_resources.store.versions import TableStore, Version


class Record:
    """What the tables in a store say of themselves; needs no Dagster.

    Args:
        nodes: Its versions, where they are known already.

    Attributes:
        damaged: What is wrong with the claims that could not be read; every other version is there all the same.
    """

    def __init__(self, store: TableStore, *, nodes: list[Node] | None = None) -> None:
        self.store, self.damaged = store, []
        self._nodes = nodes if nodes is not None else list(self._read())

    def graph(self) -> Graph:
        """Every version in the store."""
        return Graph(self._nodes)

    def _read(self) -> Iterator[Node]:
        for place, numbers in self.store.all_numbers().items():
            for number in numbers:
                try:
                    yield node(self.store.version(*place, number=number))
                except StoreError as error:
                    self.damaged.append(str(error))

    def columns(self, version: Node) -> list[str]:
        """Names of the version's columns, from its file."""
        return list(pl.read_parquet_schema(self.path(version)))

    def rows(self, version: Node, **values: Any) -> pl.DataFrame:
        """Return the rows with these values, all rows without any; read the searched columns first."""
        scan = pl.scan_parquet(self.path(version))
        return scan.filter(*(pl.col(name) == value for name, value in values.items())).collect()

    def path(self, version: Node) -> Path:
        """Its parquet file.

        Raises:
            StoreError: It is gone.
        """
        if version.number in self.store.numbers(version.table, version.variant):
            why = self.store.purged(self.store.version(version.table, version.variant, number=version.number))
            if why is not None:
                raise StoreError(f"{version.name} was purged: {why}.")
        path = self.store.path(version)
        if not path.is_file():
            raise StoreError(
                f"{version.name}: {path} is missing. Restore it from a backup; `m2v audit verify` says more."
            )
        return path


def node(version: Version) -> Node:
    """Return a stored version as the lineage graph knows it."""
    provenance = version.provenance
    parents = provenance.get("parents") or {}
    return Node(
        table=version.table,
        variant=version.variant,
        number=version.number,
        rows_hash=version.rows_hash,
        file_sha256=version.file_sha256,
        n_rows=version.n_rows,
        created_at=version.created_at,
        run_id=provenance.get("run_id"),
        code_version=provenance.get("code_version"),
        made_of=provenance.get("made_of") or {},
        parents={place: (read["version"], read["rows_hash"]) for place, read in parents.items()},
        files=provenance.get("files"),
    )
