"""What several workers need and one of them makes: each thing once in a session, in a folder that nobody changes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

# The session's folder; workers of pytest-xdist find it by this.
FOLDER = "M2V_TESTS_SHARED"


def once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder of that name, made by whichever worker wants it first; the others wait for it."""
    folder = Path(os.environ[FOLDER]) / name
    with FileLock(folder.with_suffix(".lock")):
        done = folder.with_suffix(".done")
        if not done.exists():
            # Of one whose making failed nothing is left.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
