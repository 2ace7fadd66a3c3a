"""What changes when a media file does, without reading it."""

import posixpath
from collections.abc import Callable

from m2v.files import storage
from m2v.media import images

Stamps = Callable[[str], list[int | str] | None]


def stamps_below(media: storage.Place) -> Stamps:
    """Return a look-up, by name, of what changes when a file below the place does; None where there is no such file."""
    if storage.is_remote(media):
        # One list of all: asking for each takes longer than reading them.
        known = storage.files(media)
        return lambda name: list(known[clean]) if (clean := posixpath.normpath(name)) in known else None

    def look(name: str) -> list[int | str] | None:
        try:
            about = images.below(media, name).stat()
        except images.NoPicture:
            return None
        return [about.st_size, about.st_mtime_ns]

    return look
