"""A slice of the graph as OpenLineage run events, one per version.

The specification: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

import json
import uuid
from collections.abc import Iterator

from m2v.lineage.graph import Node

PRODUCER = "urn:m2v:audit"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
VERSION_FACET = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"


def events(nodes: list[Node]) -> Iterator[str]:
    """Yield a COMPLETE event per version, as one line of JSON, in the order of writing."""
    for node in sorted(nodes, key=lambda version: (version.created_at, version.name)):
        read = [_dataset(place, str(number)) for place, (number, _) in sorted(node.parents.items())]
        read += [_dataset(f"files/{name}", digest) for name, digest in sorted((node.files or {}).items())]
        yield json.dumps(
            {
                "eventType": "COMPLETE",
                "eventTime": node.created_at,
                "producer": PRODUCER,
                "schemaURL": SCHEMA,
                # Several assets share a run of Dagster's; an OpenLineage run is one job's, so it gets an id of its own.
                "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}:{node.name}:{node.rows_hash}"))},
                "job": {"namespace": "m2v", "name": node.place},
                "inputs": read,
                "outputs": [_dataset(node.place, str(node.number))],
            },
            sort_keys=True,
        )


def _dataset(name: str, version: str) -> dict:
    facet = {"_producer": PRODUCER, "_schemaURL": VERSION_FACET, "datasetVersion": version}
    return {"namespace": "m2v", "name": name, "facets": {"version": facet}}
