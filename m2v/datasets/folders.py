"""Which files in somebody's folder are a dataset of each layout, as its authors distribute it."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from m2v.datasets import csvfiles, jsonfiles, layouts
from m2v.datasets.csvfiles import COMMAS, TABS, Dialect
from m2v.errors import BadInput, M2VError

ALIGNED = "_aligned_with_"
HATEFUL_MEMES = re.compile(r"(train|dev|test)(_[a-z]+)?\.jsonl")


@dataclass(frozen=True)
class Found:
    """The files of one dataset, by their paths below the folder.

    Attributes:
        name: As a catalog entry can be called.
        files: In the order that the layout expects.
        aligned: Tables of the same memes under the definitions of targets, by target.
        left_out: What is not used of a file and why, by file.
    """

    name: str
    is_video: bool
    files: tuple[str, ...]
    demonstrations: str | None = None
    aligned: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


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
        return whole or [name for name, n in shared.items() if 2 * n > len(columns) or _last(name) == called]

    def _header(self, name: str, dialect: Dialect) -> list[str]:
        try:
            return csvfiles.header(self.root / name, dialect=dialect)
        except BadInput:
            # Folders hold other tables too. One that is called as the layout's is read all the same, and then told.
            return []


def published(folder: Folder) -> list[Found]:
    """Tables of the M2V paper: each is a dataset, but for those of the same memes under several targets."""
    memes: dict[tuple[str, str], list[str]] = {}
    for name in folder.tables(layouts.PUBLISHED_MEMES):
        memes.setdefault((str(PurePosixPath(name).parent), _stem(name).partition(ALIGNED)[0]), []).append(name)
    videos = folder.tables(layouts.PUBLISHED_VIDEOS)
    if not memes and not videos:
        raise M2VError("no CSV with its columns (model_prediction, human_annotation, … or video, frames, audio, …).")
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


def hateful_memes(folder: Folder) -> list[Found]:
    """Every file with labels whose memes do not stand in another file of its split."""
    names = [name for name in folder.named("*.jsonl") if HATEFUL_MEMES.fullmatch(_last(name))]
    if not names:
        raise M2VError("no train.jsonl, dev_seen.jsonl, test_seen.jsonl, ….")
    _check_together(names)
    used: dict[str, set[str]] = {}
    left_out = {}
    for name in sorted(names, key=_order_of_hateful_memes):
        rows = jsonfiles.records(folder.root / name, keys=("id",), optional=("label",))
        ids = {row["id"] for row in rows}
        repeated = {
            other: n for other, known in used.items() if _split(other) == _split(name) and (n := len(ids & known))
        }
        if not rows:
            left_out[name] = "it has no rows"
        elif _split(name) != "train" and not any("label" in row.cells for row in rows):
            left_out[name] = "it has no labels"
        elif repeated:
            other, n = next(iter(repeated.items()))
            left_out[name] = f"{n:,} of its {len(ids):,} memes stand in {other} too"
        else:
            used[name] = ids
    if not used:
        raise M2VError(f"no labels in {', '.join(names)}.")
    return [Found("hateful-memes", False, tuple(used), left_out=left_out)]


def mami(folder: Folder) -> list[Found]:
    """Return the table that trains; the challenge's test has its labels elsewhere."""
    names = folder.tables(layouts.MAMI_COLUMNS, dialect=TABS, called="training.csv")
    return [Found("mami", False, (_only(names, "training.csv, tab-separated, with file_name and misogynous"),))]


def hatemm(folder: Folder) -> list[Found]:
    """Return the annotations, and beside them transcripts, where somebody made some."""
    names = folder.tables(layouts.HATEMM_COLUMNS, called="HateMM_annotation.csv")
    name = _only(names, "HateMM_annotation.csv with video_file_name, label, hate_snippet and target")
    beside = [str(PurePosixPath(name).with_name(f"transcripts.{ending}")) for ending in ("csv", "json")]
    return [Found("hatemm", True, (name, *[name for name in beside if name in folder.names][:1]))]


def multihateclip(folder: Folder) -> list[Found]:
    """Return the tables of the splits, and the texts beside or above them."""
    tables = folder.named("train.tsv", "valid.tsv", "test.tsv")
    if not tables:
        raise M2VError("no train.tsv, valid.tsv or test.tsv.")
    _check_together(tables)
    above = [str(parent / "text.json") for parent in PurePosixPath(tables[0]).parents]
    texts = next((name for name in above if name in folder.names), None)
    if texts is None:
        raise M2VError(f"no text.json, which holds the videos' titles and transcripts, beside or above {tables[0]}.")
    return [Found("multihateclip", True, (*tables, texts))]


FINDERS: Mapping[str, Callable[[Folder], list[Found]]] = {
    "published": published,
    "hateful-memes": hateful_memes,
    "mami": mami,
    "hatemm": hatemm,
    "multihateclip": multihateclip,
}


def _check_together(names: Iterable[str]) -> None:
    places = sorted({str(PurePosixPath(name).parent) for name in names})
    if len(places) > 1:
        raise M2VError(f"its files lie in several folders ({', '.join(places)}). Check one of these.")


def _only(names: Sequence[str], wanted: str) -> str:
    if not names:
        raise M2VError(f"no {wanted}.")
    if len(names) > 1:
        raise M2VError(f"several files look like its table ({', '.join(names)}). Check a folder with one of these.")
    return names[0]


def _order_of_hateful_memes(name: str) -> tuple[int, bool, str]:
    return ["train", "dev", "test"].index(_split(name)), "unseen" in name, name


def _split(name: str) -> str:
    return re.split(r"[_.]", _last(name))[0]


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
