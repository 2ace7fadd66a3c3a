"""The table store: immutable parquet files named by their content, and numbered versions that point at them.

``<root>/<table>/<variant>/<sha256>.parquet`` holds rows; ``…/versions/<number>.json`` claims a version of them. A
version is claimed last, by a hard link that fails if the number is taken, so that a writer killed at any moment leaves
every version whole and concurrent writers never overwrite each other.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import polars as pl

from m2v.errors import StoreError, UnknownName
from m2v.schemas import Table
from m2v_resources.rows import rows_hash


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


class TableStore:
    """Versions of tables below one folder, on a local disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self, frame: pl.DataFrame, table: Table, variant: str, *, provenance: Mapping[str, Any] | None = None
    ) -> Version:
        """The version that holds these rows: the latest where its rows are equal, else a new one.

        Raises:
            InvalidRows: The rows are not the table's; nothing is written.
            StoreError: The disk is full or refuses; every earlier version stands.
        """
        table.validate(frame)
        folder = self._folder(table.name, variant)
        latest = self.latest(table.name, variant)
        try:
            (folder / "versions").mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            # Hashing and writing take about equally long and share no state: at five million rows, side by side is what
            # keeps the store within 1.3 × plain Polars (benchmarks/store.py).
            with _scratch(folder) as (path, file), ThreadPoolExecutor(1) as pool:
                digest = pool.submit(rows_hash, frame)
                # Row-group statistics cost a fifth of the write and we look rows up by reading one column.
                frame.write_parquet(path, statistics=False)
                if latest and latest.rows_hash == digest.result() and self.is_whole(latest):
                    return latest
                _flush(file)
                file_sha256 = _digest(path)
                n_bytes = path.stat().st_size
                # Replaces a file of that name that was damaged; of equal content otherwise.
                path.replace(folder / f"{file_sha256}.parquet")
            _sync_folder(folder)
            if latest and latest.file_sha256 == file_sha256:
                return latest
            return self._claim(
                folder,
                {
                    "table": table.name,
                    "variant": variant,
                    "file_sha256": file_sha256,
                    "rows_hash": digest.result(),
                    "n_rows": frame.height,
                    "n_bytes": n_bytes,
                    "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "provenance": dict(provenance or {}),
                },
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            stands = f"{latest.name} stands" if latest else "nothing was there before"
            raise StoreError(
                f"{table.name}/{variant} could not be written below {self.root}: {_reason(error)}; {stands}. Free "
                "space there, or point M2V_HOME to a folder that you may write to, then run again."
            ) from error

    def read(self, table: str, variant: str, *, number: int | None = None) -> pl.DataFrame:
        """The rows of a version, the latest by default, verified against their sha256.

        Raises:
            UnknownName: No such table, variant or version.
            StoreError: The file is missing or damaged.
        """
        version = self.version(table, variant, number=number)
        path = self.path(version)
        if self.purged(version):
            raise StoreError(f"{version.name} was purged: {self.purged(version)}. Read a later version.")
        if not self.is_whole(version):
            raise StoreError(
                f"{version.name}: {path} is missing or damaged (its sha256 is not its name). Restore that file from a "
                f"backup, or make the table anew: `m2v run --force --select {table}/{variant}`."
            )
        return pl.read_parquet(path)

    def version(self, table: str, variant: str, *, number: int | None = None) -> Version:
        """A version by number, or the latest."""
        if number and (self._folder(table, variant) / "versions" / f"{number}.json").is_file():
            # Without listing the others: whoever walks through all versions would list them once for each.
            return self._load(table, variant, number)
        numbers = self.numbers(table, variant)
        if not numbers:
            known = [f"{each.table}/{each.variant}" for each in self.all_latest()]
            raise UnknownName("stored table", f"{table}/{variant}", known)
        if number is not None:
            raise UnknownName(f"version of {table}/{variant}", str(number), [str(each) for each in numbers])
        return self._load(table, variant, numbers[-1])

    def latest(self, table: str, variant: str) -> Version | None:
        """The latest version, if there is one."""
        numbers = self.numbers(table, variant)
        return self._load(table, variant, numbers[-1]) if numbers else None

    def all_latest(self) -> list[Version]:
        """The latest version of every table, sorted by name."""
        folders = sorted(folder.parent for folder in self.root.glob("*/*/versions"))
        found = (self.latest(folder.parent.name, folder.name) for folder in folders)
        return [version for version in found if version]

    def numbers(self, table: str, variant: str) -> list[int]:
        """Numbers of the complete versions, ascending."""
        claims = (self._folder(table, variant) / "versions").glob("[0-9]*.json")
        return sorted(int(path.stem) for path in claims)

    def path(self, version: Version) -> Path:
        """The parquet file of a version."""
        return self._folder(version.table, version.variant) / f"{version.file_sha256}.parquet"

    def is_whole(self, version: Version) -> bool:
        """Whether the version's file is there and its content has the sha256 that it is named by."""
        try:
            return _digest(self.path(version)) == version.file_sha256
        except FileNotFoundError:
            return False

    def purge(self, version: Version, *, why: str) -> None:
        """Delete a version's rows for good; its claim stays, so that what was made of it can still name it.

        Raises:
            StoreError: It is the latest, or shares its file with it.
        """
        latest = self.latest(version.table, version.variant)
        if latest and latest.file_sha256 == version.file_sha256:
            raise StoreError(f"{version.name} holds the rows of the latest version; only earlier ones are purged.")
        marker = self._purge_marker(version)
        try:
            marker.write_text(why, encoding="utf-8")
            _sync_folder(marker.parent)
            self.path(version).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{version.name} could not be purged: {_reason(error)}.") from error

    def purged(self, version: Version) -> str | None:
        """Why a version's rows are gone, where they were deleted on purpose."""
        marker = self._purge_marker(version)
        return marker.read_text(encoding="utf-8") if marker.is_file() else None

    def _purge_marker(self, version: Version) -> Path:
        return self._folder(version.table, version.variant) / "versions" / f"purged-{version.number}.txt"

    def _folder(self, table: str, variant: str) -> Path:
        for part in (table, variant):
            if not part.replace("_", "").isalnum():
                raise StoreError(f"{part!r} cannot name a table or variant; use letters, digits and underscores.")
        return self.root / table / variant

    def _load(self, table: str, variant: str, number: int) -> Version:
        path = self._folder(table, variant) / "versions" / f"{number}.json"
        try:
            return Version(number=number, **json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"{path} is damaged and cannot be read. Delete it: the version before it becomes the latest, and "
                f"`m2v run --force --select {table}/{variant}` makes a new one."
            ) from error

    def _claim(self, folder: Path, claim: dict[str, Any]) -> Version:
        claim = {**claim, "claim_sha256": claim_digest(claim)}
        with _scratch(folder) as (path, file):
            file.write(json.dumps(claim, indent=1, sort_keys=True).encode())
            _flush(file)
            while True:
                number = max(self.numbers(folder.parent.name, folder.name), default=0) + 1
                try:
                    os.link(path, folder / "versions" / f"{number}.json")
                except FileExistsError:
                    continue  # another writer took the number between the look and the link
                _sync_folder(folder / "versions")
                return Version(number=number, **claim)


def claim_digest(claim: Mapping[str, Any]) -> str:
    """The sha256 of what a claim says, but for this digest itself."""
    said = {name: value for name, value in claim.items() if name != "claim_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def as_dict(version: Version) -> dict[str, Any]:
    """The version as plain data."""
    return {"name": version.name, **asdict(version)}


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """An empty file that nobody else touches; gone afterwards, and swept by the next writer if we are killed.

    We hold a lock on it as long as we live, which tells a sweeper, without clocks or process ids, whose it is not.
    """
    while True:
        path = folder / f".{uuid.uuid4().hex}.tmp"
        with path.open("w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists():
                continue  # a sweeper took it for a dead writer's before we held the lock
            try:
                yield path, file
            finally:
                path.unlink(missing_ok=True)
            return


def _sweep(folder: Path) -> None:
    """Delete what killed writers left behind."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error).splitlines()[0]
