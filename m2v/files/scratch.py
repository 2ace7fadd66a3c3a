"""Scratch files: nobody else's while we live, swept by the next writer when we were killed."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import lock_descriptor


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield an empty file that nobody else touches; gone afterwards, and swept by the next writer if we are killed.

    We hold a lock on it as long as we live, which tells a sweeper, without clocks or process ids, whose it is not.
    """
    while True:
        path = folder / f".{uuid.uuid4().hex}.tmp"
        with path.open("w+b") as file:
            lock_descriptor(file.fileno())
            if not path.exists():
                continue  # a sweeper took it for a dead writer's before we held the lock
            try:
                yield path, file
            finally:
                path.unlink(missing_ok=True)
            return


def sweep(folder: Path) -> None:
    """Delete what killed writers left behind."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if lock_descriptor(file.fileno(), blocking=False):
                path.unlink()


def flush(file: IO[bytes]) -> None:
    """Have the disk hold what was written."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the disk hold the folder's names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that nobody else touches, below another; gone afterwards, swept as scratch files are."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep_folders(folder)
    with scratch(folder) as (path, _):
        place = path.with_suffix(".folder")
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def sweep_folders(folder: Path) -> None:
    """Delete the folders that killed processes left behind: those whose scratch file is gone once it is swept."""
    sweep(folder)
    for place in folder.glob(".*.folder"):
        if not place.with_suffix(".tmp").exists():
            shutil.rmtree(place, ignore_errors=True)
