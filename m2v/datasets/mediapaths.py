"""Where a dataset's media lie below their folder: as its tables say, or as its distribution is unpacked."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import polars as pl

from m2v.datasets import layouts
from m2v.entries.datasets import Dataset
from m2v.entries.layouts import Places
from m2v.errors import Unusable
from m2v.files import storage

# Raised when names are found that were not before, or other ones.
VERSION = "1"
N_SHOWN = 3
MAX_SHOWN_CHARACTERS = 80


def candidates(places: Places, name: str, *, item_id: str, label: bool) -> Iterator[str]:
    """Yield the paths where a medium may lie, the most literal first."""
    plain = stated(places, name)
    path = PurePosixPath(plain)
    for pattern in places.patterns:
        for extension in dict.fromkeys((path.suffix, *places.extensions)):
            filled = pattern.format_map(
                {
                    "name": str(path.with_suffix(extension)) if path.name else plain,
                    "folder": str(path.parent),
                    "id": item_id,
                    "class": places.classes[label] if places.classes else "",
                    "extension": extension,
                }
            )
            yield filled
            if places.root:
                yield f"{places.root}/{filled}"
            if places.loose:
                yield from _tails(filled, item_id)


def stated(places: Places, name: str) -> str:
    """Return the table's name with forward slashes and, in a loose layout, without leading ``../``."""
    name = name.replace("\\", "/")
    while places.loose and name.startswith("../"):
        name = name[3:]
    return name


class Listing:
    """What lies below a media folder or address, nothing hidden; names are compared in Unicode NFC."""

    def __init__(self, root: storage.Place) -> None:
        self.root = root
        self._names = {_normal(name): name for name in sorted(_names(root))}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Yield the paths below the root as they are written there, sorted."""
        return iter(sorted(self._names.values()))

    def find(self, candidates: Iterable[str]) -> str | None:
        """Return the first candidate that lies there, as it is written there; None where none does."""
        for candidate in candidates:
            if name := self._names.get(_normal(candidate)):
                return name
            if self._is_behind_a_link(candidate):
                return candidate
        return None

    def summary(self) -> str:
        """Return what lies there, for an error: how many files, and the first of them."""
        shown = "".join(f", {name[:MAX_SHOWN_CHARACTERS]!r}" for name in list(self._names.values())[:N_SHOWN])
        return f"{len(self):,} files lie there{': ' + shown[2:] if shown else ''}{' …' if len(self) > N_SHOWN else ''}"

    def _is_behind_a_link(self, candidate: str) -> bool:
        """Return whether a linked folder, which is not listed, leads to it without leaving the media folder."""
        path = PurePosixPath(candidate)
        if not isinstance(self.root, Path) or path.is_absolute() or ".." in path.parts or "\0" in candidate:
            return False
        # One look at the first part, which most candidates lack, keeps thousands of names cheap.
        first = self.root / path.parts[0] if path.parts else self.root
        if len(path.parts) < 2 or not first.is_symlink():
            return False
        target = (self.root / path).resolve()
        return target.is_relative_to(self.root.resolve()) and target.is_file()


def resolved(items: pl.DataFrame, dataset: Dataset, listing: Listing, *, item_id: str, media: str) -> pl.DataFrame:
    """Return the items with the names of their media as they are below the media folder.

    A name that is not found stays as the layout reads it, and the program that opens it says what is wrong.

    Args:
        items: Columns ``label``, and those called ``item_id`` and ``media`` (str, null where there is none).
    """
    places = layouts.places(dataset)
    names = [
        name and (listing.find(candidates(places, name, item_id=item, label=label)) or stated(places, name))
        for item, label, name in items.select(item_id, "label", media).iter_rows()
    ]
    return items.with_columns(pl.Series(media, names, dtype=pl.String))


def check_usable(
    problems: pl.DataFrame, *, title: str, what: str, names: Iterable[str | None], listing: Listing, share: float
) -> None:
    """Raise unless enough of a dataset's media can be used.

    Args:
        problems: Column ``problem``, null where the medium can be used; a row per item.
        what: "pictures" or "videos".
        names: Of all media, as they were looked for.
        share: How much of them must be usable, 0 to 1.

    Raises:
        Unusable: Fewer are; says where they were looked for and what lies there.
    """
    reasons = lost(problems)
    n_lost = sum(reasons.values())
    if n_lost <= (1 - share) * problems.height + 1e-9:
        return
    wanted = next((name for name in names if name and not listing.find([name])), None)
    looked = f"; not there is, for example, {wanted[:MAX_SHOWN_CHARACTERS]!r}" if wanted else ""
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    raise Unusable(
        f"{n_lost:,} of {problems.height:,} {what} of {title!r} cannot be used ({counts}); the study wants at least "
        f"{share:.0%} usable. Looked below {listing.root}: {listing.summary()}{looked}. Point M2V_MEDIA (or the "
        "dataset's `media:`) to the folder with the media, or, if fewer are enough, lower `usable_media_share`."
    )


def lost(problems: pl.DataFrame) -> dict[str, int]:
    """Return how many items cannot be used by reason, in the reasons' order."""
    reasons = problems.drop_nulls("problem").group_by(pl.col("problem").cast(pl.String)).len().sort("problem")
    return dict(reasons.iter_rows())


def _tails(path: str, item_id: str) -> Iterator[str]:
    parts = PurePosixPath(path).parts
    for start in range(1, len(parts) - 1):
        tail = "/".join(parts[start:])
        if item_id in tail:
            yield tail


def _names(root: storage.Place) -> Iterator[str]:
    if not isinstance(root, Path):
        yield from storage.files(root)
        return
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(place, root)
        for name in files:
            if not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"


def _normal(name: str) -> str:
    name = name.replace("\\", "/") if name.isascii() else unicodedata.normalize("NFC", name).replace("\\", "/")
    return name.removeprefix("./")
