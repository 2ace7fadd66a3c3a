"""Where the server serves an item's picture from."""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from m2v.errors import LabelStudioError

# What an item without a picture has where others have one: a transparent pixel, which the page hides (meme.xml).
NONE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def media_root() -> str | None:
    """``LABEL_STUDIO_MEDIA``: the images, in a folder as the server sees it or ``s3://bucket/prefix``, if any."""
    return os.environ.get("LABEL_STUDIO_MEDIA") or None


def media_url(image: str) -> str:
    """Where the server serves an image from.

    Raises:
        LabelStudioError: The path leads out of the media folder.
    """
    place = media_root() or "/"
    path = PurePosixPath(image)
    if place.startswith("s3://"):
        if path.is_absolute() or ".." in path.parts:
            raise LabelStudioError(f"The image path {image!r} leads out of {place}; mend the dataset's file.")
        return f"{place.rstrip('/')}/{path}"
    root = Path(place).resolve()
    try:
        file = (root / image).resolve()
    except (OSError, ValueError, RuntimeError):
        raise LabelStudioError(f"No file can be called {image[:80]!r}; mend the dataset's file.") from None
    if path.is_absolute() or ".." in path.parts or not file.is_relative_to(root):
        raise LabelStudioError(f"The image path {image!r} leads out of the media folder; mend the dataset's file.")
    # Relative to the server's document root; our own server's is the folder above (label_studio_server.py).
    document_root = Path(os.environ.get("LABEL_STUDIO_DOCUMENT_ROOT") or root.parent).resolve()
    return f"/data/local-files/?d={quote(str(file.relative_to(document_root)))}"
