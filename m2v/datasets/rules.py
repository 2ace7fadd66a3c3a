"""What a row says of its item: the rules of a layout, each applied to one row."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from m2v.datasets import cells
from m2v.datasets.cells import Malformed
from m2v.datasets.textfiles import N_QUOTED, Row
from m2v.entries.layouts import Derived, FacetRule, LabelRule, Layout, MediaRule


def medium(row: Row, rule: MediaRule, item_id: str) -> str | None:
    """Return the path of an item's medium below the media folder, None where it names none."""
    if rule.field:
        return row[rule.field] or None
    return (rule.pattern or "").format_map({**row.cells, "id": item_id})


def label(row: Row, rule: LabelRule) -> bool:
    """Return an item's label.

    Raises:
        BadInput: Its cell says none.
    """
    assert rule.field
    if rule.folder:
        return Row(row.path, row.number, {rule.field: folder(row[rule.field])}).choice(rule.field, rule.map)
    if rule.at_least is not None:
        try:
            return float(row[rule.field]) >= rule.at_least
        except ValueError as error:
            raise row.bad(rule.field, f"{row[rule.field][:N_QUOTED]!r} is not a number.") from error
    if rule.place is None and not rule.any_of and not rule.majority:
        return row.choice(rule.field, rule.map)
    try:
        words = [str(word) for word in cells.listed(row[rule.field])]
    except Malformed as error:
        raise row.bad(rule.field, "is no list.") from error
    if rule.any_of:
        unknown = [word for word in words if word not in {*rule.any_of, *rule.map}]
        if unknown or not words:
            known = ", ".join(map(repr, (*rule.map, *rule.any_of)))
            raise row.bad(rule.field, f"{', '.join(unknown)[:N_QUOTED]!r} is not one of {known}.")
        return any(word in rule.any_of for word in words)
    chosen = words if rule.place is None else words[rule.place : rule.place + 1]
    votes = [Row(row.path, row.number, {rule.field: word}).choice(rule.field, rule.map) for word in chosen]
    return most(row, votes, rule, [rule.field])


def folder(path: str) -> str:
    """Return the name of the folder that a path ends in, in small letters; empty where it has none."""
    return PurePosixPath(path.replace("\\", "/")).parent.name.lower()


def derived(row: Row, rules: Mapping[str, Derived]) -> Row:
    """Return a row with the columns that are made of those that it has.

    Raises:
        BadInput: A cell has no such part.
    """
    made = {}
    for name, rule in rules.items():
        parts = row[rule.field].strip().split(rule.separator)
        part = parts[rule.part] if rule.part < len(parts) else ""
        value = part if rule.letter is None else part[rule.letter : rule.letter + 1]
        if not value:
            raise row.bad(rule.field, f"{row[rule.field][:N_QUOTED]!r} has no part for {name}.")
        made[name] = rule.spellings.get(value, value)
    return Row(row.path, row.number, {**row.cells, **made})


def most(row: Row, votes: Sequence[bool], rule: LabelRule, names: Sequence[str]) -> bool:
    """Return what most votes say.

    Raises:
        BadInput: There are as many for as against, and the rule says nothing of that.
    """
    lead = sum(1 if vote else -1 for vote in votes)
    if lead:
        return lead > 0
    if rule.tie is None:
        raise row.bad(names[0] if names else "label", "has no label, or as many votes for as against.")
    return rule.tie


def facet_values(row: Row, rule: FacetRule) -> list[str]:
    """Return a facet's values, each once."""
    if rule.flags:
        values = [value for column, value in rule.flags.items() if row.cells.get(column) == "1"]
    elif rule.field not in row.cells:
        return []
    else:
        cell = folder(row.cells[rule.field]) if rule.folder else row.cells[rule.field]
        if rule.form == "names":
            values = cells.names(cell)
        elif rule.form == "list":
            values = [str(entry) for entry in cells.listed(cell)]
        elif rule.form == "flags":
            values = cells.flagged(cells.listed(cell), rule.values)
        else:
            values = [cell.strip()]
    kept = (rule.spellings.get(value, value) for value in values if value not in rule.missing)
    return list(dict.fromkeys(value for value in kept if value))


def segments(row: Row, layout: Layout, item_id: str) -> list[tuple[str, int, float, float, str]]:
    """Return item, number, start and end in seconds, and label of each segment.

    Raises:
        Malformed: A cell is not of its form.
    """
    rule = layout.segments
    if rule is None or not row.cells.get(rule.field):
        return []
    spans = cells.spans(row.cells[rule.field], is_clock=rule.form == "clock")
    labels = [[rule.label]] * len(spans)
    if rule.labels_field:
        flags = cells.listed(row.cells.get(rule.labels_field, ""))
        if len(flags) != len(spans):
            raise Malformed
        labels = [cells.flagged(entry, rule.values) for entry in flags]
    return [
        (item_id, number, start, end, label)
        for number, ((start, end), names) in enumerate(zip(spans, labels, strict=True))
        for label in names
    ]


def votes(row: Row, layout: Layout, item_id: str) -> list[tuple[str, str, str]]:
    """Return item, annotator and label of each vote."""
    rule = layout.votes
    if rule is None:
        return []
    if rule.field:
        votes = [str(vote) for vote in cells.listed(row.cells.get(rule.field, ""))]
        named_votes = [(str(number), vote) for number, vote in enumerate(votes, start=1)]
    else:
        named_votes = [(name, row.cells[name]) for name in rule.columns if row.cells.get(name)]
    return [(item_id, name, rule.map.get(vote, vote)) for name, vote in named_votes]


def overlapping(spans: Sequence[tuple[float, float]]) -> bool:
    """Return whether any two of an item's segments overlap."""
    return any(next_start < end for (_, end), (next_start, _) in pairwise(sorted(spans)))
