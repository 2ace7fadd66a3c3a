"""Which release of a dataset somebody has: known by how many items of either label each part holds."""

from collections.abc import Mapping
from typing import TypeAlias

from m2v.datasets import layouts
from m2v.entries.layouts import Release

Counts: TypeAlias = Mapping[str, tuple[int, int]]


def known(layout: str) -> tuple[Release, ...]:
    """Return every release of a layout that is known."""
    return tuple(release for meant in layouts.all_called(layout) for release in meant.releases)


def recognised(counts: Counts, *, layout: str) -> tuple[Release | None, str]:
    """Return the release with these counts, and a sentence: what of it is absent, or how the nearest one differs.

    Parts of a release may be absent, but for its first.

    Args:
        counts: Rows with label 0 and 1 by part.
    """
    candidates = known(layout)
    if not candidates:
        return None, f"No release of layout {layout} is known."
    for release in candidates:
        is_equal = all(part in release.parts and not _differs(release.parts[part], counts[part]) for part in counts)
        if is_equal and next(iter(release.parts)) in counts:
            absent = [part for part in release.parts if part not in counts]
            without = f", without {', '.join(absent)}" if absent else ""
            return release, f"It is {release.title}{without}.{' ' if release.note else ''}{release.note}"
    nearest = min(candidates, key=lambda release: _distance(release, counts))
    parts = [part for part in (*nearest.parts, *counts) if _differs(nearest.parts.get(part), counts.get(part))]
    differences = "; ".join(
        f"{part} has {_shown(nearest.parts.get(part))} there, {_shown(counts.get(part))} here"
        for part in dict.fromkeys(parts)
    )
    return None, f"No known release has these counts. The nearest is {nearest.title}: {differences}."


def _differs(expected: tuple[int, int] | int | None, actual: tuple[int, int] | None) -> bool:
    return (sum(actual) if isinstance(expected, int) and actual else actual) != expected


def _distance(release: Release, counts: Counts) -> int:
    distance = 0
    for part in {*release.parts, *counts}:
        expected, actual = release.parts.get(part, (0, 0)), counts.get(part, (0, 0))
        if isinstance(expected, int):
            distance += abs(expected - sum(actual))
        else:
            distance += sum(abs(one - other) for one, other in zip(expected, actual, strict=True))
    return distance


def _shown(rows: tuple[int, int] | int | None) -> str:
    if rows is None:
        return "no rows"
    return f"{rows:,} rows" if isinstance(rows, int) else f"{rows[0]:,} rows with label 0 and {rows[1]:,} with label 1"
