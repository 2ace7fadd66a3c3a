"""A slice of the graph as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/), checked before it is given."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from m2v.errors import M2VError
from m2v.lineage.graph import Node

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACE = "urn:m2v:"


class BrokenProvenance(M2VError):
    """Provenance that names what it does not describe, or in which a thing is older than what it was made of."""


def document(nodes: list[Node]) -> str:
    """Return the versions as entities, each made by an activity that used its parents and source files.

    Raises:
        BrokenProvenance: A parent is not among the nodes, or is younger than what was made of it.
    """
    check(nodes)
    from prov.model import ProvDocument

    told = ProvDocument()
    told.add_namespace("m2v", NAMESPACE)
    for node in nodes:
        _describe(told, node)
    return told.serialize(format="json", indent=1) or ""


def check(nodes: list[Node]) -> None:
    """Refuse dangling references and times out of order, neither of which ``prov`` looks at.

    Raises:
        BrokenProvenance: Names the version and its parent.
    """
    known = {node.name: node for node in nodes}
    for node in nodes:
        for name in node.parent_names:
            if name not in known:
                raise BrokenProvenance(
                    f"{node.name} read {name}, which is not in the record; `m2v audit verify` names all missing."
                )
            # A release is dated by the Hub's clock, everything else by ours.
            if not node.is_release and datetime.fromisoformat(known[name].created_at) > datetime.fromisoformat(
                node.created_at
            ):
                raise BrokenProvenance(
                    f"{name} was written after {node.name}, which read it: a clock was wrong, or the record changed."
                )


def _describe(told: "ProvDocument", node: Node) -> None:
    entity, activity = f"m2v:{node.name}", f"m2v:making/{node.name}"
    at = datetime.fromisoformat(node.created_at).astimezone(UTC)
    told.entity(entity, {"m2v:rows_hash": node.rows_hash, "m2v:n_rows": node.n_rows})
    about = {"m2v:run_id": node.run_id, "m2v:code_version": node.code_version}
    told.activity(activity, endTime=at, other_attributes={name: value for name, value in about.items() if value})
    told.wasGeneratedBy(entity, activity, time=at)
    for name in node.parent_names:
        told.used(activity, f"m2v:{name}")
        told.wasDerivedFrom(entity, f"m2v:{name}")
    for file, digest in sorted((node.files or {}).items()):
        name = f"m2v:files/{file}@{digest[:12]}"
        if not told.get_record(name):
            told.entity(name, {"m2v:sha256": digest})
        told.used(activity, name)
