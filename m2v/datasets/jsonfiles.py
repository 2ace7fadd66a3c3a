"""JSON files read strictly: what is wrong is named by file, row and key, and never by its content."""

import re
from pathlib import Path
from typing import Any

from m2v.datasets.textfiles import MAX_CELL_CHARACTERS, N_QUOTED, Row, lines
from m2v.errors import BadInput, MissingColumn
from m2v.files import documents

PARTS = ("title", "description", "transcript")
# JSON can say what UTF-8 cannot: half of a surrogate pair.
DAMAGE = re.compile("[\0\ud800-\udfff]")


def records(path: Path, *, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[Row]:
    """Every object of a file with one per line; whole numbers become text, other keys are left out.

    Raises:
        BadInput: Names the file, the line and the key.
    """
    rows = []
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        data = documents.parsed_json(line, where=path, row=number)
        if not isinstance(data, dict):
            raise BadInput(path, "is not a JSON object.", row=number)
        present = (*keys, *(key for key in optional if key in data))
        rows.append(Row(path, number, {key: _cell(path, number, data, key) for key in present}))
    return rows


def texts(path: Path) -> dict[str, str]:
    """Text by video, from an object of texts, or of objects whose title, description and transcript become a line each.

    Raises:
        BadInput: Names the file and the video.
    """
    data = documents.parsed_json("".join(lines(path)), where=path)
    if not isinstance(data, dict):
        raise BadInput(path, "must be a JSON object with a text for each video.")
    return {video_id: _joined(path, video_id, text) for video_id, text in data.items()}


def _cell(path: Path, number: int, data: dict[str, Any], key: str) -> str:
    if key not in data:
        raise MissingColumn(path, "is missing.", row=number, column=key)
    value = data[key]
    if type(value) is int:  # and not bool, which is an int too
        return str(value)
    if problem := _problem(value):
        raise BadInput(path, problem, row=number, column=key)
    return value


def _joined(path: Path, video_id: str, text: Any) -> str:
    parts = [part for key in PARTS if (part := text.get(key))] if isinstance(text, dict) else [text]
    for part in parts:
        if problem := _problem(part):
            raise BadInput(path, f"the text of {video_id[:N_QUOTED]!r} {problem}")
    return "\n".join(parts)


def _problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be a text, not {type(value).__name__}."
    if len(value) > MAX_CELL_CHARACTERS:
        return f"has more than {MAX_CELL_CHARACTERS:,} characters."
    if DAMAGE.search(value):
        return "holds a NUL or half of a surrogate pair; the file is damaged, get it again."
    return None
