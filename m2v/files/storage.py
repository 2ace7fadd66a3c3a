"""Where media and tables lie: a place is a local path, or the address of an object (``s3://bucket/key``).

``M2V_STORAGE`` moves tables and decoded media from the home to object storage. Whoever needs a file asks for a local
one; an object is then downloaded, once to a host, into a cache that may be deleted at any time.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from m2v.errors import StorageError
from m2v.files import locks, whole
from m2v.files.buckets import SCHEME, Bucket, Facts, bucket
from m2v.files.checkout import CHECKOUT
from m2v.files.digests import file_sha256, text_sha256
from m2v.files.scratch import scratch, scratch_folder, sweep

Place = Path | str
N_AT_ONCE = 16


def place(home: Path, name: str) -> Place:
    """Where tables or decoded media called ``name`` (``media/pictures/…``) lie: below ``M2V_STORAGE``, or the home.

    Raises:
        StorageError: ``M2V_STORAGE`` is no address.
    """
    root = os.environ.get("M2V_STORAGE")
    if not root:
        return home / name
    if not is_remote(root):
        raise StorageError(
            f"M2V_STORAGE is {root}, which is no s3://bucket/prefix. Write one, or unset it: then all lies in M2V_HOME."
        )
    return f"{root.rstrip('/')}/{name}"


def is_remote(where: Place) -> bool:
    """Whether it is the address of an object, or of a folder of such."""
    return str(where).startswith(SCHEME)


def given(address: str) -> Place:
    """Return a place out of a spec."""
    return address if is_remote(address) else Path(address)


def absolute(where: Place) -> str:
    """Return a place as it is known to everybody on the host."""
    return str(where.resolve()) if isinstance(where, Path) else where


def join(folder: Place, name: str) -> Place:
    """Return a place in a folder."""
    return folder / name if isinstance(folder, Path) else f"{folder.rstrip('/')}/{name}"


def cache() -> Path:
    """``M2V_CACHE``, or ``cache`` in the home."""
    home = os.environ.get("M2V_HOME") or CHECKOUT / "var"
    return Path(os.environ.get("M2V_CACHE") or Path(home, "cache")).absolute()


def local(where: Place, *, changes: bool = False) -> Path:
    """Return a local file with the content, downloaded once.

    Args:
        changes: It may have been written again since we downloaded it, so ask.

    Raises:
        FileNotFoundError: There is no such object. That there is such a file is not looked at.
        StorageError: The object cannot be had, or not be kept.
    """
    if not is_remote(where):
        return Path(where)
    folder = _kept(str(where))
    if not changes and (copies := _copies(folder)):
        return copies[-1]
    holder, name = _object(str(where))
    facts = holder.facts(name)
    if facts is None:
        drop_copies(where)
        raise FileNotFoundError(f"{where} is not there")
    copy = folder / _copy_name(str(where), facts[1])
    return copy if copy.exists() else _downloaded(holder, name, folder, where)


def fetch(places: Iterable[Place]) -> None:
    """Download what is not here, many at once; what is missing shows when it is needed. Call it before a fork."""
    wanted = {str(place) for place in places if is_remote(place) and not _copies(_kept(str(place)))}
    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        for future in [pool.submit(local, place) for place in sorted(wanted)]:
            if not isinstance(future.exception(), FileNotFoundError):
                future.result()


def read(where: Place) -> bytes | None:
    """Return a small file's content as it is now; None where there is none."""
    if isinstance(where, Path):
        return where.read_bytes() if where.is_file() else None
    holder, name = _object(where)
    return holder.get(name)


def write(where: Place, content: bytes) -> None:
    """Write a small file whole or not at all."""
    if isinstance(where, Path):
        whole.write(where, content)
    else:
        holder, name = _object(where)
        holder.put(name, content)


def delete(where: Place) -> bool:
    """Delete the file and its cached copy. Return whether it existed."""
    if isinstance(where, Path):
        was_there = where.is_file()
        where.unlink(missing_ok=True)
        return was_there
    holder, name = _object(where)
    was_there = holder.facts(name) is not None
    holder.delete(name)
    drop_copies(where)
    return was_there


def upload(path: Path, address: str) -> None:
    """Move a local file to an object; what stays of it here is the cache's."""
    holder, name = _object(address)
    tag = holder.put(name, path)
    folder = _kept(address)
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / _copy_name(address, tag))


def files(root: Place) -> dict[str, Facts]:
    """Size and tag of every object below a folder by its name there, sorted; of nothing hidden."""
    objects = bucket(str(root)).list()
    return dict(sorted(entry for entry in objects if not any(part.startswith(".") for part in entry[0].split("/"))))


def is_empty(root: str) -> bool:
    """Whether nothing lies below an address."""
    return next(bucket(root).list(), None) is None


def sha256(where: Place) -> str | None:
    """Of the content as it is there, not of a copy; None where there is none."""
    if isinstance(where, Path):
        return file_sha256(where) if where.is_file() else None
    with _scratch(cache()) as path:
        holder, name = _object(where)
        with path.open("wb") as file:
            tag = holder.download(name, file)
        return file_sha256(path) if tag else None


@contextmanager
def filled(folder: Place) -> Iterator[Path]:
    """Yield a local folder to write into; what is in it at the end lies in the place, the files each whole."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with scratch_folder(cache() / "work") as local_folder:
        yield local_folder
        for path in sorted(path for path in local_folder.iterdir() if path.is_file()):
            upload(path, f"{folder}/{path.name}")


def drop_copies(where: Place) -> None:
    """Delete what this host's cache has of an object."""
    for copy in _copies(_kept(str(where))):
        copy.unlink(missing_ok=True)


def _downloaded(holder: Bucket, name: str, folder: Path, where: Place) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Alone among the processes of the host that want one of a 256th of all objects.
        with locks.waited_for(folder.parent / ".lock"):
            current = holder.facts(name)
            copy = folder / _copy_name(str(where), current[1] if current else "")
            if current and copy.exists():
                return copy
            with _scratch(folder) as path:
                with path.open("wb") as file:
                    tag = holder.download(name, file)
                if tag is None:
                    raise FileNotFoundError(f"{where} is not there")
                drop_copies(where)
                copy = folder / _copy_name(str(where), tag)
                path.replace(copy)
                return copy
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(
            f"{where} cannot be kept in {cache()}: {error.strerror or error}. Free space there, or point M2V_CACHE to "
            "a folder of this host that you may write to."
        ) from error


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    with scratch(folder) as (path, _):
        yield path


def _object(address: str) -> tuple[Bucket, str]:
    """Return an object by its name in its bucket, or below ``M2V_STORAGE`` or ``M2V_MEDIA``, where rights may end."""
    for root in (os.environ.get("M2V_STORAGE"), os.environ.get("M2V_MEDIA")):
        if root and is_remote(root) and address.startswith(f"{root.rstrip('/')}/"):
            return bucket(root), address.removeprefix(f"{root.rstrip('/')}/")
    root, _, name = address.removeprefix(SCHEME).partition("/")
    return bucket(f"{SCHEME}{root}"), name


def _kept(address: str) -> Path:
    """Return the folder of an object's copies, of which there is one but for moments."""
    digest = text_sha256(address)
    return cache() / "objects" / digest[:2] / digest


def _copies(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if path.name[0] != "."), key=lambda path: path.stat().st_mtime)
    except FileNotFoundError:
        return []


def _copy_name(address: str, tag: str) -> str:
    """Return a name that changes with the object, and ends as it does, because readers of media look at that."""
    return text_sha256(tag)[:32] + Path(address.rpartition("/")[2]).suffix
