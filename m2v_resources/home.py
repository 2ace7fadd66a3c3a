"""Where everything that the platform writes lies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from m2v.catalog import CHECKOUT
from m2v.errors import RunInProgress, StoreError

# The instance's storage is spelled out in the checkout's dagster.yaml for `dg dev` started by hand; below a
# DAGSTER_HOME Dagster puts it there by itself.
STORAGE = {"storage", "local_artifact_storage", "compute_logs"}


def home() -> Path:
    """``M2V_HOME``, or ``var/`` in the checkout."""
    return Path(os.environ.get("M2V_HOME") or CHECKOUT / "var").absolute()


def use_dagster_home(folder: Path) -> None:
    """Point Dagster at its instance: the one that ``DAGSTER_HOME`` names already, or one below the home.

    Raises:
        StoreError: The folder cannot be written.
    """
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
    with (folder / "run.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RunInProgress(
                f"Process {file.read().strip() or 'unknown'} is already running `m2v run` in {folder}. Wait for it, "
                "or stop it; `m2v status` works meanwhile."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
