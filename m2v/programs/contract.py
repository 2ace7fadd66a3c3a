"""The files every program shares: its command line, its spec, and the manifest that makes its folder complete."""

import argparse
import functools
import hashlib
import json
import os
import socket
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from m2v.errors import ClusterError
from m2v.files.digests import data_sha256, file_sha256
from m2v.files.whole import write

MANIFEST = "manifest.json"
# Whose version decides what a program computes, or how its processes find each other.
ENGINES = ("torch", "transformers", "deepspeed", "ray")
# The environment variable with the digest of whoever started us on another host.
CODE = "M2V_CODE_SHA256"


def arguments(description: str) -> tuple[dict[str, Any], Path]:
    """Return the spec and the output folder, from ``--spec spec.json --out FOLDER``; the folder is made.

    Raises:
        ClusterError: We were started from a host that has other code.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spec", type=Path, required=True, help="JSON that says what to do")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write to; complete once it has manifest.json"
    )
    parsed = parser.parse_args()
    refuse_other_code()
    parsed.out.mkdir(parents=True, exist_ok=True)
    return json.loads(parsed.spec.read_text(encoding="utf-8")), parsed.out


def finish(out: Path, *, files: Sequence[str], packages: Sequence[str], **facts: Any) -> dict[str, Any]:
    """Write the manifest, last of all: the sha256 of each file, versions of packages, and what the program says."""
    manifest = {
        **facts,
        "files": {name: file_sha256(out / name) for name in files},
        "versions": {package: version(package) for package in packages},
    }
    write(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    return manifest


def complete(out: Path) -> dict[str, Any] | None:
    """Return the folder's manifest, where it is there and the files are those that it lists; else None."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        whole = all(file_sha256(out / name) == expected for name, expected in manifest["files"].items())
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return manifest if whole else None


def refuse_other_code() -> None:
    """Raise unless this host runs the code of the host that started it, where that host said which.

    Raises:
        ClusterError: It does not: results would be a mixture of two versions.
    """
    if os.environ.get(CODE) not in {None, code_digest()}:
        engines = ", ".join(f"{engine} {_installed(engine)}" for engine in ENGINES)
        raise ClusterError(
            f"The host {socket.gethostname()} has other code than the one that started this: another version of M2V, "
            f"or of its engines (here {engines}). Install the same commit and constraints.txt on every host."
        )


@functools.cache
def code_digest() -> str:
    """Return the sha256 of what a host would run: this package's files, and the versions of the engines that it has.

    Two hosts that work together must agree on it.
    """
    return data_sha256(code_versions())


@functools.cache
def code_versions() -> dict[str, str]:
    """Return what the digest is made of: ``m2v`` (a sha256) and each engine's version, whichever build that is."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(file for file in package.rglob("*") if file.suffix in {".py", ".yaml"}):
        digest.update(f"{path.relative_to(package).as_posix()}\0{file_sha256(path)}\n".encode())
    return {"m2v": digest.hexdigest()} | {engine: _installed(engine) for engine in ENGINES}


def _installed(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "none"
