"""How values are written into the cells of a terminal, and which columns fit into it."""

import re
from collections.abc import Collection, Sequence
from typing import Any

SHA256 = re.compile(r"[0-9a-f]{40,64}")
N_HASH, N_VALUES = 12, 6
# A longer text is folded within its cell, so that one column does not push all others out.
N_CELL = 32
# What rich draws around a table, and around each cell.
N_FRAME, N_BESIDE = 1, 3


def text(value: Any) -> str:
    """Return a value as people read it: short hashes, four digits, how many numbers instead of a vector."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return _values(value)
    return f"{value[:N_HASH]}…" if isinstance(value, str) and SHA256.fullmatch(value) else str(value)


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, first: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the columns that fit beside each other, in their order, and those that do not.

    Args:
        columns: Names, in order.
        rows: Cells as they are written, a row's in the order of ``columns``.
        width: Characters that a line may have.
        first: Columns that stay whatever else does not fit.
    """
    widths = {
        name: N_BESIDE + max(len(name), min(N_CELL, max((len(row[place]) for row in rows), default=0)))
        for place, name in enumerate(columns)
    }
    shown = {name for name in columns if name in first}
    taken = N_FRAME + sum(widths[name] for name in shown)
    for name in columns:
        if name not in shown and taken + widths[name] <= width:
            shown.add(name)
            taken += widths[name]
    return [name for name in columns if name in shown], [name for name in columns if name not in shown]


def _values(values: list[Any]) -> str:
    if len(values) <= N_VALUES:
        return f"[{', '.join(text(value) for value in values)}]"
    is_numbers = all(isinstance(value, int | float) for value in values)
    return f"{len(values):,} {'numbers' if is_numbers else 'values'}"
