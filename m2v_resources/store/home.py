"""Where everything that the platform writes lies."""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from m2v.errors import NewerHome, RunInProgress, StoreError
from m2v.files import documents, locks, storage
from m2v.files.checkout import CHECKOUT
from m2v.files.whole import replacing

# The instance's storage is spelled out in the checkout's dagster.yaml for `dg dev` started by hand; below a
# DAGSTER_HOME Dagster puts it there by itself.
STORAGE = {"storage", "local_artifact_storage", "compute_logs"}


# What a home says of who wrote it; raise the format when an older M2V would misread what a newer one writes.
MARK, FORMAT = "m2v.json", 1
MARK_BYTES = 1 << 12


def home() -> Path:
    """Return ``M2V_HOME``, or ``var/`` in the checkout.

    Raises:
        NewerHome: A newer M2V wrote it; nothing in it was read.
    """
    folder = Path(os.environ.get("M2V_HOME") or CHECKOUT / "var").absolute()
    _format(folder)
    return folder


def mark(folder: Path) -> None:
    """Write which M2V works there into a home and, where its tables lie in one, into object storage.

    Raises:
        NewerHome: A newer M2V wrote either; nothing was written.
        StoreError: Either cannot be written.
    """
    place = storage.place(folder, MARK)
    if isinstance(place, str) and stored_format(place) < FORMAT:
        storage.write(place, _mark().encode())
        stored_format.cache_clear()
    mark_folder(folder)


def mark_folder(folder: Path) -> None:
    """Write into a home, or a backup of one, which M2V works in it; one without this mark is older and opens.

    Raises:
        NewerHome: A newer M2V wrote it; nothing was written.
        StoreError: The folder cannot be written.
    """
    if _format(folder) < FORMAT:
        try:
            with replacing(folder / MARK) as scratch:
                scratch.write_text(_mark(), encoding="utf-8")
        except StoreError as error:
            raise StoreError(f"{error} M2V_HOME says which.") from error


def _mark() -> str:
    return json.dumps({"format": FORMAT, "version": version("m2v")}) + "\n"


def _format(folder: Path) -> int:
    """Return the format that a home says it has, 0 where it says nothing."""
    path = folder / MARK
    if not os.path.lexists(path):
        return 0
    return _known(documents.read_json(path, max_bytes=MARK_BYTES), folder)


@functools.cache
def stored_format(place: str) -> int:
    """Return the format that what lies in object storage says it has, 0 where it says nothing.

    Args:
        place: Address of its mark.

    Raises:
        NewerHome: A newer M2V wrote it.
        StorageError: It cannot be asked.
    """
    content = storage.read(place)
    return 0 if content is None else _known(documents.parsed_json(content[:MARK_BYTES], where=place), place)


def _known(about: Any, where: Path | str) -> int:
    """Return the format that a mark says, if it is one that we know."""
    if not isinstance(about, dict) or type(about.get("format")) is not int:
        raise StoreError(f"{where} does not say which M2V wrote it. Restore its {MARK} from a backup.")
    if about["format"] > FORMAT:
        raise NewerHome(
            f"{where} was written by M2V {about.get('version')} (format {about['format']}); this is {version('m2v')} "
            f"(format {FORMAT}), which would misread it. Install that version, or point M2V_HOME (M2V_STORAGE) "
            "elsewhere. Nothing was read or written."
        )
    return about["format"]


def use_dagster_home(folder: Path) -> None:
    """Point Dagster at its instance: the one that ``DAGSTER_HOME`` names already, or one below the home.

    Raises:
        StoreError: The folder cannot be written.
    """
    mark(folder)
    if os.environ.get("DAGSTER_HOME"):
        return
    instance = folder / "dagster"
    config = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({key: value for key, value in config.items() if key not in STORAGE})
    path = instance / "dagster.yaml"
    try:
        instance.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            scratch = path.with_suffix(f".{os.getpid()}.tmp")
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
    except OSError as error:
        raise StoreError(
            f"{instance} cannot be written: {error.strerror}. Free space there, or point M2V_HOME to a folder that "
            "you may write to."
        ) from error
    os.environ["DAGSTER_HOME"] = str(instance)


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the home's run lock.

    Raises:
        RunInProgress: Somebody else holds it; the message says which process.
    """
    mark(folder)
    path = folder / "run.lock"

    def busy() -> RunInProgress:
        process = path.read_text(encoding="utf-8").strip() or "unknown"
        return RunInProgress(
            f"Process {process} is already running `m2v run` in {folder}. Wait for it, or stop it; `m2v status` works "
            "meanwhile."
        )

    with locks.held(path, busy=busy):
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
