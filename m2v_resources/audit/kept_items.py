"""Copies of an item outside the tables, in whatever ``m2v/programs/kept.py`` registers: deleted or named."""

import gzip
import html
import json
import mmap
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from m2v.errors import RunInProgress
from m2v.files import row_cache, storage
from m2v.files.digests import text_sha256
from m2v.files.parquet import DAMAGED
from m2v.programs import kept
from m2v.programs.contract import MANIFEST
from m2v.programs.kept import How
from m2v.publishing.folder import RECORD
from m2v_resources.launching.programs import only_one
from m2v_resources.store.tombstones import HOLDS_IDS

# A shorter text stands in files that have nothing to do with the item; only cells that equal it are its copies.
MIN_SEARCHED = 12
# A longer one may be cut by a page of a database: either of its halves is whole then.
MIN_HALVED = 48
HASHES = ("text_sha256", "request_sha256", "sha256", "pixels_sha256")
SEARCHED = (*HOLDS_IDS, "text", *HASHES)


@dataclass(frozen=True)
class Known:
    """How copies of an item are known.

    Attributes:
        variants: Of every table that rests on the dataset.
        texts: As any version that is still there has them.
        hashes: The sha256 of its texts, of its pictures' pixels and of what models were asked about it.
        pictures: Paths of its pictures below the home.
        held: Rows hash of each version that held it, by name; purged versions too.
    """

    identifier: str
    variants: Collection[str]
    texts: Collection[str]
    hashes: set[str]
    pictures: Collection[str]
    held: Mapping[str, str]


@dataclass
class Removal:
    """What became of the copies.

    Attributes:
        deleted: Files and folders that are gone.
        remains: What is still there, and what to do about it.
    """

    deleted: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)


def delete(home: Path, known: Known, *, purge: bool) -> Removal:
    """Delete the copies; without ``purge``, what was trained on the item and what was released is only named."""
    outcome = Removal()
    for entry in kept.KEPT.values():
        root = home / entry.name
        match entry.how:
            case How.FOLDERS:
                _forget_folders(root, known, outcome)
            case How.TRAINED:
                _forget_trainings(root, known, outcome, purge=purge)
            case How.ROWS:
                _forget_rows(root, entry.column, known)
            case How.PICTURES:
                _forget_pictures(root, home, known, outcome)
            case How.PAGES:
                _forget_pages(root, known, outcome)
            case How.RELEASES:
                _forget_releases(root, known, outcome, purge=purge)
    for path in kept.unregistered(home):
        outcome.remains.append(
            f"{path}, if it keeps items: M2V does not know it (m2v/programs/kept.py lists what it knows)"
        )
    return outcome


def search(home: Path, known: Known, *, standing: Collection[Path]) -> list[str]:
    """Return every file of the home and of this host's cache in which the item's text stands or may stand, sorted.

    Args:
        standing: Files of versions that stand. They are not searched: what holds the item there is known by its id,
            and another item may have the same text.
    """
    needles = {needle for text in known.texts for needle in _needles(text)}
    paths = []
    for path in sorted({*_files(home), *_files(storage.cache())} - set(standing)):
        try:
            is_copy = _contains(path, texts=known.texts, needles=needles)
        except (OSError, ValueError, EOFError, *DAMAGED):
            # What cannot be read may have it, unless it was deleted meanwhile.
            is_copy = path.exists()
        if is_copy:
            paths.append(str(path))
    return paths


def _files(root: Path) -> Iterator[Path]:
    without = {kept_path for _, kept_path in kept.folders(root, How.NO_ITEMS)}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) not in without]
        yield from (path for name in names if (path := Path(folder, name)).suffix != ".safetensors" and path.is_file())


def _needles(text: str) -> Iterator[bytes]:
    """Yield a text as files may have it: plain, escaped in JSON or HTML, and cut by a page."""
    parts = [text[: len(text) // 2], text[len(text) // 2 :]] if len(text) >= MIN_HALVED else [text]
    for part in parts:
        if len(part) >= MIN_SEARCHED:
            for written in (
                part,
                json.dumps(part)[1:-1],
                json.dumps(part, ensure_ascii=False)[1:-1],
                html.escape(part),
            ):
                yield written.encode()
            # As Jinja escapes it.
            yield html.escape(part).replace("&quot;", "&#34;").replace("&#x27;", "&#39;").encode()


def _contains(path: Path, *, texts: Collection[str], needles: Collection[bytes]) -> bool:
    if path.suffix == ".parquet":
        return _has_cell(path, texts, needles)
    if path.suffix == ".gz":
        content = gzip.decompress(path.read_bytes())
        return any(needle in content for needle in needles)
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(needle) >= 0 for needle in needles)


def _has_cell(path: Path, texts: Collection[str], needles: Collection[bytes]) -> bool:
    parts = [needle.decode() for needle in needles]
    for column in pl.read_parquet(path).iter_columns():
        cells = column.explode() if column.dtype == pl.List(pl.String) else column
        if cells.dtype != pl.String:
            continue
        if cells.is_in(list(texts)).any() or (parts and cells.str.contains_any(parts).any()):
            return True
    return False


def _folders(root: Path, *, depth: int) -> list[Path]:
    return sorted(path for path in root.glob("/".join("*" * depth)) if path.is_dir())


def _forget_folders(root: Path, known: Known, outcome: Removal) -> None:
    for folder in _folders(root, depth=2):
        if _holds(folder, known, by_id=folder.parent.name in known.variants):
            _drop(folder, outcome)


def _holds(folder: Path, known: Known, *, by_id: bool) -> bool:
    """Return whether a table in the folder holds the item, by a hash or, if its variant rests on the dataset, by id."""
    for path in sorted(folder.rglob("*.parquet")):
        try:
            columns = pl.read_parquet_schema(path)
            read = pl.read_parquet(path, columns=[name for name in SEARCHED if name in columns])
        except DAMAGED:
            return True  # half written, so that nobody knows: whoever made it makes it again
        ids = [name for name in HOLDS_IDS if name in columns and by_id]
        if any((read[name] == known.identifier).any() for name in ids):
            return True
        if any(read[name].is_in(list(known.hashes)).any() for name in HASHES if name in columns):
            return True
        if "text" in columns and known.hashes & {text_sha256(text) for text in read["text"] if text is not None}:
            return True
    return False


def _forget_trainings(root: Path, known: Known, outcome: Removal, *, purge: bool) -> None:
    """Delete what trainings read of the item; what they have learned, half-way or whole, goes with a purge."""
    for folder in _folders(root, depth=2):
        # What it learned from stays until it is purged, but the copy that it read is not needed any more.
        for path in sorted(folder.glob("*.parquet")):
            if _holds_text(path, known):
                path.unlink()
                outcome.deleted.append(str(path))
        if _trained_on(folder) not in known.held.values():
            continue
        if purge:
            _drop(folder, outcome)
        elif not (folder / MANIFEST).exists():
            outcome.remains.append(f"{folder} holds a training that did not end; --purge deletes it")


def _holds_text(path: Path, known: Known) -> bool:
    try:
        columns = pl.read_parquet_schema(path)
    except DAMAGED:
        return True
    return "text" in columns and not known.hashes.isdisjoint(
        map(text_sha256, pl.read_parquet(path)["text"].drop_nulls())
    )


def _trained_on(folder: Path) -> str | None:
    """Return the rows hash of the training set that a training's folder names; None where it names none."""
    for name in (MANIFEST, "spec.json"):
        content = _json(folder / name).get("content")
        if isinstance(content, dict) and "training_examples" in content:
            return content["training_examples"]
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _drop(folder: Path, outcome: Removal) -> None:
    """Delete a folder, unless a program works in it: then name it, and delete what it reads."""
    try:
        with only_one(folder):
            shutil.rmtree(folder)
    except RunInProgress:
        for path in sorted(folder.glob("*.parquet")):
            path.unlink(missing_ok=True)
        outcome.remains.append(f"{folder}, where a run works; stop it or wait for it, then run this again")
        return
    outcome.deleted.append(str(folder))


def _forget_rows(root: Path, column: str, known: Known) -> None:
    for path in sorted(root.glob("*/*.parquet")):
        rows = pl.read_parquet(path)
        without = rows.filter(~pl.col(column).is_in(list(known.hashes)))
        if without.height < rows.height:
            row_cache.append(path.parent, without, dict(without.schema))
            path.unlink()


def _forget_pictures(root: Path, home: Path, known: Known, outcome: Removal) -> None:
    for name in sorted({*known.pictures, *_later_pictures(root, home, known)}):
        _forget_picture(storage.place(home, name), known, outcome)


def _later_pictures(root: Path, home: Path, known: Known) -> Iterator[str]:
    """Yield paths of its pictures that no version names, because a run had not ended when it was taken down."""
    for path in sorted(root.glob("*/result.json")):
        for picture in _json(path).get("pictures", ()):
            if picture["meme_id"] == known.identifier and picture.get("pixels_sha256") in known.hashes:
                yield f"{path.parent.relative_to(home)}/{picture['file']}"


def _forget_picture(picture: storage.Place, known: Known, outcome: Removal) -> None:
    """Delete a picture that no other meme shares, and what its task wrote down of it."""
    folder, _, name = str(picture).rpartition("/")
    result = storage.join(storage.given(folder), "result.json")
    content = storage.read(result)
    if content is not None:
        record = json.loads(content)
        record["pictures"] = [
            picture for picture in record.get("pictures", ()) if picture["meme_id"] != known.identifier
        ]
        storage.write(result, json.dumps(record).encode())
        if any(picture.get("file") == name for picture in record["pictures"]):
            return
    if storage.delete(picture):
        outcome.deleted.append(str(picture))


def _forget_pages(root: Path, known: Known, outcome: Removal) -> None:
    for path in sorted(root.rglob("*.html")):
        if _shows(path, known):
            path.unlink()
            outcome.deleted.append(str(path))


def _shows(page: Path, known: Known) -> bool:
    """Return whether a report shows the item: its text, or its id in a report of versions that held it."""
    content = page.read_bytes()
    if any(needle in content for text in known.texts for needle in _needles(text)):
        return True
    rests = any(rows_hash[:16].encode() in content for rows_hash in known.held.values())
    return rests and f"<code>{html.escape(known.identifier)}</code>".encode() in content


def _forget_releases(root: Path, known: Known, outcome: Removal, *, purge: bool) -> None:
    for folder in _folders(root, depth=4):
        if not _is_made_of(folder, known):
            continue
        if purge:
            _drop(folder, outcome)
        else:
            outcome.remains.append(f"{folder} was made of versions that held it; --purge deletes that folder")


def _is_made_of(folder: Path, known: Known) -> bool:
    """Return whether a release's folder, also a dry run's, was made of versions that held the item, or holds it."""
    inputs = _json(folder / RECORD).get("inputs", {})
    if any(f"{place}@{read['version']}" in known.held for place, read in inputs.items()):
        return True
    return not inputs and _holds(folder, known, by_id=True)
