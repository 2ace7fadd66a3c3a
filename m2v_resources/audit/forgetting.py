"""Take-down: an item leaves every table, and a tombstone without content remains.

The tombstone is written first. From then on the memes are read without the item and nothing that rests on it is stored
(``tombstones.refuse``), so that whatever else runs, fails or dies, a rerun of `m2v forget` ends with it gone. Versions
are purged last: as long as anything is left to find, they say by what it is known.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from m2v import schemas
from m2v.entries.variants import variant
from m2v.errors import LabelStudioError, MissingSource, StoreError, UnknownName
from m2v.files import storage
from m2v.files.parquet import DAMAGED
from m2v.lineage.graph import Graph, Node
from m2v_resources.annotators.ledger import Ledger
from m2v_resources.audit import kept_items
from m2v_resources.audit.kept_items import Known
from m2v_resources.store import tombstones
from m2v_resources.store.record import Record
from m2v_resources.store.tombstones import HOLDS_IDS
from m2v_resources.store.versions import TableStore, open_store


@dataclass
class Forgotten:
    """What became of an item.

    Attributes:
        rewritten: New versions, without it.
        tainted: Versions of checkpoints that were trained on it.
        released: ``repository@tag`` of releases that hold it.
        purged: Earlier versions, files and folders that were deleted.
        remains: Where it still is, and what to do about it.
    """

    item: str
    rewritten: list[str] = field(default_factory=list)
    tainted: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)


def forgotten_ids(store: TableStore, dataset: str) -> list[str]:
    """Return ids of the dataset's memes that must not be read any more."""
    return tombstones.read(store, variant(dataset))["meme_id"].to_list()


def forget(home: Path, item: str, *, why: str, purge: bool = False) -> Forgotten:
    """Take an item out of every table, the rounds and the caches; repeated, it goes on where it stopped.

    Args:
        item: ``dataset/id``.
        why: Kept for ever, so without the item's content.
        purge: Also delete every earlier version that holds it, and what was trained on it.

    Raises:
        UnknownName: No such meme, now or among those forgotten.
        StoreError: The disk refuses.
    """
    dataset, _, identifier = item.partition("/")
    forgotten = Forgotten(item)
    search = _Search(open_store(home), dataset, identifier)
    search.bury(why)
    # Whoever looked for tombstones before ours was there may have stored something meanwhile.
    while search.look():
        search.bury(why)
    forgotten.tainted, forgotten.released = search.tainted(), search.released()
    known = search.known()
    for node in search.latest_holding():
        forgotten.rewritten.append(search.rewrite(node))
    forgotten.remains += _rounds(home, search)
    outcome = kept_items.delete(home, known, purge=purge)
    forgotten.purged += outcome.deleted
    forgotten.remains += outcome.remains
    forgotten.purged += search.finish_purges()
    if purge:
        _purge(home, search, known, why, forgotten)
    elif earlier := search.earlier_holding():
        forgotten.remains.append(f"{len(earlier)} earlier versions of tables hold it; --purge deletes them")
    if forgotten.tainted and not purge:
        forgotten.remains.append(
            f"{len(forgotten.tainted)} checkpoints were trained on it; --purge deletes their weights"
        )
    forgotten.remains += [
        f"{path} has its text, perhaps as another item's, or cannot be read; look, and delete or edit that file"
        for path in search.still_named()
    ]
    forgotten.remains += [
        f"{name} on the Hub holds its id, label, and whatever columns that release says; publish again, then delete "
        "that tag there"
        for name in forgotten.released
    ]
    if storage.is_remote(search.store.root):
        forgotten.remains.append(
            f"what other hosts' caches (M2V_CACHE) keep of {search.store.root}, and, where the bucket keeps "
            "versions of objects, the earlier ones; delete both there"
        )
    forgotten.remains.append(
        f"the files that {dataset} is read from, which are yours to edit, and Dagster's event log (ids)"
    )
    return forgotten


class _Search:
    """Where an item is, among all versions of the tables that rest on its dataset."""

    def __init__(self, store: TableStore, dataset: str, identifier: str) -> None:
        self.store, self.dataset, self.identifier = store, dataset, identifier
        self.variant = variant(dataset)
        self._looked_at: dict[str, bool] = {}
        self.hashes: set[str] = set()
        self.look()
        place = f"memes/{self.variant}"
        if place not in self.graph.latest or not identifier:
            known = [name.removeprefix("memes/") for name in self.graph.latest if name.startswith("memes/")]
            raise UnknownName("stored meme dataset (write dataset/id)", dataset, known)
        if not self.holding and identifier not in forgotten_ids(store, dataset):
            ids = self.record.rows(self.graph.latest[place])["meme_id"].to_list()
            raise UnknownName(f"meme of {dataset}", identifier, ids)

    def look(self) -> bool:
        """Read what the store holds now; return whether a version with the item was found that was not there before."""
        self.record = Record(self.store)
        self.graph: Graph = self.record.graph()
        place = f"memes/{self.variant}"
        rests = self.graph.downstream(place) if place in self.graph.latest else []
        self.places = {place, *(node.place for node in rests)}
        new = [node for node in self.graph.nodes.values() if node.name not in self._looked_at]
        self._looked_at |= {node.name: self._holds(node) for node in new}
        self.holding = [node for node in self.graph.nodes.values() if self._looked_at[node.name]]
        self.hashes |= {
            *self._values_of(schemas.MEMES, "text_sha256"),
            *self._values_of(schemas.ITEM_TEXTS, "text_sha256"),
            *self._values_of(schemas.MEME_IMAGES, "pixels_sha256"),
            *self._values_of(schemas.PREDICTIONS, "request_sha256"),
        }
        return any(self._looked_at[node.name] for node in new)

    def latest_holding(self) -> Iterator[Node]:
        """Yield the latest versions that hold it, what is read before what reads it."""
        holding = {node.place: node for node in self.holding if self.graph.latest[node.place] is node}
        while holding:
            free = [node for node in holding.values() if not holding.keys() & node.parents.keys()]
            for node in sorted(free, key=lambda node: node.name) or list(holding.values())[:1]:
                del holding[node.place]
                yield node

    def earlier_holding(self) -> list[Node]:
        """Return the others, the memes themselves last: as long as anything is left, they say what its text is."""
        earlier = [node for node in self.holding if self.store.numbers(node.table, node.variant)[-1] != node.number]
        return sorted(earlier, key=lambda node: node.table == schemas.MEMES.name)

    def held(self) -> dict[str, str]:
        """Return the rows hash of each version that holds it or has held it, by name."""
        recorded = self.tombstone.get("held_by") or []
        # A tombstone of older code does not say; what was purged then was purged for an item's sake.
        if self.tombstone and not recorded:
            recorded = [node.name for node in self.graph.nodes.values() if self._is_purged(node)]
        names = {*recorded, *(node.name for node in self.holding)}
        return {name: self.graph.nodes[name].rows_hash for name in sorted(names) if name in self.graph.nodes}

    def tainted(self) -> list[str]:
        """Return versions of checkpoints that were trained on it, also on versions that are purged by now."""
        trained = {name for name in self.held() if name.startswith(f"{schemas.TRAINING_EXAMPLES.name}/")}
        nodes = self.graph.nodes.values()
        names = {
            node.name for node in nodes if node.table == schemas.CHECKPOINTS.name and trained & {*node.parent_names}
        }
        return sorted({*(self.tombstone.get("tainted") or ()), *names})

    def released(self) -> list[str]:
        """Return releases that were made of versions that hold it, or have held it."""
        from m2v_resources.audit.stories import Stories

        held = self.held()
        tags = {
            f"{release['repo']}@{release['tag']}"
            for release in Stories(self.record).releases()
            if any(f"{place}@{read['version']}" in held for place, read in release["inputs"].items())
        }
        return sorted({*(self.tombstone.get("released") or ()), *tags})

    def known(self) -> Known:
        """Return how its copies outside the tables are known, by all versions that hold it and by its tombstone."""
        return Known(
            identifier=self.identifier,
            variants={place.partition("/")[2] for place in self.places},
            texts=self._values_of(schemas.MEMES, "text") | self._values_of(schemas.ITEM_TEXTS, "text") - {""},
            hashes={*self.hashes, *(self.tombstone.get("sha256") or ())},
            pictures=self._values_of(schemas.MEME_IMAGES, "path"),
            held=self.held(),
        )

    def _values_of(self, table: schemas.Table, column: str) -> set[str]:
        nodes = [node for node in self.holding if node.table == table.name]
        rows = [self.record.rows(node, **self._values(self.record.columns(node))) for node in nodes]
        return {value for frame in rows if column in frame.columns for value in frame[column] if value is not None}

    @property
    def tombstone(self) -> dict:
        """What is kept of it; empty before it is written."""
        rows = tombstones.read(self.store, self.variant).filter(meme_id=self.identifier).to_dicts()
        return rows[0] if rows else {}

    def bury(self, why: str, *, named: list[str] | None = None) -> None:
        """Write the tombstone, or add to it what was found since.

        Args:
            named: Files that hold its text and are not ours to delete.
        """
        rows, old = tombstones.read(self.store, self.variant), self.tombstone
        row = old or {"meme_id": self.identifier, "why": why, "forgotten_at": datetime.now(UTC)}
        row |= {
            "tainted": self.tainted(),
            "released": self.released(),
            "held_by": list(self.held()),
            "sha256": sorted({*(old.get("sha256") or ()), *self.hashes}),
            "named": sorted({*self.still_named(), *(named or ())}),
        }
        new = pl.DataFrame([row], schema=dict(schemas.FORGOTTEN.columns))
        rows = pl.concat([rows.filter(pl.col("meme_id") != self.identifier), new])
        self.store.write(rows.sort("meme_id"), schemas.FORGOTTEN, self.variant)

    def still_named(self) -> list[str]:
        """Return the files in which its text was found, and which are still there."""
        return [path for path in self.tombstone.get("named") or () if Path(path).exists()]

    def finish_purges(self) -> list[str]:
        """Delete files of rows that no version has any more and that a purge, or a write that was killed, has left."""
        finished = []
        for place in sorted(self.places):
            table, name = place.split("/")
            nodes = [node for node in self.graph.nodes.values() if node.place == place]
            purged = {f"{node.file_sha256}.parquet" for node in nodes if self._is_purged(node)}
            for file in self.store.unclaimed(table, name):
                if file in purged or self._is_in(table, name, file):
                    self.store.discard(table, name, file)
                    finished.append(f"{place}/{file}")
        return finished

    def _is_in(self, table: str, name: str, file: str) -> bool:
        """Return whether a file of rows that no version has holds the item."""
        with contextlib.suppress(StoreError, *DAMAGED):
            rows = pl.read_parquet(self.store.disk.path(f"{table}/{name}/{file}"))
            return bool(set(HOLDS_IDS) & set(rows.columns)) and not rows.filter(self._about(rows)).is_empty()
        # What cannot be read is nobody's rows.
        return True

    def rewrite(self, node: Node) -> str:
        """Write a version without it, which names the latest versions of what the one before was made of."""
        rows = self.store.read(node.table, node.variant, number=node.number)
        parents = list(node.parents)
        if node.table == schemas.MEMES.name:
            parents.append(f"{schemas.FORGOTTEN.name}/{self.variant}")
        latest = {place: self.store.latest(*place.split("/")) for place in parents}
        provenance = {
            "run_id": None,
            "code_version": node.code_version,
            "files": node.files,
            "parents": {
                place: {"version": version.number, "rows_hash": version.rows_hash}
                for place, version in latest.items()
                if version
            },
        }
        kept = rows.filter(~self._about(rows))
        return self.store.write(kept, schemas.table(node.table), node.variant, provenance=provenance).name

    def _holds(self, node: Node) -> bool:
        if node.place not in self.places or self._is_purged(node):
            return False
        columns = self.record.columns(node)
        if not set(HOLDS_IDS) & set(columns) or node.table == schemas.FORGOTTEN.name:
            return False
        return not self.record.rows(node, **self._values(columns)).is_empty()

    def _is_purged(self, node: Node) -> bool:
        return self.store.purged(self.store.version(node.table, node.variant, number=node.number)) is not None

    def _values(self, columns: list[str]) -> dict[str, str]:
        """Return the values that its rows have; a table of several datasets says which, one of one is named so."""
        name = next(column for column in HOLDS_IDS if column in columns)
        return {name: self.identifier, **({"dataset": self.dataset} if "dataset" in columns else {})}

    def _about(self, rows: pl.DataFrame) -> pl.Expr:
        return pl.all_horizontal(
            pl.col(name).eq_missing(pl.lit(value)) for name, value in self._values(rows.columns).items()
        )


def _rounds(home: Path, search: _Search) -> list[str]:
    """Delete it from Label Studio and from the ledger; give what could not be reached."""
    from m2v_resources.annotators.address import address
    from m2v_resources.annotators.label_studio import AnnotationServer

    remains = []
    for alignment in sorted(place.partition("/")[2] for place in search.places if place.startswith("conflicts/")):
        ledger = Ledger(home, alignment)
        for asked in ledger.rounds():
            keys = set(ledger.items(asked).filter(meme_id=search.identifier)["item_key"])
            if not keys:
                continue
            try:
                server = AnnotationServer(address(home))
                for project in server.projects(asked.uid):
                    tasks = [task.task_id for task in server.tasks(project.project_id) if task.item_key in keys]
                    if tasks:
                        server.delete_tasks(project.project_id, tasks)
            except (LabelStudioError, MissingSource) as error:
                remains.append(
                    f"round {asked.name} on the Label Studio server, so run this again once it answers: {error}"
                )
                continue
            with ledger.only_writer():
                ledger.forget(asked, search.identifier)
    return remains


def _purge(home: Path, search: _Search, known: Known, why: str, forgotten: Forgotten) -> None:
    """Delete earlier versions for good, once everything else is gone, and look for its text in what is left."""
    store = search.store
    for node in search.earlier_holding():
        store.purge(store.version(node.table, node.variant, number=node.number), why=why)
        forgotten.purged.append(node.name)
    named = kept_items.search(home, known, standing=set() if storage.is_remote(store.root) else _standing(store))
    if named:
        search.bury(why, named=named)


def _standing(store: TableStore) -> set[Path]:
    """Return the files of all versions that are not purged."""
    versions = (
        store.version(*place, number=number) for place, numbers in store.all_numbers().items() for number in numbers
    )
    return {store.path(version) for version in versions if store.purged(version) is None}
