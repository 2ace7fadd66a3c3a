"""Locks between processes: the operating system's, so that a killed process holds none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made and stays; wait until nobody else does."""
    with FileLock(path):
        yield


@contextmanager
def held(path: Path, *, busy: Callable[[], Exception]) -> Iterator[None]:
    """Hold the lock on a file, which is made and stays.

    Args:
        busy: Gives the error to raise where somebody else holds it.

    Raises:
        OSError: The file cannot be made.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise busy() from error
    try:
        yield
    finally:
        lock.release()
