"""The sha256 by which texts, files and plain data are known wherever they stand, in hex."""

import hashlib
import json
from pathlib import Path
from typing import Any


def text_sha256(text: str) -> str:
    """Return the sha256 of a text in UTF-8."""
    return bytes_sha256(text.encode())


def bytes_sha256(content: bytes) -> str:
    """Return the sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_sha256(data: Any) -> str:
    """Return the sha256 of plain data as JSON with sorted keys."""
    return text_sha256(json.dumps(data, sort_keys=True))
