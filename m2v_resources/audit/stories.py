"""What the store knows of one item, checkpoint, number or release, gathered for an audit."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from m2v import schemas
from m2v.entries.variants import variant
from m2v.errors import BadInput, M2VError, StoreError, UnknownName
from m2v.files.parquet import DAMAGED
from m2v.lineage.cause import causes
from m2v.lineage.changes import changes
from m2v.lineage.graph import Graph, Node
from m2v.lineage.in_words import causal
from m2v.programs.contract import MANIFEST, complete
from m2v_resources.store.record import Record

RELEASES = {"dataset": schemas.DATASET_RELEASES.name, "adapter": schemas.ADAPTER_RELEASES.name}

# What the record of a program that asked a model says of how; the examples' texts are in their own table.
HOW_ASKED = ("model", "adapter_sha256", "server", "mode", "prompt", "label", "demonstrations", "versions")

UNRECORDED_FILES = "source files were not recorded by that version of the code"


class Stories:
    """Answers to audits over one store, whose record is read once.

    Args:
        with_text: Give hidden columns too.
    """

    def __init__(self, record: Record, *, with_text: bool = False) -> None:
        self.record, self.graph, self.with_text = record, record.graph(), with_text
        releases = [_release_node(release) for release in self.releases()]
        # Releases stand outside the store; they have inputs as its versions have, and so the same story.
        self.whole = Graph([*self.graph.nodes.values(), *releases])

    def meme(self, item: str) -> dict[str, Any]:
        """Every latest row about ``dataset/id``, and the checkpoints, metrics and releases that rest on them.

        Raises:
            M2VError: No such dataset or id.
        """
        dataset, _, identifier = item.partition("/")
        place = f"memes/{variant(dataset)}"
        if not identifier or place not in self.graph.latest:
            known = sorted(name.removeprefix("memes/") for name in self.graph.latest if name.startswith("memes/"))
            raise UnknownName("stored meme dataset (write dataset/id)", dataset, known)
        start = self.graph.latest[place]
        own = self.record.rows(start, meme_id=identifier)
        tombstone = self._tombstone(dataset, identifier)
        if own.is_empty() and tombstone is not None:
            return self._told({"item": item, "forgotten": tombstone}, []) | self._resting([])
        if own.is_empty():
            raise UnknownName(f"meme of {dataset}", identifier, self.record.rows(start)["meme_id"].to_list())
        versions = [(start, own)]
        for node in self.graph.downstream(place):
            rows = self._about(node, dataset, identifier)
            if rows is not None and not rows.is_empty():
                versions.append((node, rows))
        return self._told({"item": item}, versions) | self._resting([node for node, _ in versions])

    def checkpoint(self, run: str, *, item: str | None = None) -> dict[str, Any]:
        """Return the run's checkpoint, what it rests on and what rests on it.

        Args:
            item: ``dataset/id``; then also its rows in exactly the versions that the checkpoint rests on.
        """
        return self._of_table("checkpoints", run, item)

    def metric(self, run: str, *, item: str | None = None) -> dict[str, Any]:
        """Return the run's scores, what they rest on and what rests on them; the same of ``item``.

        Args:
            run: Its name; or a table and what it is of, as in ``robustness/published``.
        """
        table, _, name = run.rpartition("/")
        return self._of_table(schemas.table(table).name if table else "metrics", name, item)

    def release(self, name: str, *, item: str | None = None) -> dict[str, Any]:
        """Return a release, and all that its recorded inputs rest on; the same of ``item``.

        Args:
            name: ``repository@tag``; the tag alone where only one repository has it.

        Raises:
            UnknownName: No such release, or no such item in it.
            M2VError: Several repositories have that tag.
        """
        releases = {f"{release['repo']}@{release['tag']}": release for release in self.releases()}
        matching = [release for full, release in releases.items() if name in {full, release["tag"]}]
        if not matching:
            raise UnknownName("release", name, releases)
        if len(matching) > 1:
            known = ", ".join(full for full, release in releases.items() if release["tag"] == name)
            raise M2VError(f"Several releases are called {name!r}: {known}. Write one of these.")
        start = _release_node(matching[0])
        return self._of_versions({"release": matching[0]}, self.whole.upstream(start.name), item)

    def diff(self, before: str, after: str) -> dict[str, Any]:
        """Which rows differ between two versions of a table or two releases, and the first causes upstream.

        Args:
            before: ``table/variant@number``, or ``repository@tag``.
            after: The same; or ``@number``, ``@tag`` of the same.

        Returns:
            ``before``, ``after`` (str), ``rows`` by table (changed rows of it, without hidden columns) and ``causes``,
            each with the rows that differ there.

        Raises:
            UnknownName: No such version.
            M2VError: They are of different tables.
        """
        first = self._named(before)
        second = self._named(before.rpartition("@")[0] + after if after.startswith("@") else after)
        if first.table != second.table or (first.is_release and first.place != second.place):
            raise M2VError(f"{first.name} and {second.name} are of different tables; compare versions of one table.")
        # What leaves is a selection of the tables that the release names.
        pairs = {
            f"{place}@{number}": f"{place}@{second.parents[place][0]}"
            for place, (number, rows_hash) in (first.parents.items() if first.is_release else ())
            if place in second.parents and second.parents[place][1] != rows_hash
        } or {first.name: second.name}
        causes_of = [
            {**asdict(cause), "rows": self._changed(cause.before, cause.after)}
            for cause in causes(self.whole, first.name, second.name)
        ]
        rows = {old.partition("@")[0]: self._changed(old, new) for old, new in pairs.items()}
        return {"before": first.name, "after": second.name, "causes": causes_of, "rows": rows}

    def impact(self, item: str) -> dict[str, Any]:
        """Return what would be stale if the item's label changed: every latest table that rests on its own."""
        story = self.meme(item)
        places = {row["version"].partition("@")[0] for row in story["rows"]}
        stale = sorted({node.name for place in places for node in self.graph.downstream(place)})
        return {"item": item, "stale": stale, "releases": story["releases"]}

    def releases(self) -> list[dict[str, Any]]:
        """Every release that the store has rows of; one of several alignments has a row in the table of each."""
        by_release: dict[tuple[str, str, str], dict[str, Any]] = {}
        for node in self.graph.latest.values():
            if node.table in RELEASES.values():
                for row in self._release_rows(node):
                    known = by_release.setdefault(
                        (row["repo"], row["tag"], row["commit"]), {**row, **_parsed(row, node), "stored_in": []}
                    )
                    known["stored_in"].append(node.name)
        return [by_release[key] for key in sorted(by_release)]

    def _release_rows(self, version: Node) -> list[dict[str, Any]]:
        try:
            return self.record.rows(version).to_dicts()
        except (StoreError, *DAMAGED) as error:
            # One damaged table must not hide every story that has nothing to do with it.
            self.record.damaged.append(str(error).splitlines()[0])
            return []

    def _of_table(self, table: str, run: str, item: str | None) -> dict[str, Any]:
        place = f"{table}/{variant(run)}"
        known = {node.variant: node for node in self.graph.latest.values() if node.table == table}
        if place not in self.graph.latest:
            raise UnknownName(f"run in {table}", run, known)
        start = self.graph.latest[place]
        story = self._told({"run": run}, [(start, self.record.rows(start))])
        return story | self._of_versions({}, self.graph.upstream(start.name), item) | self._resting([start])

    def _of_versions(self, head: dict[str, Any], versions: list[Node], item: str | None) -> dict[str, Any]:
        """Return these versions, and the item's rows in them."""
        if item is None:
            return head | self._versions(versions)
        dataset, _, identifier = item.partition("/")
        pairs = [
            (node, rows)
            for node in versions
            if not node.is_release
            and self._is_about(node, dataset)
            and (rows := self._about(node, dataset, identifier)) is not None
            and not rows.is_empty()
        ]
        if not pairs:
            raise UnknownName("item there (write dataset/id)", item, [])
        return self._told({**head, "item": item}, pairs) | self._versions(versions)

    def _is_about(self, version: Node, dataset: str) -> bool:
        place = f"memes/{variant(dataset)}"
        return place in {node.place for node in self.graph.upstream(version.name)}

    def _tombstone(self, dataset: str, identifier: str) -> dict[str, Any] | None:
        """Return what is kept of a forgotten meme: when, why, and what rested on it."""
        version = self.graph.latest.get(f"{schemas.FORGOTTEN.name}/{variant(dataset)}")
        rows = self.record.rows(version, meme_id=identifier).to_dicts() if version else []
        return rows[0] if rows else None

    def _about(self, version: Node, dataset: str, identifier: str) -> pl.DataFrame | None:
        columns = self.record.columns(version)
        name = next((column for column in ("meme_id", "item_id") if column in columns), None)
        if name is None:
            return None
        # A table of several datasets says which; a table of one is named after it.
        values: dict[str, Any] = {name: identifier, **({"dataset": dataset} if "dataset" in columns else {})}
        return self.record.rows(version, **values)

    def _named(self, name: str) -> Node:
        releases = {f"{release['repo']}@{release['tag']}": _release_node(release) for release in self.releases()}
        return releases.get(name) or self.graph.node(name)

    def _changed(self, before: str, after: str) -> list[dict[str, Any]]:
        """Rows that differ between two stored versions of a table that this code knows."""
        first, second = (self.graph.nodes.get(name) for name in (before, after))
        table = schemas.TABLES.get(first.table) if first else None
        if first is None or second is None or table is None or first.name == second.name:
            return []
        frames = [self._read(node) for node in (first, second)]
        if any(frame.columns != list(table.columns) for frame in frames):
            return []  # written by code whose table had other columns: no row of it is a row of ours
        rows = changes(*frames, table=table)
        hidden = [f"{column}_{end}" for column in table.hidden for end in ("before", "after")]
        return (rows if self.with_text else rows.drop(hidden)).to_dicts()

    def _read(self, version: Node) -> pl.DataFrame:
        return self.record.store.read(version.table, version.variant, number=version.number)

    def _told(self, head: dict[str, Any], pairs: list[tuple[Node, pl.DataFrame]]) -> dict[str, Any]:
        rows = [
            {"version": node.name, "written_at": node.created_at, "code_version": node.code_version, "row": row}
            for node, frame in sorted(pairs, key=lambda pair: causal(pair[0]))
            for row in self._shown(node, frame).to_dicts()
        ]
        upstream = {node.name: node for below, _ in pairs for node in self.graph.upstream(below.name)}
        demonstrations = [
            {"version": name, "rows_hash": node.rows_hash, "row": row}
            for name, node in sorted(upstream.items())
            if node.table == "demonstrations"
            for row in self._shown(node, self.record.rows(node)).to_dicts()
        ]
        versions = self._versions(list(upstream.values()))
        return {**head, "rows": rows, "demonstrations": demonstrations, **versions}

    def _asked(self, predictions: Node) -> dict[str, Any] | None:
        """How a model was asked for all of these predictions, where a program here did; its own record says it."""
        programs = self.record.store.home / "programs" / "predict" / predictions.variant
        manifests = sorted(programs.glob(f"*/{MANIFEST}"))
        try:
            wanted = set(self.record.rows(predictions)["request_sha256"]) if manifests else set()
        except (StoreError, *DAMAGED):
            return None
        for path in manifests:
            manifest = complete(path.parent)
            if manifest and wanted <= set(pl.read_parquet(path.parent / "answers.parquet")["request_sha256"]):
                facts = {name: manifest[name] for name in HOW_ASKED if name in manifest}
                return {"version": predictions.name, **facts}
        return None

    def _versions(self, nodes: list[Node]) -> dict[str, Any]:
        gaps = [f"{name} was read, and is not in the store" for name in self.whole.missing(nodes)]
        gaps += [f"{node.name}: {UNRECORDED_FILES}" for node in nodes if node.files is None]
        gaps += [f"a version that cannot be read: {problem}" for problem in self.record.damaged]
        asked = {node.name: self._asked(node) for node in nodes if node.table == schemas.PREDICTIONS.name}
        gaps += [
            f"{name}: its prompt is recorded by request_sha256, not in full" for name, how in asked.items() if not how
        ]
        files = {name: digest for node in nodes for name, digest in (node.files or {}).items()}
        return {
            "asked": [how for how in asked.values() if how],
            "versions": [asdict(node) for node in sorted(nodes, key=causal)],
            "files": files,
            "gaps": sorted(gaps),
        }

    def _resting(self, nodes: list[Node]) -> dict[str, Any]:
        # A checkpoint reads features of every text; only those whose training set holds the item contain it.
        trained = {node.place for node in nodes if node.table in {"training_examples", "checkpoints", "metrics"}}
        below = {node.name: node for place in trained for node in self.graph.downstream(place)}
        names = {*below, *(node.name for node in nodes)}
        places = {name.partition("@")[0] for name in names}
        return {
            table: sorted(name for name in names if name.startswith(f"{table}/"))
            for table in ("training_examples", "checkpoints", "metrics", "results")
        } | {"releases": [release for release in self.releases() if places & release["inputs"].keys()]}

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


def _release_node(release: Mapping[str, Any]) -> Node:
    """Return a release as the lineage graph knows versions: it was made of its inputs."""
    return Node(
        table=RELEASES[release["kind"]],
        variant=release["repo"],
        number=release["version"],
        rows_hash=release["content_sha256"],
        file_sha256="",
        n_rows=len(release["files"]),
        created_at=release["published_at"].isoformat(),
        parents={place: (read["version"], read["rows_hash"]) for place, read in release["inputs"].items()},
        files={},
    )


def graph_of(story: Mapping[str, Any], graph: Graph) -> list[Node]:
    """Return the versions of a story as nodes of the graph."""
    return [
        graph.nodes[f"{version['table']}/{version['variant']}@{version['number']}"] for version in story["versions"]
    ]
