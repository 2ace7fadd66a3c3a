"""What a table store lies on. Names are relative to its root, with slashes, and made by the store, never by data."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from m2v.errors import StorageError
from m2v.files import storage
from m2v.files.buckets import Bucket, bucket
from m2v.files.digests import file_sha256
from m2v.files.parquet import DAMAGED
from m2v.files.scratch import flush, scratch, sweep, sync_folder


class Disk(Protocol):
    """Files that are whole or not there, and one operation that only one of several writers can win."""

    def where(self, name: str) -> str:
        """Return a file or folder, as people are told of it."""
        ...

    def folders(self, name: str, *, table: str = "") -> list[tuple[str, list[str]]]:
        """Every ``table/variant`` that has a folder of that name, with the names of the files in it, sorted.

        Args:
            table: Only of this one.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder; none where there is no such folder."""
        ...

    def get(self, name: str) -> bytes | None:
        """Return a small file's content; None where it is not there."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, whole and for good."""
        ...

    def create(self, folder: str, content: bytes) -> int:
        """Write ``<folder>/<number>.json``, with the first number above all that are there; give the number."""
        ...

    def delete(self, name: str) -> None:
        """Delete the file."""
        ...

    def scratch(self, folder: str) -> contextlib.AbstractContextManager[tuple[Path, IO[bytes]]]:
        """Return a local file of our own, to write what shall be kept in the folder; gone afterwards."""
        ...

    def keep(self, written: tuple[Path, IO[bytes]], folder: str) -> tuple[str, int]:
        """Make a scratch file ``<folder>/<sha256>.parquet``, whatever was there; give its sha256 and bytes."""
        ...

    def path(self, name: str) -> Path:
        """Return a local file with a parquet file's content; it may be missing, and is not verified on a local disk.

        Raises:
            StorageError: The object is missing or damaged.
        """
        ...

    def verified(self, name: str) -> Path | None:
        """Return a local file with a parquet file's content; None where it is missing, or its sha256 is another."""
        ...

    def ready(self) -> None:
        """Find out whether it can be written, where that is not known until one tries.

        Raises:
            StorageError: Says what it lacks.
        """
        ...


class LocalDisk:
    """A folder. A file is claimed by a hard link, which fails if the name is taken."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, name: str) -> str:
        return str(self.root / name)

    def folders(self, name: str, *, table: str = "") -> list[tuple[str, list[str]]]:
        pattern = f"{table or '*'}/*/{name}"
        places = sorted(str(folder.relative_to(self.root).parent) for folder in self.root.glob(pattern))
        return [(place, self.names(f"{place}/{name}")) for place in places]

    def names(self, folder: str) -> list[str]:
        try:
            return os.listdir(self.root / folder)  # noqa: PTH208 (a path for each would take longer)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def get(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        place = self.root / name
        with scratch(place.parent) as (path, file):
            file.write(content)
            flush(file)
            path.replace(place)
        sync_folder(place.parent)

    def create(self, folder: str, content: bytes) -> int:
        place = self.root / folder
        with scratch(place.parent) as (path, file):
            file.write(content)
            flush(file)
            while True:
                number = next_number(self.names(folder))
                try:
                    os.link(path, place / f"{number}.json")
                except FileExistsError:
                    continue  # another writer took the number between the look and the link
                sync_folder(place)
                return number

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def scratch(self, folder: str) -> Iterator[tuple[Path, IO[bytes]]]:
        place = self.root / folder
        (place / "versions").mkdir(parents=True, exist_ok=True)
        sweep(place)
        with scratch(place) as written:
            yield written

    def keep(self, written: tuple[Path, IO[bytes]], folder: str) -> tuple[str, int]:
        path, file = written
        flush(file)
        digest, n_bytes = file_sha256(path), path.stat().st_size
        # Replaces a file of that name that was damaged; of equal content otherwise.
        path.replace(self.root / folder / f"{digest}.parquet")
        sync_folder(self.root / folder)
        return digest, n_bytes

    def path(self, name: str) -> Path:
        return self.root / name

    def verified(self, name: str) -> Path | None:
        path = self.root / name
        try:
            return path if file_sha256(path) == path.stem else None
        except FileNotFoundError:
            return None

    def ready(self) -> None:
        """Whether it is full shows when it is."""


class ObjectDisk:
    """Objects below an address. A file is claimed by a conditional put, which the server refuses if it is there.

    Tables are written to a local scratch file and uploaded whole; what is read is a local copy.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def where(self, name: str) -> str:
        return f"{self.address}/{name}".rstrip("/")

    def folders(self, name: str, *, table: str = "") -> list[tuple[str, list[str]]]:
        names_by_place: dict[str, list[str]] = {}
        for path, _ in self._bucket.list(table):
            folder, _, file = path.rpartition("/")
            if folder.count("/") == 2 and folder.endswith(f"/{name}"):
                names_by_place.setdefault(folder.removesuffix(f"/{name}"), []).append(file)
        return sorted(names_by_place.items())

    def names(self, folder: str) -> list[str]:
        names = [name.removeprefix(f"{folder}/") for name, _ in self._bucket.list(folder)]
        return [name for name in names if "/" not in name]

    def get(self, name: str) -> bytes | None:
        return self._bucket.get(name)

    def put(self, name: str, content: bytes) -> None:
        self._bucket.put(name, content)

    def create(self, folder: str, content: bytes) -> int:
        number = next_number(self.names(folder))
        while not self._bucket.create(f"{folder}/{number}.json", content):
            number = max(number + 1, next_number(self.names(folder)))
        return number

    def delete(self, name: str) -> None:
        storage.delete(self.where(name))

    @contextlib.contextmanager
    def scratch(self, folder: str) -> Iterator[tuple[Path, IO[bytes]]]:
        place = storage.cache() / "work"
        try:
            place.mkdir(parents=True, exist_ok=True)
            sweep(place)
            with scratch(place) as written:
                yield written
        except DAMAGED as error:
            raise StorageError(
                f"{self.where(folder)} could not be written, because {place} cannot be: {error}. Free space there, or "
                "point M2V_CACHE to a folder of this host that you may write to; every version there was stands."
            ) from error

    def keep(self, written: tuple[Path, IO[bytes]], folder: str) -> tuple[str, int]:
        path, file = written
        file.flush()
        digest, n_bytes = file_sha256(path), path.stat().st_size
        storage.upload(path, self.where(f"{folder}/{digest}.parquet"))
        return digest, n_bytes

    def path(self, name: str) -> Path:
        path = self.verified(name)
        if path is None:
            raise StorageError(
                f"{self.where(name)} is missing or damaged (its sha256 is not its name). Restore it from a backup, or "
                f"recompute the table: `m2v run --force --select {name.rpartition('/')[0]}`."
            )
        return path

    def verified(self, name: str) -> Path | None:
        place = self.where(name)
        for _ in range(2):
            try:
                path = storage.local(place, changes=True)
                if file_sha256(path) == name.rpartition("/")[2].removesuffix(".parquet"):
                    return path
            except FileNotFoundError:
                return None
            # Either the object is damaged or our copy of it.
            storage.drop_copies(place)
        return None

    def ready(self) -> None:
        self._bucket.prove()

    @property
    def _bucket(self) -> Bucket:
        return bucket(self.address)


def disk(root: storage.Place) -> Disk:
    """Return the disk that a store's root lies on."""
    return ObjectDisk(str(root)) if storage.is_remote(root) else LocalDisk(Path(root))


def numbers(names: list[str]) -> list[int]:
    """Return the numbers of claims among the files of a folder, ascending."""
    return sorted(int(name.removesuffix(".json")) for name in names if name[0].isdigit() and name.endswith(".json"))


def next_number(names: list[str]) -> int:
    """Return the number of the next claim."""
    return max(numbers(names), default=0) + 1
