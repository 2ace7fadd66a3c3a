"""Recompute every hash that the platform recorded: versions, program folders, and the inputs that versions name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from m2v.errors import StoreError
from m2v.programfiles import MANIFEST, sha256
from m2v_resources.record import node
from m2v_resources.rows import rows_hash
from m2v_resources.store import TableStore, Version, claim_digest

UNPROVABLE = (
    "A claim or a manifest carries no signature: rewriting it together with what it describes is not found out.",
    "A manifest's words beside its file hashes are held by no hash; neither are claims that older code wrote.",
    "A version that was deleted together with everything that names it leaves no trace but a gap in the numbers.",
    "Who stands behind a pseudonym, and whether an answer marked unrecorded was given blind, is not in the record.",
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with which file or version."""

    where: str
    what: str


def verify(home: Path) -> tuple[int, list[Problem]]:
    """How many files were looked at, and every problem found.

    Args:
        home: The platform's home, with ``tables`` and ``programs`` below it.
    """
    n_checked, problems = 0, []
    for check in (_versions(TableStore(home / "tables")), _manifests(home / "programs")):
        for found in check:
            n_checked += 1
            problems += found
    return n_checked, problems


def _versions(store: TableStore) -> Iterator[list[Problem]]:
    whole: dict[str, Version] = {}
    checked: dict[tuple[Path, str], list[str]] = {}
    for folder in sorted(path.parent for path in store.root.glob("*/*/versions")):
        place = f"{folder.parent.name}/{folder.name}"
        numbers = store.numbers(folder.parent.name, folder.name)
        gaps = sorted(set(range(1, max(numbers, default=0))) - set(numbers))
        yield [Problem(f"{place}@{gap}", "the version is gone, though a later one is there") for gap in gaps]
        for number in numbers:
            claim = folder / "versions" / f"{number}.json"
            try:
                version = store.version(folder.parent.name, folder.name, number=number)
            except StoreError:
                yield [Problem(str(claim), "it is damaged and cannot be read")]
                continue
            whole[version.name] = version
            path = store.path(version)
            # Two versions may share a file; its rows are then hashed once for each rows hash that is claimed.
            key = path, version.rows_hash
            if key not in checked:
                checked[key] = _table_file(path, version)
            found = [Problem(f"{version.name}: {path}", what) for what in checked[key]]
            if version.claim_sha256 not in {"", claim_digest(json.loads(claim.read_bytes()))}:
                found.append(Problem(str(claim), "what it claims does not match its own sha256"))
            if claim.read_bytes() != _canonical(claim):
                found.append(Problem(str(claim), "its bytes are not as the store writes them"))
            if (version.table, version.variant) != (folder.parent.name, folder.name):
                found.append(Problem(str(claim), f"it claims to be of {version.table}/{version.variant}"))
            yield found
    for version in whole.values():
        yield list(_inputs(version, whole))


def _table_file(path: Path, version: Version) -> list[str]:
    if not path.is_file():
        return ["it is missing"]
    if sha256(path) != version.file_sha256:
        return ["its sha256 is not its name"]
    frame = pl.read_parquet(path)
    wrong = [] if frame.height == version.n_rows else [f"it has {frame.height} rows, {version.n_rows} are recorded"]
    return wrong + ([] if rows_hash(frame) == version.rows_hash else ["its rows hash is not the recorded one"])


def _canonical(claim: Path) -> bytes:
    return json.dumps(json.loads(claim.read_bytes()), indent=1, sort_keys=True).encode()


def _inputs(version: Version, whole: dict[str, Version]) -> Iterator[Problem]:
    for place, (number, digest) in node(version).parents.items():
        parent = whole.get(f"{place}@{number}")
        if parent is None:
            yield Problem(version.name, f"it read {place}@{number}, which is not in the store")
        elif parent.rows_hash != digest:
            yield Problem(version.name, f"it read other rows than those that {parent.name} has now")


def _manifests(programs: Path) -> Iterator[list[Problem]]:
    for path in sorted(programs.glob(f"*/*/*/{MANIFEST}")):
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
        except (ValueError, KeyError):
            yield [Problem(str(path), "it is damaged and cannot be read")]
            continue
        yield [
            Problem(str(path.parent / name), "it is missing, or its sha256 is not the manifest's")
            for name, digest in files.items()
            if not (path.parent / name).is_file() or sha256(path.parent / name) != digest
        ]
