"""Files written whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from m2v.errors import StoreError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside ``path`` that takes its place, flushed to disk, when the block ends without an error.

    Raises:
        StoreError: The folder or the disk refuses; what stood at ``path`` still does.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:  # what Polars calls a full disk
        reason = getattr(error, "strerror", None) or str(error).rpartition("error: ")[2].splitlines()[0]
        raise StoreError(
            f"{path} cannot be written: {reason}. Free space there, or choose a folder that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StoreError: As ``replacing`` does.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(content)
