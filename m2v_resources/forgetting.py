"""Take-down: an item leaves every table, and a tombstone without content remains.

The tombstone is written first. From then on the memes are read without the item, so that whatever else fails or dies,
a rerun of `m2v forget` or of `m2v run` ends with it gone.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from m2v import schemas, shards, storage
from m2v.catalog.variants import variant
from m2v.errors import LabelStudioError, MissingSource, UnknownName
from m2v.lineage.graph import Graph, Node
from m2v_resources.ledger import Ledger
from m2v_resources.record import Record
from m2v_resources.store import TableStore, open_store

HOLDS_IDS = ("meme_id", "item_id")


@dataclass(frozen=True)
class _Copies:
    """How copies of an item are known outside the tables.

    Attributes:
        texts: The sha256 of its text, as any version has it.
        pictures: Paths of its pictures below the home.
        requests: What models were asked about it.
    """

    texts: set[str]
    pictures: set[str]
    requests: set[str]


@dataclass
class Forgotten:
    """What became of an item.

    Attributes:
        rewritten: New versions, without it.
        tainted: Versions of checkpoints that were trained on it.
        released: ``repository@tag`` of releases that hold it.
        purged: Earlier versions and folders that were deleted.
        remains: Where it still is, and what to do about it.
    """

    item: str
    rewritten: list[str] = field(default_factory=list)
    tainted: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)


def forgotten_ids(store: TableStore, dataset: str) -> list[str]:
    """Ids of the dataset's memes that must not be read any more."""
    name = variant(dataset)
    return store.read(schemas.FORGOTTEN.name, name)["meme_id"].to_list() if _has(store, name) else []


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
    found = Forgotten(item)
    search = _Search(open_store(home), dataset, identifier)
    found.tainted = search.tainted()
    found.released = search.released()
    copies = search.copies()
    search.bury(why, found)
    for node in search.latest_holding():
        found.rewritten.append(search.rewrite(node))
    found.remains += _rounds(home, search)
    _caches(home, search, copies, found)
    if purge:
        _purge(home, search, why, found)
    elif earlier := search.earlier_holding():
        found.remains.append(f"{len(earlier)} earlier versions of tables hold it; --purge deletes them")
    if found.tainted and not purge:
        found.remains.append(f"{len(found.tainted)} checkpoints were trained on it; --purge deletes their weights")
    found.remains += [
        f"{name} on the Hub holds its id and label; publish again, then delete that tag there"
        for name in found.released
    ]
    if storage.is_remote(search.store.root):
        found.remains.append(
            f"what other hosts' caches (M2V_CACHE) keep of {search.store.root}, and, where the bucket keeps "
            "versions of objects, the earlier ones; delete both there"
        )
    found.remains.append(
        f"the files that {dataset} is read from, which are yours to edit, and Dagster's event log (ids)"
    )
    return found


class _Search:
    """Where an item is, among all versions of the tables that rest on its dataset."""

    def __init__(self, store: TableStore, dataset: str, identifier: str) -> None:
        self.store, self.dataset, self.identifier = store, dataset, identifier
        self.variant = variant(dataset)
        self.record = Record(store)
        self.graph: Graph = self.record.graph()
        place = f"memes/{self.variant}"
        if place not in self.graph.latest or not identifier:
            known = [each.removeprefix("memes/") for each in self.graph.latest if each.startswith("memes/")]
            raise UnknownName("stored meme dataset (write dataset/id)", dataset, known)
        self.places = {place, *(each.place for each in self.graph.downstream(place))}
        self.holding = [node for node in self.graph.nodes.values() if self._holds(node)]
        if not self.holding and identifier not in forgotten_ids(store, dataset):
            ids = self.record.rows(self.graph.latest[place])["meme_id"].to_list()
            raise UnknownName(f"meme of {dataset}", identifier, ids)

    def latest_holding(self) -> Iterator[Node]:
        """The latest versions that hold it, what is read before what reads it."""
        holding = {node.place: node for node in self.holding if self.graph.latest[node.place] is node}
        while holding:
            free = [node for node in holding.values() if not holding.keys() & node.parents.keys()]
            for node in sorted(free, key=lambda each: each.name) or list(holding.values())[:1]:
                del holding[node.place]
                yield node

    def earlier_holding(self) -> list[Node]:
        """The others."""
        return [node for node in self.holding if self.store.numbers(node.table, node.variant)[-1] != node.number]

    def tainted(self) -> list[str]:
        """Versions of checkpoints that were trained on it."""
        trained = {node.name for node in self.holding if node.table == schemas.TRAINING_EXAMPLES.name}
        nodes = self.graph.nodes.values()
        return sorted(
            node.name for node in nodes if node.table == schemas.CHECKPOINTS.name and trained & set(node.parent_names)
        )

    def released(self) -> list[str]:
        """Releases that were made of versions that hold it."""
        from m2v_resources.stories import Stories

        holding = {node.name for node in self.holding}
        return sorted(
            f"{each['repo']}@{each['tag']}"
            for each in Stories(self.record).releases()
            if holding & {f"{place}@{read['version']}" for place, read in each["inputs"].items()}
        )

    def copies(self) -> _Copies:
        """How its copies are known, by all versions that hold it."""

        def values(table: schemas.Table, column: str) -> set[str]:
            nodes = [node for node in self.holding if node.table == table.name]
            rows = [self.record.rows(node, meme_id=self.identifier) for node in nodes]
            return {value for each in rows if column in each.columns for value in each[column] if value is not None}

        return _Copies(
            texts=values(schemas.MEMES, "text_sha256"),
            pictures=values(schemas.MEME_IMAGES, "path"),
            requests=values(schemas.PREDICTIONS, "request_sha256"),
        )

    def bury(self, why: str, found: Forgotten) -> None:
        """Write the tombstone, or add to it what was found since."""
        known = self.store.read(schemas.FORGOTTEN.name, self.variant) if _has(self.store, self.variant) else None
        old = known.filter(meme_id=self.identifier).to_dicts() if known is not None else []
        row = old[0] if old else {"meme_id": self.identifier, "why": why, "forgotten_at": datetime.now(UTC)}
        found.tainted = sorted({*row.get("tainted", ()), *found.tainted})
        found.released = sorted({*row.get("released", ()), *found.released})
        row |= {"tainted": found.tainted, "released": found.released}
        new = pl.DataFrame([row], schema=dict(schemas.FORGOTTEN.columns))
        rows = pl.concat([known.filter(pl.col("meme_id") != self.identifier), new]) if known is not None else new
        self.store.write(rows.sort("meme_id"), schemas.FORGOTTEN, self.variant)

    def rewrite(self, node: Node) -> str:
        """A version without it, which names the latest versions of what the one before was made of."""
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
                place: {"version": each.number, "rows_hash": each.rows_hash} for place, each in latest.items() if each
            },
        }
        kept = rows.filter(~self._about(rows))
        return self.store.write(kept, schemas.table(node.table), node.variant, provenance=provenance).name

    def _holds(self, node: Node) -> bool:
        if node.place not in self.places or self.store.purged(self._version(node)):
            return False
        columns = self.record.columns(node)
        if not set(HOLDS_IDS) & set(columns):
            return False
        return not self.record.rows(node, **self._values(columns)).is_empty()

    def _version(self, node: Node):
        return self.store.version(node.table, node.variant, number=node.number)

    def _values(self, columns: list[str]) -> dict[str, str]:
        """The values that its rows have; a table of several datasets says which, one of one is named after it."""
        name = next(each for each in HOLDS_IDS if each in columns)
        return {name: self.identifier, **({"dataset": self.dataset} if "dataset" in columns else {})}

    def _about(self, rows: pl.DataFrame) -> pl.Expr:
        return pl.all_horizontal(
            pl.col(name).eq_missing(pl.lit(value)) for name, value in self._values(rows.columns).items()
        )


def _has(store: TableStore, variant: str) -> bool:
    return store.latest(schemas.FORGOTTEN.name, variant) is not None


def _rounds(home: Path, search: _Search) -> list[str]:
    """Delete it from Label Studio and from the ledger; give what could not be reached."""
    from m2v_resources.label_studio import Server
    from m2v_resources.rounds import address

    remains = []
    for alignment in sorted(place.partition("/")[2] for place in search.places if place.startswith("conflicts/")):
        ledger = Ledger(home, alignment)
        for this in ledger.rounds():
            keys = set(ledger.items(this).filter(meme_id=search.identifier)["item_key"])
            if not keys:
                continue
            try:
                server = Server(address(home))
                for project in server.projects(this.uid):
                    tasks = [task.task_id for task in server.tasks(project.project_id) if task.item_key in keys]
                    if tasks:
                        server.delete_tasks(project.project_id, tasks)
            except (LabelStudioError, MissingSource) as error:
                remains.append(
                    f"round {this.name} on the Label Studio server, so run this again once it answers: {error}"
                )
                continue
            with ledger.only_writer():
                ledger.forget(this, search.identifier)
    return remains


def _caches(home: Path, search: _Search, copies: _Copies, found: Forgotten) -> None:
    """Delete copies of its text and picture that programs keep or read, and what models made of them."""
    for path in sorted((home / "programs").glob("encode/*/*/texts.parquet")):
        if copies.texts & set(pl.read_parquet(path, columns=["text_sha256"])["text_sha256"]):
            _drop(path.parent, found)
    for path in sorted((home / "programs").glob("predict/*/*/items.parquet")):
        if copies.texts & _hashes(path):
            _drop(path.parent, found)
    for path in sorted((home / "programs").glob(f"pictures/{search.variant}/*/memes.parquet")):
        if search.identifier in pl.read_parquet(path, columns=["meme_id"])["meme_id"]:
            _drop(path.parent, found)
    # What it learned from stays until it is purged, but the copy that it read is not needed any more.
    for path in sorted((home / "programs").glob("checkpoints/*/*/train_items.parquet")):
        if copies.texts & _hashes(path):
            path.unlink()
            found.purged.append(str(path))
    for kind, column, gone in (
        ("encodings", "text_sha256", copies.texts),
        ("requests", "request_sha256", copies.requests),
    ):
        for path in sorted((home / kind).glob("*/*.parquet")):
            rows = pl.read_parquet(path)
            kept = rows.filter(~pl.col(column).is_in(list(gone)))
            if kept.height < rows.height:
                shards.append(path.parent, kept, dict(kept.schema))
                path.unlink()
    for name in sorted(copies.pictures):
        _forget_picture(storage.place(home, name), search, found)


def _drop(folder: Path, found: Forgotten) -> None:
    shutil.rmtree(folder)
    found.purged.append(str(folder))


def _hashes(items: Path) -> set[str]:
    texts = pl.read_parquet(items, columns=["text"])["text"]
    return {hashlib.sha256(text.encode()).hexdigest() for text in texts}


def _forget_picture(picture: storage.Place, search: _Search, found: Forgotten) -> None:
    """Delete a picture that no other meme shares, and what its task wrote down of it."""
    folder, _, name = str(picture).rpartition("/")
    result = storage.join(storage.given(folder), "result.json")
    content = storage.read(result)
    if content is not None:
        said = json.loads(content)
        said["pictures"] = [each for each in said.get("pictures", ()) if each["meme_id"] != search.identifier]
        storage.write(result, json.dumps(said).encode())
        if any(each.get("file") == name for each in said["pictures"]):
            return
    if storage.delete(picture):
        found.purged.append(str(picture))


def _purge(home: Path, search: _Search, why: str, found: Forgotten) -> None:
    store, tables = search.store, search.earlier_holding()
    for node in tables:
        store.purge(store.version(node.table, node.variant, number=node.number), why=why)
        found.purged.append(node.name)
    for name in found.tainted:
        place, _, number = name.partition("@")
        version = store.version(*place.split("/"), number=int(number))
        if store.purged(version):
            continue
        folders = {home / each for each in store.read(version.table, version.variant, number=version.number)["folder"]}
        for folder in folders:
            if folder.resolve().is_relative_to((home / "programs").resolve()) and folder.exists():
                _drop(folder, found)
    for name in found.released:
        repo, _, tag = name.partition("@")
        for folder in (home / "releases").glob(f"*/{repo}/{tag}"):
            _drop(folder, found)
