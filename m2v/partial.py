"""Weights of which a part is missing, or of which nobody uses a part, are refused by the names of their keys."""

from collections.abc import Collection
from pathlib import Path

from m2v.errors import StoreError

N_NAMED = 5
WAY_OUT = "A model that is loaded in part would answer all the same; get or train it again."


def refuse_partial(place: Path, *, missing: Collection[str], unused: Collection[str]) -> None:
    """Raise where keys of weights are missing or unused.

    Raises:
        StoreError: Names them.
    """
    if not missing and not unused:
        return
    parts = [f"lacks {_named(missing)}"] if missing else []
    parts += [f"has {_named(unused)}, which nothing uses"] if unused else []
    raise StoreError(f"{place} {' and '.join(parts)}. {WAY_OUT}")


def _named(keys: Collection[str]) -> str:
    more = f" and {len(keys) - N_NAMED} more" if len(keys) > N_NAMED else ""
    return f"{', '.join(sorted(keys)[:N_NAMED])}{more}"
