"""Recompute every hash that the platform recorded: of versions, program folders and releases, and of their inputs."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from m2v import schemas
from m2v.errors import BadInput, NewerHome, StoreError
from m2v.files import storage
from m2v.files.parquet import DAMAGED
from m2v.programs import cores, kept
from m2v.programs.contract import MANIFEST
from m2v_resources.audit.stories import Stories
from m2v_resources.store.record import Record, node
from m2v_resources.store.rows import rows_hash
from m2v_resources.store.versions import TableStore, Version, claim_digest, open_store

UNPROVABLE = (
    "A claim or a manifest carries no signature: rewriting it together with what it describes is not found out.",
    "A manifest's words beside its file hashes are held by no hash; neither are claims that older code wrote.",
    "A version that was deleted together with everything that names it leaves no trace but a gap in the numbers.",
    "The rounds' ledger is what the Label Studio server said when it was pulled; no hash of it is recorded.",
    "Whether the Hub still holds what was uploaded is asked when a release is published or read, not here.",
    "Who stands behind a pseudonym, and whether an answer marked unrecorded was given blind, is not in the record.",
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with which file or version."""

    where: str
    what: str


@dataclass(frozen=True)
class _File:
    """A file and the sha256 that it must have; ``name`` is what a problem calls it."""

    path: storage.Place
    digest: str
    name: str
    what: str = "its sha256 is not the recorded one"


def verify(
    home: Path, *, with_rows: bool = False, listen: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, list[Problem]]:
    """How many files were looked at, and every problem found, sorted.

    Args:
        home: The platform's home, with ``tables``, ``programs``, ``encodings`` and ``releases`` below it.
        with_rows: Also decode memes' pictures and hash their pixels, and read every table and hash its rows. A file
            whose sha256 is right has the rows that it had when it was written, so of tables this finds only a version
            that was recorded wrongly; it takes much longer.
        listen: Told how many bytes of how many were hashed.
    """
    store = open_store(home)
    problems: list[Problem] = []
    whole: dict[str, Version] = {}
    with _Hashing() as hashing:
        for problems_of in (
            _claims(store, whole),
            _manifests(home / "programs"),
            *(_shards(folder) for _, folder in kept.folders(home, kept.How.ROWS)),
            _frames(home, store, whole),
            # What was released is known once every claim was read.
            _releases(home, store, whole),
        ):
            for problem in problems_of:
                if isinstance(problem, _File):
                    hashing.add(problem)
                else:
                    problems.append(problem)
        for version in whole.values():
            problems += _inputs(version, whole)
        problems += hashing.problems(listen)
    if with_rows:
        damaged = {problem.where for problem in problems}
        problems += [
            problem
            for version in whole.values()
            if not store.purged(version) and _called(store, version) not in damaged
            for problem in _rows(store, version)
        ]
        problems += _pictures(home, store, whole)
    n_claims = sum(map(len, store.all_numbers().values()))
    return n_claims + len(hashing.digests), sorted(set(problems), key=lambda problem: (problem.where, problem.what))


def _claims(store: TableStore, whole: dict[str, Version]) -> Iterator[Problem | _File]:
    """Yield what is wrong with the claims, and the files that they claim; ``whole`` gets the readable versions."""
    for (table, variant), numbers in store.all_numbers().items():
        gaps = sorted(set(range(1, max(numbers, default=0))) - set(numbers))
        for gap in gaps:
            yield Problem(f"{table}/{variant}@{gap}", "the version is gone, though a later one is there")
        purged = []
        for number in numbers:
            claim, content = store.claim(table, variant, number)
            try:
                version = store.version(table, variant, number=number)
            except NewerHome:
                yield Problem(claim, "a newer M2V wrote it; install that version")
                continue
            except StoreError:
                yield Problem(claim, "it is damaged and cannot be read")
                continue
            whole[version.name] = version
            record = json.loads(content)
            if version.claim_sha256 not in {"", claim_digest(record)}:
                yield Problem(claim, "what it claims does not match its own sha256")
            if content != json.dumps(record, indent=1, sort_keys=True).encode():
                yield Problem(claim, "its bytes are not as the store writes them")
            if (version.table, version.variant) != (table, variant):
                yield Problem(claim, f"it claims to be of {version.table}/{version.variant}")
            elif store.purged(version) is not None:
                purged.append(version)
            else:
                yield _File(
                    storage.given(store.place(version)),
                    version.file_sha256,
                    _called(store, version),
                    "its sha256 is not its name",
                )
        yield from _left(store, purged)


def _left(store: TableStore, purged: list[Version]) -> Iterator[Problem]:
    """Files of purged versions that are there all the same, for versions of one table and variant."""
    unclaimed = set(store.unclaimed(purged[0].table, purged[0].variant)) if purged else set()
    for version in purged:
        if f"{version.file_sha256}.parquet" in unclaimed:
            what = "it was purged, but its rows are still there; `m2v forget` of what it was purged for deletes them"
            yield Problem(_called(store, version), what)


def _called(store: TableStore, version: Version) -> str:
    return f"{version.name}: {store.place(version)}"


def _inputs(version: Version, whole: dict[str, Version]) -> Iterator[Problem]:
    for place, (number, digest) in node(version).parents.items():
        yield from _named(version.name, place, number, digest, whole)


def _named(who: str, place: str, number: int, digest: str, whole: dict[str, Version]) -> Iterator[Problem]:
    parent = whole.get(f"{place}@{number}")
    if parent is None:
        yield Problem(who, f"it read {place}@{number}, which is not in the store")
    elif parent.rows_hash != digest:
        yield Problem(who, f"it read other rows than those that {parent.name} has now")


def _manifests(programs: Path) -> Iterator[Problem | _File]:
    for path in sorted(programs.glob(f"*/*/*/{MANIFEST}")):
        try:
            files = dict(json.loads(path.read_text(encoding="utf-8"))["files"])
        except (ValueError, KeyError, TypeError):
            yield Problem(str(path), "it is damaged and cannot be read")
            continue
        what = "it is missing, or its sha256 is not the manifest's"
        yield from (_File(path.parent / name, digest, str(path.parent / name), what) for name, digest in files.items())


def _shards(folder: Path) -> Iterator[_File]:
    for path in sorted(folder.glob("*/*.parquet")):
        yield _File(path, path.stem, str(path), "its sha256 is not its name")


def _frames(home: Path, store: TableStore, whole: dict[str, Version]) -> Iterator[_File]:
    """Frames that the latest versions of video features name."""
    for version, rows in _latest(store, whole, schemas.VIDEO_FEATURES, "frames", "frame_sha256"):
        for path, digest in rows.explode("frames", "frame_sha256").drop_nulls().unique().sort("frames").iter_rows():
            place = storage.place(home, path)
            yield _File(place, digest, f"{version.name}: {place}")


def _pictures(home: Path, store: TableStore, whole: dict[str, Version]) -> Iterator[Problem]:
    """Pictures that the latest versions of meme images name, decoded."""
    from m2v.media import images

    for version, rows in _latest(store, whole, schemas.MEME_IMAGES, "path", "pixels_sha256"):
        for path, digest in rows.drop_nulls().unique().sort("path").iter_rows():
            place = storage.place(home, path)
            try:
                pixels = images.read(storage.local(place, changes=True)).pixels_sha256
            except (images.NoPicture, OSError):
                pixels = None
            if pixels != digest:
                what = "it is missing, or its pixels are not the recorded ones"
                yield Problem(f"{version.name}: {place}", what)


def _latest(
    store: TableStore, whole: dict[str, Version], table: schemas.Table, *columns: str
) -> Iterator[tuple[Version, pl.DataFrame]]:
    """Yield the latest version of each of a table's variants that can be read."""
    latest = {version.variant: version for version in whole.values() if version.table == table.name}
    for version in latest.values():
        # What cannot be read is a problem of its own, found by its hash.
        with suppress(StoreError, *DAMAGED):
            yield version, pl.read_parquet(store.path(version), columns=list(columns))


def _releases(home: Path, store: TableStore, whole: dict[str, Version]) -> Iterator[Problem | _File]:
    """Yield where releases' inputs are not as they were, or copies of releases kept here not as they were uploaded."""
    readable = [node(version) for version in whole.values()]
    try:
        releases = Stories(Record(store, nodes=readable)).releases()
    except (StoreError, BadInput, *DAMAGED) as error:
        yield Problem(str(store.root), f"its table of releases cannot be read ({str(error).splitlines()[0]})")
        return
    kinds = {schemas.DATASET_RELEASES.name: "datasets", schemas.ADAPTER_RELEASES.name: "adapters"}
    for release in releases:
        name = f"{release['repo']}@{release['tag']}"
        for place, read in release["inputs"].items():
            yield from _named(name, place, read["version"], read["rows_hash"], whole)
        table = release["stored_in"][0].partition("/")[0]
        folder = home / "releases" / kinds[table] / release["repo"] / release["tag"]
        if folder.is_dir():
            for path, digest in release["files"].items():
                yield _File(folder / path, digest, f"{name}: {folder / path}", "it is not what was uploaded")


class _Hashing:
    """Files hashed side by side, from the moment that they are found; one that several versions share is read once.

    Hashing releases the interpreter's lock. With two threads per core the disk has work while others hash, and the
    cores are busy to the end where the last files are large.
    """

    def __init__(self) -> None:
        self.files: list[_File] = []
        self.digests: dict[storage.Place, Future[str | None]] = {}

    def __enter__(self) -> "_Hashing":
        self.pool = ThreadPoolExecutor(2 * cores.n_cores())
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def add(self, file: _File) -> None:
        """Begin with it."""
        self.files.append(file)
        if file.path not in self.digests:
            self.digests[file.path] = self.pool.submit(_digest, file.path)

    def problems(self, listen: Callable[[int, int], None]) -> Iterator[Problem]:
        """Yield what does not have its sha256."""
        # Of objects it is not known before they are read.
        sizes = {path: path.stat().st_size if isinstance(path, Path) and path.is_file() else 0 for path in self.digests}
        done, total = 0, sum(sizes.values())
        for path, digest in self.digests.items():
            digest.result()
            done += sizes[path]
            listen(done, total)
        for file in self.files:
            now = self.digests[file.path].result()
            if now is None:
                yield Problem(file.name, "it is missing or cannot be read")
            elif now != file.digest:
                yield Problem(file.name, file.what)


def _digest(path: storage.Place) -> str | None:
    try:
        return storage.sha256(path)
    except OSError:
        return None


def _rows(store: TableStore, version: Version) -> Iterator[Problem]:
    try:
        frame = pl.read_parquet(store.path(version))
    except (StoreError, *DAMAGED):
        yield Problem(_called(store, version), "it cannot be read as parquet")
        return
    if frame.height != version.n_rows:
        yield Problem(_called(store, version), f"it has {frame.height} rows, {version.n_rows} are recorded")
    if rows_hash(frame) != version.rows_hash:
        yield Problem(_called(store, version), "its rows hash is not the recorded one")
