"""The first cause of a difference between two versions: upstream, until nothing that was read differs any more."""

from dataclasses import dataclass

from m2v.lineage.graph import Graph, Node


@dataclass(frozen=True)
class Cause:
    """What differs first.

    Attributes:
        kind: What of a code version changed ("prompt", "policy", "model" …; "settings", "code"), or "answers", "source
            data", "forgotten", "none", "not recorded".
        before: The version where it differs, older; ``after`` the newer one.
    """

    kind: str
    before: str
    after: str
    detail: str


def causes(graph: Graph, before: str, after: str) -> list[Cause]:
    """Return the first causes upstream of two versions of a table, by version; "none" alone where rows are equal."""
    first, second = graph.node(before), graph.node(after)
    if first.rows_hash == second.rows_hash:
        return [Cause("none", first.name, second.name, "the rows are equal")]
    by_place: dict[tuple[str, str, str], Cause] = {}
    _walk(graph, first, second, by_place, seen={})
    return [by_place[key] for key in sorted(by_place)]


def _walk(graph: Graph, before: Node, after: Node, by_place: dict, seen: dict[tuple[str, str], set[str]]) -> set[str]:
    """Add causes here and above, and give the files that changed there; each is a cause where it came in first."""
    if (before.name, after.name) in seen:
        return seen[before.name, after.name]
    changed = seen[before.name, after.name] = set()
    here = _code(before, after)
    differing = [
        (place, number, after.parents[place][0])
        for place, (number, rows_hash) in before.parents.items()
        if place in after.parents and after.parents[place][1] != rows_hash
    ]
    for place, old, new in differing:
        names = f"{place}@{old}", f"{place}@{new}"
        if all(name in graph.nodes for name in names):
            changed |= _walk(graph, graph.nodes[names[0]], graph.nodes[names[1]], by_place, seen)
        else:
            here.append(Cause("not recorded", *names, "one of these versions is not in the store any more"))
    if after.table == "forgotten":
        here.append(Cause("forgotten", before.name, after.name, "items were taken out: `m2v forget`"))
    for place in sorted(before.parents.keys() ^ after.parents.keys()):
        kind = "forgotten" if place.startswith("forgotten/") else "settings"
        here.append(Cause(kind, before.name, after.name, f"{place} is read by only one of them"))
    files = _files(before, after) - changed
    if files:
        kind = "answers" if after.table == "human_labels" else "source data"
        here.append(Cause(kind, before.name, after.name, f"changed files: {', '.join(sorted(files))}"))
        changed |= files
    if not here and not differing:
        detail = "code, settings and tables read are equal"
        if before.files is None or after.files is None:
            detail += "; source files were not recorded by that version of the code"
        here.append(Cause("not recorded", before.name, after.name, detail))
    by_place.update({(cause.before, cause.after, cause.kind): cause for cause in here})
    return changed


def _code(before: Node, after: Node) -> list[Cause]:
    if before.code_version == after.code_version:
        return []
    names = before.made_of.keys() & after.made_of.keys()
    parts = tuple(sorted(name.replace("_", " ") for name in names if before.made_of[name] != after.made_of[name]))
    kind = " and ".join(changed(before.code_version or "", after.code_version or "", parts=parts))
    return [Cause(kind, before.name, after.name, f"{before.code_version} became {after.code_version}")]


def changed(before: str, after: str, *, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what differs between two code versions, which are ours, then hashed settings, then that of the checks.

    Args:
        parts: Names of the settings that are known to differ.

    Returns:
        "code" where our own part differs, then the names; "settings" where no name is known.
    """
    ours = [(version.partition("-")[0].partition("+")[0], version.partition("+")[2]) for version in (before, after)]
    code = ("code",) if ours[0] != ours[1] else ()
    return (*code, *parts) or ("settings",)


def _files(before: Node, after: Node) -> set[str]:
    """Names of the files that differ."""
    if before.files is None or after.files is None:
        return set()
    names = before.files.keys() | after.files.keys()
    return {name for name in names if before.files.get(name) != after.files.get(name)}
