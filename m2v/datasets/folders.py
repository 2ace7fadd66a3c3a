"""Which files in somebody's folder are a dataset of each layout, as its authors distribute it."""

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from m2v.datasets import csvfiles, jsonfiles, layouts, plain
from m2v.datasets.csvfiles import COMMAS, Dialect
from m2v.entries.layouts import Layout, LayoutFile
from m2v.errors import BadInput, M2VError

ALIGNED = "_aligned_with_"
MAX_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class Found:
    """The files of one dataset, by their paths below the folder.

    Attributes:
        name: As a catalog entry can be called.
        files: In the order that the layout expects.
        aligned: Tables of the same memes under the definitions of targets, by target.
        left_out: What is not used of a file and why, by file.
        own_layout: Made for this very table; to be written beside the study.
    """

    name: str
    is_video: bool
    files: tuple[str, ...]
    demonstrations: str | None = None
    aligned: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    own_layout: Layout | None = None


@dataclass(frozen=True)
class Folder:
    """A folder with the paths of the files below it."""

    root: Path
    names: Sequence[str]

    def named(self, *patterns: str) -> list[str]:
        """Return the files that are called like one of the patterns, wherever they lie below."""
        return [name for name in self.names if any(fnmatch.fnmatchcase(_last(name), pattern) for pattern in patterns)]

    def tables(self, columns: Sequence[str], *, dialect: Dialect = COMMAS, called: str = "") -> list[str]:
        """Return the tables that have these columns; if none has, those that have most of them or are called so.

        These are tables of the layout in which something is wrong, which reading them says.
        """
        shared = {name: len(set(columns) & set(self._header(name, dialect))) for name in self.named("*.csv", "*.tsv")}
        whole = [name for name, n in shared.items() if n == len(columns)]
        alike = [name for name, n in shared.items() if 2 * n > len(columns)]
        return whole or [name for name in shared if name in alike or self._seems(name, called, columns)]

    def _seems(self, name: str, called: str, columns: Sequence[str]) -> bool:
        """Return whether a table is called as the layout's, and its first line knows one of the columns."""
        if _last(name) != called:
            return False
        with (self.root / name).open("rb") as file:
            line = file.readline(MAX_HEADER_BYTES)
        return any(column.encode() in line for column in columns)

    def _header(self, name: str, dialect: Dialect) -> list[str]:
        try:
            return csvfiles.header(self.root / name, dialect=dialect)
        except BadInput:
            # Folders hold other tables too. One that is called as the layout's is read all the same, and then told.
            return []


def published(folder: Folder) -> list[Found]:
    """Tables of the M2V paper: each is a dataset, but for those of the same memes under several targets."""
    memes: dict[tuple[str, str], list[str]] = {}
    for name in folder.tables(_columns("published-memes")):
        memes.setdefault((str(PurePosixPath(name).parent), _stem(name).partition(ALIGNED)[0]), []).append(name)
    videos = folder.tables(_columns("published-videos"))
    if not memes and not videos:
        raise NotThere("no CSV with its columns (model_prediction, human_annotation, … or video, frames, audio, …).")
    taken: set[str] = set()
    matches = []
    for name in videos:
        demonstrations = str(PurePosixPath(name).with_name(f"{_stem(name)}_demo_description.csv"))
        demonstrations = demonstrations if demonstrations in folder.names else None
        matches.append(Found(_called(_stem(name), name, taken), True, (name,), demonstrations=demonstrations))
    targets = frozenset(taken)
    for (_, stem), names in memes.items():
        under = {name: _slug(_stem(name).partition(ALIGNED)[2]) for name in names}
        aligned = {target: name for name, target in under.items() if target in targets}
        why = "its predictions and answers, because it is not called …_aligned_with_TARGET after videos that lie here"
        left_out = {name: why for name, target in under.items() if target not in targets}
        matches.append(Found(_called(stem, names[0], taken), False, (names[0],), aligned=aligned, left_out=left_out))
    return matches


def laid_out(layout: Layout, folder: Folder) -> list[Found]:
    """Return the one dataset that lies there in a layout: the files that are called as its files are.

    Raises:
        M2VError: A file that it needs is not there, or several could be it.
    """
    by_kind = [(file, _candidates(file, folder)) for file in layout.files]
    main = [(file, names) for file, names in by_kind if file.role == "items"]
    if not any(names for _, names in main):
        raise NotThere(f"no {_wanted(layout)}.")
    for file, names in main:
        if file.required and not names:
            raise NotThere(f"no {' or '.join(file.names)}.")
        if len(names) > 1 and len(file.names) == 1 and "*" not in file.names[0]:
            raise M2VError(f"several files look like its table ({', '.join(names)}). Check a folder with one of these.")
    names = [name for _, candidates in main for name in candidates]
    if not layout.apart:
        _check_together(names)
    used, left_out = _without_overlaps(layout, main, folder)
    has_texts = False
    for file, candidates in by_kind:
        if file.role == "items" or (file.role == "texts" and has_texts):
            continue
        beside = next((other for name in names if (other := _beside(name, candidates))), None)
        if beside is None:
            if file.required:
                raise M2VError(f"no {' or '.join(file.names)} beside or above {names[0]}.")
            continue
        has_texts |= file.role == "texts"
        together = [name for name in candidates if _parent(name) == _parent(beside)]
        used += [beside] if file.role == "texts" else together
    return [Found(layout.name, layout.items == "videos", tuple(used), left_out=left_out)]


def plain_table(folder: Folder) -> list[Found]:
    """Return the one table of memes that lies there and is in no layout that has a name.

    Raises:
        M2VError: There is none, or several; or BadInput, which column it lacks.
    """
    tables = folder.named("*.csv", "*.tsv")
    if not tables:
        raise NotThere("no CSV with columns for id, text, image and label.")
    if len(tables) > 1:
        raise M2VError(f"several tables lie there ({', '.join(tables)}). Check a folder with one of them.")
    own = plain.layout(folder.root / tables[0])
    return [Found(_called(_stem(tables[0]), tables[0], set()), False, (tables[0],), own_layout=own)]


class NotThere(M2VError):
    """Nothing in a folder is called as a layout's files are."""


def _candidates(file: LayoutFile, folder: Folder) -> list[str]:
    """Return the files that are called so, and have the columns where any does; or tables that have these columns."""
    called = [name for name in folder.names if layouts.matches(file, name)]
    if file.format != "csv" or not file.columns or file.header:
        return called
    tables = folder.tables(file.columns, dialect=layouts.dialect(file), called=PurePosixPath(file.names[0]).name)
    # Of several splits each has the same columns, so there the name alone tells them apart.
    return [name for name in called if name in tables] if file.split else tables


def _without_overlaps(
    layout: Layout, main: Sequence[tuple[LayoutFile, list[str]]], folder: Folder
) -> tuple[list[str], dict[str, str]]:
    """Return the files with items, and those that are left out with the reason: no labels, or the items of another."""
    if not layout.overlaps:
        return [name for _, candidates in main for name in candidates], {}
    seen: dict[str, tuple[str | None, set[str]]] = {}
    left_out = {}
    for file, candidates in main:
        for name in sorted(candidates, key=lambda name: ("unseen" in name, name)):
            path = folder.root / name
            wanted = jsonfiles.Wanted((layout.id.field,), (layout.label.field or "",), structured=layout.structured)
            rows = list(jsonfiles.rows(path, wanted))
            ids = {row[layout.id.field] for row in rows}
            repeated = {
                other: n for other, (split, known) in seen.items() if split == file.split and (n := len(ids & known))
            }
            if not rows:
                left_out[name] = "it has no rows"
            elif file.split != "train" and not any(layout.label.field in row.cells for row in rows):
                left_out[name] = "it has no labels"
            elif repeated:
                other, n = next(iter(repeated.items()))
                left_out[name] = f"{n:,} of its {len(ids):,} memes stand in {other} too"
            else:
                seen[name] = (file.split, ids)
    if not seen:
        raise M2VError(f"no labels in {', '.join(left_out)}.")
    return list(seen), left_out


def _beside(name: str, candidates: Sequence[str]) -> str | None:
    """Return the file that lies in the folder of another one, nearest above it, or below it."""
    for parent in PurePosixPath(name).parents:
        beside = next((other for other in candidates if _parent(other) == parent), None)
        if beside:
            return beside
    below = _parent(name)
    return next((other for other in candidates if below in PurePosixPath(other).parents), None)


def _parent(name: str) -> PurePosixPath:
    return PurePosixPath(name).parent


def _wanted(layout: Layout) -> str:
    """Return what a layout's files are called, for people."""
    of_items = [file for file in layout.files if file.role == "items"]
    columns = f" with {', '.join(of_items[0].columns)}" if of_items[0].columns else ""
    names = dict.fromkeys(name for file in of_items for name in file.names if "*" not in name)
    return f"{', '.join(names)}{columns}"


def finders() -> dict[str, Callable[[Folder], list[Found]]]:
    """Return what finds the datasets of each layout in a folder; the paper's tables are several datasets at once."""
    laid = {
        name: functools.partial(laid_out, layout)
        for name, layout in layouts.known().items()
        if not name.startswith("published-")
    }
    return {"published": published, **laid, plain.NAME: plain_table}


def _columns(name: str) -> Sequence[str]:
    return layouts.packaged(name).files[0].columns


def _check_together(names: Iterable[str]) -> None:
    places = sorted({str(PurePosixPath(name).parent) for name in names})
    if len(places) > 1:
        raise M2VError(f"its files lie in several folders ({', '.join(places)}). Check one of these.")


def _called(stem: str, name: str, taken: set[str]) -> str:
    """Return a name for a catalog's entry: of the file's, and where that is taken, of its whole path."""
    called = next(
        candidate for candidate in (_slug(stem), _slug(name), f"{_slug(name)}-{len(taken)}") if candidate not in taken
    )
    taken.add(called)
    return called


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "mine"


def _last(name: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
