"""What a table store lies on. Names are relative to its root, with slashes, and made by the store, never by data."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from m2v.programfiles import sha256
from m2v.scratch import flush, scratch, sweep, sync_folder


class Disk(Protocol):
    """Files that are whole or not there, and one operation that only one of several writers can win."""

    def where(self, name: str) -> str:
        """A file or folder, as people are told of it."""
        ...

    def folders(self, name: str) -> list[tuple[str, list[str]]]:
        """Every folder ``*/*/<name>`` with the names of the files in it, sorted."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder; none where there is no such folder."""
        ...

    def get(self, name: str) -> bytes | None:
        """A small file's content; None where it is not there."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, whole and for good."""
        ...

    def create(self, folder: str, content: bytes) -> int:
        """Write ``<folder>/<number>.json``, with the first number above all that are there; give the number."""
        ...

    def delete(self, name: str) -> None:
        """Have no such file any more."""
        ...

    def scratch(self, folder: str) -> contextlib.AbstractContextManager[tuple[Path, IO[bytes]]]:
        """A local file of our own, to write what shall be kept in the folder; gone afterwards."""
        ...

    def keep(self, written: tuple[Path, IO[bytes]], folder: str) -> tuple[str, int]:
        """Make a scratch file ``<folder>/<sha256>.parquet``, whatever was there; give its sha256 and bytes."""
        ...

    def path(self, name: str) -> Path:
        """A local file with a parquet file's content; it may be missing, and is not verified on a local disk.

        Raises:
            StorageError: The object is missing or damaged.
        """
        ...

    def verified(self, name: str) -> Path | None:
        """A local file with a parquet file's content; None where it is missing, or its sha256 is not its name."""
        ...


class LocalDisk:
    """A folder. A file is claimed by a hard link, which fails if the name is taken."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, name: str) -> str:
        return str(self.root / name)

    def folders(self, name: str) -> list[tuple[str, list[str]]]:
        found = sorted(self.root.glob(f"*/*/{name}"))
        return [(str(folder.relative_to(self.root)), self.names(str(folder))) for folder in found]

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
        path = self.root / name
        path.write_bytes(content)
        sync_folder(path.parent)

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
        digest, n_bytes = sha256(path), path.stat().st_size
        # Replaces a file of that name that was damaged; of equal content otherwise.
        path.replace(self.root / folder / f"{digest}.parquet")
        sync_folder(self.root / folder)
        return digest, n_bytes

    def path(self, name: str) -> Path:
        return self.root / name

    def verified(self, name: str) -> Path | None:
        path = self.root / name
        try:
            return path if sha256(path) == path.stem else None
        except FileNotFoundError:
            return None


def numbers(names: list[str]) -> list[int]:
    """The numbers of claims among the files of a folder, ascending."""
    return sorted(int(name.removesuffix(".json")) for name in names if name[0].isdigit() and name.endswith(".json"))


def next_number(names: list[str]) -> int:
    """The number of the next claim."""
    return max(numbers(names), default=0) + 1
