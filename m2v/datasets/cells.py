"""What one cell of a dataset's file says when it says several things: lists, votes, spans."""

import ast
import json
import re
from typing import Any

CLOCK = re.compile(r"([0-9]{1,4}):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
# A Python list in a cell nests as deep as a list of pairs; deeper ones are no data.
MAX_CHARACTERS = 1 << 20


class Malformed(ValueError):
    """A cell that is not of its form."""


def listed(cell: str) -> list[Any]:
    """Return the entries of a JSON or a Python list; a cell that is none is a list of itself, an empty one none.

    Raises:
        Malformed: It begins as a list and is none.
    """
    text = cell.strip()
    if not text or text == "None":
        return []
    if not text.startswith(("[", "(")):
        return [text]
    if len(text) > MAX_CHARACTERS:
        raise Malformed
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        try:
            entries = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
            raise Malformed from error
    if not isinstance(entries, list | tuple):
        raise Malformed
    return list(entries)


def names(cell: str) -> list[str]:
    """Return the entries of a list, or what commas separate."""
    if cell.strip().startswith("["):
        return [str(entry) for entry in listed(cell)]
    return [part.strip() for part in cell.split(",") if part.strip()]


def flagged(entries: Any, values: tuple[str, ...]) -> list[str]:
    """Return the values whose flag is set, in a list of 0 and 1 as long as ``values``.

    Raises:
        Malformed: It is not as long, or holds something else.
    """
    if not isinstance(entries, list | tuple) or len(entries) != len(values):
        raise Malformed
    if not all(str(entry) in {"0", "1"} for entry in entries):
        raise Malformed
    return [value for value, entry in zip(values, entries, strict=True) if str(entry) == "1"]


def spans(cell: str, *, is_clock: bool) -> list[tuple[float, float]]:
    """Return start and end of each span in seconds, as they are written.

    Args:
        is_clock: Times are ``HH:MM:SS``, not seconds.

    Raises:
        Malformed: The cell is no list of pairs of times.
    """
    pairs = []
    for entry in listed(cell):
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            raise Malformed
        start, end = (_seconds(time, is_clock=is_clock) for time in entry)
        pairs.append((start, end))
    return pairs


def _seconds(time: Any, *, is_clock: bool) -> float:
    if is_clock:
        match = CLOCK.fullmatch(str(time).strip())
        if not match:
            raise Malformed
        hours, minutes, seconds = match.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    try:
        seconds = float(time)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed from error
    if not 0 <= seconds < 1e7:
        raise Malformed
    return seconds
