"""Whether a checkpoint is whole, and stands on the model that it is used with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m2v.errors import StoreError
from m2v.files.digests import file_sha256
from m2v.programs.contract import MANIFEST

WAY_OUT = "Check the path, or train it again: `m2v run --force --select checkpoints/<run>`."


def manifest(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint's training wrote down last of all.

    Raises:
        StoreError: There is no such checkpoint, or it was not finished.
    """
    try:
        read = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        dict(read["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder} is no checkpoint: it has no manifest that can be read. {WAY_OUT}") from error
    return read


def verified(folder: Path, *, weights: str, base: tuple[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return the manifest of a checkpoint: a mistyped path must never have the base model asked instead.

    Args:
        weights: File that it must have.
        base: The name of the model that it must stand on, and which weights that has, in plain data.

    Raises:
        StoreError: Names what is missing, damaged, or of another model.
    """
    read = manifest(folder)
    if weights not in read["files"]:
        raise StoreError(f"{folder} is a checkpoint of another kind: its manifest lists no {weights}. {WAY_OUT}")
    if base:
        name, wanted = base
        stands_on = read.get("base") or {}
        if {key: stands_on.get(key) for key in wanted} != dict(wanted):
            raise StoreError(f"{folder} was trained on {stands_on.get('name')}, not on {name}'s weights. {WAY_OUT}")
    for name, expected in read["files"].items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != expected:
            raise StoreError(f"{path} is missing or damaged: its sha256 is not the manifest's. {WAY_OUT}")
    return read
