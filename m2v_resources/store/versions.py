"""The table store: immutable parquet files named by their content, and numbered versions that point at them.

``<root>/<table>/<variant>/<sha256>.parquet`` holds rows; ``…/versions/<number>.json`` claims a version of them. A
version is claimed last, by an operation that fails if the number is taken, so that a writer killed at any moment leaves
every version whole and concurrent writers never overwrite each other. What does these operations is a disk.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from m2v.errors import NewerHome, StoreError, UnknownName
from m2v.files import storage
from m2v.files.digests import data_sha256
from m2v.files.parquet import DAMAGED
from m2v.lineage.graph import Node
from m2v.schemas import TABLES, Table
from m2v_resources.store import disks, tombstones
from m2v_resources.store.home import MARK, stored_format
from m2v_resources.store.rows import RowsHash, rows_hash


@dataclass(frozen=True)
class Version:
    """A complete version of a table.

    Attributes:
        number: From 1, without gaps unless somebody deleted a version.
        file_sha256: Of the parquet file, which is its name. Differs between writers of equal rows.
        rows_hash: Of the rows; the asset's data version.
        created_at: UTC, ISO 8601. For people; nothing is ordered by it.
        provenance: What the writer said of itself: run, code version, versions and source files read.
        claim_sha256: Of the rest of the claim; empty in versions of older code, which did not record it.
    """

    table: str
    variant: str
    number: int
    file_sha256: str
    rows_hash: str
    n_rows: int
    n_bytes: int
    created_at: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    claim_sha256: str = ""

    @property
    def name(self) -> str:
        """For example ``voted_labels/fhm_hatemm@2``."""
        return f"{self.table}/{self.variant}@{self.number}"


CLAIMED = {attribute.name for attribute in fields(Version)} - {"number"}


def open_store(home: Path) -> "TableStore":
    """Return the store of a home: below ``M2V_STORAGE`` where that is set, else in the home itself.

    Raises:
        NewerHome: A newer M2V wrote what is in the storage.
    """
    mark = storage.place(home, MARK)
    if isinstance(mark, str):
        stored_format(mark)
    return TableStore(storage.place(home, "tables"), home=home)


class TableStore:
    """Versions of tables below one folder, on a local disk or in object storage (``s3://bucket/prefix``).

    Attributes:
        home: The platform's, with its programs' folders; of a local store, by default what it lies in.
    """

    def __init__(self, root: storage.Place, *, home: Path | None = None) -> None:
        self.root, self.disk = root, disks.disk(root)
        self.home = home or (root.parent if isinstance(root, Path) else Path())

    def write(
        self, frame: pl.DataFrame, table: Table, variant: str, *, provenance: Mapping[str, Any] | None = None
    ) -> Version:
        """Return the version that holds these rows: the latest where its rows are equal, else a new one.

        Raises:
            InvalidRows: The rows are not the table's; nothing is written.
            TakenDown: They rest on an item that was taken down since they were read; nothing is written.
            StoreError: The disk is full or refuses; every earlier version stands.
        """
        table.validate(frame)
        return self._write(partial(_write_whole, frame), table, variant, provenance)

    def write_parts(
        self, parts: Iterable[pl.DataFrame], table: Table, variant: str, *, provenance: Mapping[str, Any] | None = None
    ) -> Version:
        """As ``write``, for rows that come in parts, in the order of the table's key; holds a few of them at a time.

        Equal rows are the same version, whether they came whole or in parts.

        Raises:
            InvalidRows: The rows are not the table's, or a key does not come after the one before; nothing is written.
            StoreError: The disk is full or refuses; every earlier version stands.
        """
        return self._write(partial(_write_parts, parts, table), table, variant, provenance)

    def _write(
        self,
        write: Callable[[Path], tuple[str, int]],
        table: Table,
        variant: str,
        provenance: Mapping[str, Any] | None,
    ) -> Version:
        folder = self._folder(table.name, variant)
        latest = self.latest(table.name, variant)
        try:
            with self.disk.scratch(folder) as written:
                digest, n_rows = write(written[0])
                if latest and latest.rows_hash == digest and self.is_whole(latest):
                    return latest
                tombstones.refuse(self, table.name, variant, rows=written[0], parents=(provenance or {}).get("parents"))
                file_sha256, n_bytes = self.disk.keep(written, folder)
            if latest and latest.file_sha256 == file_sha256:
                return latest
            return self._claim(
                folder,
                {
                    "table": table.name,
                    "variant": variant,
                    "file_sha256": file_sha256,
                    "rows_hash": digest,
                    "n_rows": n_rows,
                    "n_bytes": n_bytes,
                    "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "provenance": dict(provenance or {}),
                },
            )
        except DAMAGED as error:
            stands = f"{latest.name} stands" if latest else "nothing was there before"
            raise StoreError(
                f"{table.name}/{variant} could not be written below {self.root}: {_reason(error)}; {stands}. Free "
                "space there, or point M2V_HOME to a folder that you may write to, then run again."
            ) from error

    def read(self, table: str, variant: str, *, number: int | None = None) -> pl.DataFrame:
        """Return the rows of a version, the latest by default, verified against their sha256.

        Raises:
            UnknownName: No such table, variant or version.
            StoreError: The file is missing or damaged.
        """
        frame = pl.read_parquet(self._verified(table, variant, number))
        _check_columns(table, variant, frame.columns)
        return frame

    def scan(self, table: str, variant: str, *, number: int | None = None) -> pl.LazyFrame:
        """As ``read``, verified at once, but the rows are read when they are asked for, and only those."""
        path = self._verified(table, variant, number)
        _check_columns(table, variant, list(pl.read_parquet_schema(path)))
        return pl.scan_parquet(path)

    def _verified(self, table: str, variant: str, number: int | None) -> Path:
        version = self.version(table, variant, number=number)
        if why := self.purged(version):
            raise StoreError(f"{version.name} was purged: {why}. Read a later version.")
        path = self.disk.verified(self._file(version))
        if path is None:
            raise StoreError(
                f"{version.name}: {self.place(version)} is missing or damaged (its sha256 is not its name). Restore "
                f"that file from a backup, or recompute the table: `m2v run --force --select {table}/{variant}`."
            )
        return path

    def version(self, table: str, variant: str, *, number: int | None = None) -> Version:
        """Return a version by number, or the latest."""
        if number:
            # Without listing the others: whoever walks through all versions would list them once for each.
            claim = self.disk.get(f"{self._folder(table, variant)}/versions/{number}.json")
            if claim is not None:
                return self._parsed(claim, table, variant, number)
        numbers = self.numbers(table, variant)
        if not numbers:
            known = [f"{version.table}/{version.variant}" for version in self.all_latest()]
            raise UnknownName("stored table", f"{table}/{variant}", known)
        if number is not None:
            raise UnknownName(
                f"version of {table}/{variant}", str(number), [str(known_number) for known_number in numbers]
            )
        return self._load(table, variant, numbers[-1])

    def latest(self, table: str, variant: str) -> Version | None:
        """Return the latest version, if there is one."""
        numbers = self.numbers(table, variant)
        return self._load(table, variant, numbers[-1]) if numbers else None

    def all_latest(self) -> list[Version]:
        """Return the latest version of every table, sorted by name."""
        return [self._load(*place, numbers[-1]) for place, numbers in self.all_numbers().items() if numbers]

    def numbers(self, table: str, variant: str) -> list[int]:
        """Numbers of the complete versions, ascending."""
        return disks.numbers(self.disk.names(f"{self._folder(table, variant)}/versions"))

    def all_numbers(self, table: str = "") -> dict[tuple[str, str], list[int]]:
        """Numbers of the complete versions by table and variant, of one table or of all, sorted."""
        return {
            (table, variant): disks.numbers(names)
            for place, names in self.disk.folders("versions", table=table)
            for table, variant in [place.split("/")]
        }

    def path(self, version: Version | Node) -> Path:
        """Return a version's parquet file, as a local one."""
        return self.disk.path(self._file(version))

    def place(self, version: Version | Node) -> str:
        """Where a version's parquet file lies."""
        return self.disk.where(self._file(version))

    def claim(self, table: str, variant: str, number: int) -> tuple[str, bytes]:
        """Where the claim of a version lies, and its bytes as they are."""
        name = f"{self._folder(table, variant)}/versions/{number}.json"
        return self.disk.where(name), self.disk.get(name) or b""

    def ready(self) -> None:
        """Find out whether it can be written.

        Raises:
            StorageError: Object storage lacks something; the message says what.
        """
        self.disk.ready()

    def is_whole(self, version: Version) -> bool:
        """Whether the version's file is there and its content has the sha256 that it is named by."""
        return self.disk.verified(self._file(version)) is not None

    def purge(self, version: Version, *, why: str) -> None:
        """Delete a version's rows for good; its claim stays, so that what was made of it can still name it.

        Raises:
            StoreError: It is the latest, or shares its file with it.
        """
        latest = self.latest(version.table, version.variant)
        if latest and latest.file_sha256 == version.file_sha256:
            raise StoreError(f"{version.name} holds the rows of the latest version; only earlier ones are purged.")
        try:
            self.disk.put(self._purge_marker(version), why.encode())
            self.disk.delete(self._file(version))
        except OSError as error:
            raise StoreError(f"{version.name} could not be purged: {_reason(error)}.") from error

    def unclaimed(self, table: str, variant: str) -> list[str]:
        """Names of files with rows that no standing version has, sorted: a purge or a write was cut short."""
        folder = self._folder(table, variant)
        versions = [self._load(table, variant, number) for number in self.numbers(table, variant)]
        stand = {f"{version.file_sha256}.parquet" for version in versions if self.purged(version) is None}
        return sorted(name for name in self.disk.names(folder) if name.endswith(".parquet") and name not in stand)

    def discard(self, table: str, variant: str, name: str) -> None:
        """Delete a file that no standing version has.

        Raises:
            StoreError: The disk refuses.
        """
        try:
            self.disk.delete(f"{self._folder(table, variant)}/{name}")
        except OSError as error:
            raise StoreError(f"{table}/{variant}/{name} could not be deleted: {_reason(error)}.") from error

    def purged(self, version: Version) -> str | None:
        """Why a version's rows are gone, where they were deleted on purpose."""
        marker = self.disk.get(self._purge_marker(version))
        return marker.decode() if marker is not None else None

    def _purge_marker(self, version: Version) -> str:
        return f"{self._folder(version.table, version.variant)}/versions/purged-{version.number}.txt"

    def _file(self, version: Version | Node) -> str:
        return f"{self._folder(version.table, version.variant)}/{version.file_sha256}.parquet"

    def _folder(self, table: str, variant: str) -> str:
        for part in (table, variant):
            if not part.replace("_", "").isalnum():
                raise StoreError(f"{part!r} cannot name a table or variant; use letters, digits and underscores.")
        return f"{table}/{variant}"

    def _load(self, table: str, variant: str, number: int) -> Version:
        return self._parsed(self.claim(table, variant, number)[1], table, variant, number)

    def _parsed(self, claim: bytes, table: str, variant: str, number: int) -> Version:
        try:
            record = json.loads(claim)
            unknown = sorted(record.keys() - CLAIMED)
            if unknown and record.get("claim_sha256") == claim_digest(record):
                raise NewerHome(
                    f"{self.claim(table, variant, number)[0]} says {', '.join(unknown)}, which this M2V does not know: "
                    "a newer one wrote it. Nothing is wrong with it; install that version."
                )
            return Version(number=number, **record)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"{self.claim(table, variant, number)[0]} is damaged and cannot be read. Delete it: the version before "
                f"it becomes the latest, and `m2v run --force --select {table}/{variant}` makes a new one."
            ) from error

    def _claim(self, folder: str, claim: dict[str, Any]) -> Version:
        claim = {**claim, "claim_sha256": claim_digest(claim)}
        content = json.dumps(claim, indent=1, sort_keys=True).encode()
        return Version(number=self.disk.create(f"{folder}/versions", content), **claim)


def claim_digest(claim: Mapping[str, Any]) -> str:
    """Return the sha256 of what a claim says, but for this digest itself."""
    content = {name: value for name, value in claim.items() if name != "claim_sha256"}
    return data_sha256(content)


def _check_columns(table: str, variant: str, columns: list[str]) -> None:
    """Raise for a table of ours with a column that it does not have."""
    known = {*TABLES[table].columns, *TABLES[table].former} if table in TABLES else set(columns)
    more = [name for name in columns if name not in known]
    if more:
        raise NewerHome(
            f"{table}/{variant} has the columns {', '.join(more)}, which this M2V does not know: a newer one wrote it. "
            "Nothing is wrong with it; install that version."
        )


def as_dict(version: Version) -> dict[str, Any]:
    """Return the version as plain data."""
    return {"name": version.name, **asdict(version)}


def _write_whole(frame: pl.DataFrame, path: Path) -> tuple[str, int]:
    """Write the rows; give their hash and number."""
    # Hashing and writing take about equally long and share no state: at five million rows, side by side is what
    # keeps the store within 1.3 × plain Polars (benchmarks/store.py).
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(rows_hash, frame)
        # Row-group statistics cost a fifth of the write and we look rows up by reading one column.
        frame.write_parquet(path, statistics=False)
        return digest.result(), frame.height


def _write_parts(parts: Iterable[pl.DataFrame], table: Table, path: Path) -> tuple[str, int]:
    """Write rows that come in parts, checked and hashed as they pass; give their hash and number."""
    schema = table.empty().schema
    rows = RowsHash(schema)

    def passing(*_: object) -> Iterator[pl.DataFrame]:
        with ThreadPoolExecutor(1) as pool:
            hashed = pool.submit(rows.update, table.empty())
            for part in table.validate_parts(parts):
                hashed.result()
                hashed = pool.submit(rows.update, part)
                yield part
            hashed.result()

    register_io_source(passing, schema=schema).sink_parquet(path, statistics=False)
    return rows.hexdigest(), rows.n_rows


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error).splitlines()[0]
