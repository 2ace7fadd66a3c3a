"""Entries by the names that other entries give them; an unknown name is answered with the nearest that are known."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from m2v.entries.base import Entry
from m2v.errors import InvalidCatalog, UnknownName

EntryT = TypeVar("EntryT", bound=Entry)


def known(entries: Mapping[str, EntryT], kind: str, name: str) -> EntryT:
    """Return the entry of that name.

    Raises:
        UnknownName: With the nearest known names.
    """
    if name not in entries:
        raise UnknownName(kind, name, entries)
    return entries[name]


def of_kind(kind: str | Sequence[str], name: str, role: str, models: Mapping[str, Any], *, where: str, why: str) -> Any:
    """Return a model, which must be of this kind or one of these.

    Args:
        role: What the model is called where its name is unknown.
        where: The entry that names it.
        why: What needs this kind, in words.

    Raises:
        UnknownName: With the nearest known names.
        InvalidCatalog: It is of another kind.
    """
    model = known(models, role, name)
    if model.kind not in ([kind] if isinstance(kind, str) else kind):
        raise InvalidCatalog(where, f"model {model.name!r} is of kind {model.kind}; {why}.")
    return model
