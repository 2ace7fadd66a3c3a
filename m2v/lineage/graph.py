"""What the store's versions say of where they came from, as a graph: versions, and the versions that each one read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from m2v.errors import UnknownName


@dataclass(frozen=True)
class Node:
    """A stored version, as its writer described it.

    Attributes:
        parents: Version number and rows hash of each table that was read, by ``table/variant``.
        made_of: A hash of each named setting that its code version is made of; empty where none were recorded.
        files: The sha256 of each source file that was read; None where the code of that version recorded none.
    """

    table: str
    variant: str
    number: int
    rows_hash: str
    file_sha256: str
    n_rows: int
    created_at: str
    run_id: str | None = None
    code_version: str | None = None
    made_of: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    files: Mapping[str, str] | None = None

    @property
    def place(self) -> str:
        """For example ``voted_labels/fhm_hatemm``."""
        return f"{self.table}/{self.variant}"

    @property
    def name(self) -> str:
        """For example ``voted_labels/fhm_hatemm@2``."""
        return f"{self.place}@{self.number}"

    @property
    def is_release(self) -> bool:
        """Whether it lies on the Hub, not in the store: its place is then ``table/user/name``."""
        return "/" in self.variant

    @property
    def parent_names(self) -> list[str]:
        """The versions that it read, sorted."""
        return sorted(f"{place}@{number}" for place, (number, _) in self.parents.items())


class Graph:
    """Versions by name."""

    def __init__(self, nodes: Iterator[Node] | list[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.latest: dict[str, Node] = {}
        for node in self.nodes.values():
            known = self.latest.get(node.place)
            if known is None or known.number < node.number:
                self.latest[node.place] = node

    def node(self, name: str) -> Node:
        """Return the version of that name; without a number, the latest.

        Raises:
            UnknownName: With the nearest names.
        """
        version = self.nodes.get(name) or self.latest.get(name)
        if version is None:
            raise UnknownName("stored version", name, [*self.latest, *self.nodes])
        return version

    def upstream(self, name: str) -> list[Node]:
        """Return the version and all that it rests on, exactly the versions that were read; sorted by name."""
        seen: dict[str, Node] = {}
        todo = [self.node(name).name]
        while todo:
            current = todo.pop()
            if current not in seen and current in self.nodes:
                seen[current] = self.nodes[current]
                todo += self.nodes[current].parent_names
        return [seen[key] for key in sorted(seen)]

    def missing(self, nodes: list[Node]) -> list[str]:
        """Parents that these versions name and the store has not."""
        return sorted({parent for node in nodes for parent in node.parent_names if parent not in self.nodes})

    def downstream(self, place: str) -> list[Node]:
        """Return the latest version of every table that rests on the table, sorted by name.

        By table, not by version: a table whose rows came out equal keeps the version that names older parents.
        """
        reached, grows = {place}, True
        while grows:
            new = {latest.place for latest in self.latest.values() if reached & latest.parents.keys()} - reached
            reached |= new
            grows = bool(new)
        return [self.latest[key] for key in sorted(reached - {place})]
