"""Where the server serves a meme's picture from: the study's own copies, decoded below the home."""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from m2v.files import storage

# What an item without a picture has where others have one: a transparent pixel, which the page hides (meme.xml).
NONE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
# Below the home; the server's document root is the folder above, as a project may show folders below it only.
FOLDER = PurePosixPath("media/pictures")


def folder(home: Path) -> Path:
    """Return the folder below the home whose pictures a server of our own may show; it is made where it is missing."""
    made = home / FOLDER
    made.mkdir(parents=True, exist_ok=True)
    return made


def place(home: Path) -> str:
    """Return where the server sees all pictures: a folder of its machine, or ``s3://bucket/prefix``.

    ``LABEL_STUDIO_DOCUMENT_ROOT`` is the home's folder ``media`` as a server that is not ours sees it.
    """
    kept = storage.place(home, str(FOLDER))
    if storage.is_remote(kept):
        return storage.absolute(kept).rstrip("/")
    root = os.environ.get("LABEL_STUDIO_DOCUMENT_ROOT")
    return str(Path(root, FOLDER.name)) if root else str(folder(home))


def url(place: str, path: str) -> str:
    """Return where the server serves a picture from.

    Args:
        place: Of all pictures, as ``place`` gives it.
        path: Relative to the home, as in ``meme_images``.
    """
    below = PurePosixPath(path).relative_to(FOLDER)
    if storage.is_remote(place):
        return f"{place}/{below}"
    return f"/data/local-files/?d={quote(str(FOLDER.name / below))}"
