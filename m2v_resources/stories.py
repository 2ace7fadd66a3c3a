"""What the store knows of one item, checkpoint, number or release, gathered for an audit."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from m2v import schemas
from m2v.errors import BadInput, M2VError, UnknownName
from m2v.lineage.graph import Graph, Node
from m2v_resources.record import Record

UNRECORDED_FILES = "source files were not recorded by that version of the code"


class Stories:
    """Answers to audits over one store, whose record is read once.

    Args:
        with_text: Give hidden columns too.
    """

    def __init__(self, record: Record, *, with_text: bool = False) -> None:
        self.record, self.graph, self.with_text = record, record.graph(), with_text

    def meme(self, item: str) -> dict[str, Any]:
        """Every latest row about ``dataset/id``, and the checkpoints, metrics and releases that rest on them.

        Raises:
            M2VError: No such dataset or id.
        """
        dataset, _, identifier = item.partition("/")
        place = f"memes/{dataset.replace('-', '_')}"
        if not identifier or place not in self.graph.latest:
            known = sorted(each.removeprefix("memes/") for each in self.graph.latest if each.startswith("memes/"))
            raise UnknownName("stored meme dataset (write dataset/id)", dataset, known)
        start = self.graph.latest[place]
        own = self.record.rows(start, meme_id=identifier)
        if own.is_empty():
            raise UnknownName(f"meme of {dataset}", identifier, self.record.rows(start)["meme_id"].to_list())
        found = [(start, own)]
        for each in self.graph.downstream(place):
            rows = self._about(each, dataset, identifier)
            if rows is not None and not rows.is_empty():
                found.append((each, rows))
        return self._told({"item": item}, found) | self._resting([each for each, _ in found])

    def checkpoint(self, run: str) -> dict[str, Any]:
        """The run's checkpoint, what it rests on and what rests on it."""
        return self._of_table("checkpoints", run)

    def metric(self, run: str) -> dict[str, Any]:
        """The run's scores, what they rest on and what rests on them."""
        return self._of_table("metrics", run)

    def release(self, tag: str) -> dict[str, Any]:
        """The release with that tag, and all that its recorded inputs rest on."""
        releases = self.releases()
        if tag not in {each["tag"] for each in releases}:
            raise UnknownName("release", tag, [each["tag"] for each in releases])
        matching = [each for each in releases if each["tag"] == tag]
        if len(matching) > 1:
            known = ", ".join(f"{each['repo']} ({each['stored_in']})" for each in matching)
            raise M2VError(f"{tag!r} is the tag of several releases: {known}. Audit one of their inputs instead.")
        release = matching[0]
        names = [f"{place}@{read['version']}" for place, read in release["inputs"].items()]
        missing = [name for name in names if name not in self.graph.nodes]
        rests = {each.name: each for name in names if name not in missing for each in self.graph.upstream(name)}
        gaps = [f"the release names {name}, which is not in the store" for name in missing]
        told = self._versions([rests[name] for name in sorted(rests)])
        return {"release": release, **told, "gaps": sorted({*told["gaps"], *gaps})}

    def impact(self, item: str) -> dict[str, Any]:
        """What would be stale if the item's label changed: every latest table that rests on those that hold it."""
        story = self.meme(item)
        places = {each["version"].partition("@")[0] for each in story["rows"]}
        stale = sorted({each.name for place in places for each in self.graph.downstream(place)})
        return {"item": item, "stale": stale, "releases": story["releases"]}

    def releases(self) -> list[dict[str, Any]]:
        """Every release that the store has rows of."""
        found = []
        for each in self.graph.latest.values():
            if each.table.endswith("_releases"):
                rows = self.record.rows(each).to_dicts()
                found += [{**row, **_parsed(row, each), "stored_in": each.name} for row in rows]
        return found

    def _of_table(self, table: str, run: str) -> dict[str, Any]:
        place = f"{table}/{run.replace('-', '_')}"
        known = {each.variant: each for each in self.graph.latest.values() if each.table == table}
        if place not in self.graph.latest:
            raise UnknownName(f"run in {table}", run, known)
        start = self.graph.latest[place]
        upstream = self.graph.upstream(start.name)
        story = self._told({"run": run}, [(start, self.record.rows(start))])
        return story | self._versions(upstream) | self._resting([start])

    def _about(self, version: Node, dataset: str, identifier: str) -> pl.DataFrame | None:
        columns = self.record.columns(version)
        name = next((each for each in ("meme_id", "item_id") if each in columns), None)
        if name is None:
            return None
        # A table of several datasets says which; a table of one is named after it.
        values: dict[str, Any] = {name: identifier, **({"dataset": dataset} if "dataset" in columns else {})}
        return self.record.rows(version, **values)

    def _told(self, head: dict[str, Any], found: list[tuple[Node, pl.DataFrame]]) -> dict[str, Any]:
        rows = [
            {"version": each.name, "written_at": each.created_at, "code_version": each.code_version, "row": row}
            for each, frame in found
            for row in self._shown(each, frame).to_dicts()
        ]
        upstream = {node.name: node for each, _ in found for node in self.graph.upstream(each.name)}
        demonstrations = [
            {"version": name, "rows_hash": node.rows_hash, "row": row}
            for name, node in sorted(upstream.items())
            if node.table == "demonstrations"
            for row in self._shown(node, self.record.rows(node)).to_dicts()
        ]
        versions = self._versions([upstream[name] for name in sorted(upstream)])
        return {**head, "rows": rows, "demonstrations": demonstrations, **versions}

    def _versions(self, nodes: list[Node]) -> dict[str, Any]:
        gaps = [f"{name} was read, and is not in the store" for name in self.graph.missing(nodes)]
        gaps += [f"{each.name}: {UNRECORDED_FILES}" for each in nodes if each.files is None]
        if any(each.table == "predictions" for each in nodes):
            gaps.append("predictions: the prompt is recorded by request_sha256, not in full")
        files = {name: digest for each in nodes for name, digest in (each.files or {}).items()}
        return {"versions": [asdict(each) for each in nodes], "files": files, "gaps": sorted(gaps)}

    def _resting(self, nodes: list[Node]) -> dict[str, Any]:
        # A checkpoint reads features of every text; only those whose training set holds the item contain it.
        trained = {each.place for each in nodes if each.table in {"training_examples", "checkpoints", "metrics"}}
        below = {each.name: each for place in trained for each in self.graph.downstream(place)}
        names = {*below, *(each.name for each in nodes)}
        places = {name.partition("@")[0] for name in names}
        return {
            table: sorted(name for name in names if name.startswith(f"{table}/"))
            for table in ("training_examples", "checkpoints", "metrics", "results")
        } | {"releases": [each for each in self.releases() if places & each["inputs"].keys()]}

    def _shown(self, version: Node, frame: pl.DataFrame) -> pl.DataFrame:
        if self.with_text:
            return frame
        known = schemas.TABLES.get(version.table)
        free = {"text", "description", "comment", "detail"}
        return frame.drop(known.hidden if known else free & set(frame.columns))


def _parsed(row: Mapping[str, Any], version: Node) -> dict[str, Any]:
    try:
        return {"inputs": json.loads(row["inputs"]), "files": json.loads(row["files"])}
    except ValueError as error:
        raise BadInput(version.name, f"the inputs or files of {row['tag']} are not JSON") from error


def graph_of(story: Mapping[str, Any], graph: Graph) -> list[Node]:
    """The versions of a story as nodes of the graph."""
    return [graph.nodes[f"{each['table']}/{each['variant']}@{each['number']}"] for each in story["versions"]]
