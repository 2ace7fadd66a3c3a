"""The graph's door to the table store: what an asset reads and writes, with what Dagster shows of it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import PrivateAttr

from m2v.errors import StoreError
from m2v.lineage.findings import Finding
from m2v.schemas import Table
from m2v.schemas.columns import described
from m2v_resources.store import findings as findings_store
from m2v_resources.store.versions import TableStore, Version, open_store

# The key under which an asset says what its code version is made of: hashes by name. A version's tags begin with it.
MADE_OF = "m2v/made_of"
N_PREVIEW_ROWS = 5
# Findings name every offender; beyond this many, an event log is no place for them.
N_SHOWN_IDS = 10_000
# Labels differ, one person decides and votes are open in every study that asks people: no defect of its rows.
STATES = frozenset({"agreement_with_original", "humans_decide_alone", "undecided"})
# Figures that nobody can estimate as long as nobody, or one person alone, was asked.
ESTIMATES = {
    "agreed_error": "error_share",
    "annotator_agreement": "krippendorff_alpha",
    "humans_side_with_model": "model_share",
}


class Tables(dg.ConfigurableResource):
    """Tables of the platform, in ``<home>/tables``."""

    home: str
    # By run and step: what each table's latest version was when the step first looked.
    _seen: dict[tuple[str, str], dict[tuple[str, ...], Version]] = PrivateAttr(default_factory=dict)

    @property
    def store(self) -> TableStore:
        """The store itself."""
        return open_store(Path(self.home))

    def read(self, table: Table, variant: str) -> pl.DataFrame:
        """Return the version's rows.

        Raises:
            StoreError: An earlier M2V wrote them, with other columns; says how to recompute the table.
        """
        version = self.version(table, variant)
        rows = self.store.read(table.name, variant, number=version.number)
        missing = [column for column in table.columns if column not in rows.columns]
        if missing:
            raise StoreError(
                f"{version.name} was written by an earlier M2V and has no {', '.join(missing)}. Bring it up to date "
                f"first: `m2v run --select {table.name}/{variant}`."
            )
        return rows

    def path(self, table: Table, variant: str) -> Path:
        """Return the version's parquet file, for programs."""
        return self.store.path(self.version(table, variant))

    def version(self, table: Table, variant: str) -> Version:
        """Return the version that was the latest when the asset first looked, whatever another run writes meanwhile."""
        seen = self._seen_by(dg.AssetExecutionContext.get())
        return seen.setdefault((table.name, variant), self.store.version(table.name, variant))

    def _seen_by(self, context: dg.AssetExecutionContext) -> dict[tuple[str, ...], Version]:
        step = context.get_step_execution_context().step.key
        return self._seen.setdefault((context.run.run_id, step), {})

    def write(
        self,
        frame: pl.DataFrame,
        table: Table,
        variant: str,
        *,
        findings: Sequence[Finding] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """Store rows and findings, and return what Dagster should know: version, counts, columns, preview, checks."""
        key = dg.AssetKey([table.name, variant])
        provenance = self._provenance(key)
        version = self.store.write(frame, table, variant, provenance=provenance)
        if table.is_checked:
            place, run_id = (table.name, variant), provenance["run_id"]
            findings_store.record(self.store, place, findings, run_id=run_id, of=version)
        return dg.MaterializeResult(
            asset_key=key,
            tags={f"{MADE_OF}.{name}": digest for name, digest in provenance["made_of"].items()},
            data_version=dg.DataVersion(version.rows_hash),
            metadata={
                "dagster/row_count": frame.height,
                "dagster/column_schema": column_schema(table),
                "dagster/uri": self.store.place(version),
                "version": version.name,
                "path": dg.MetadataValue.path(self.store.place(version)),
                "preview": dg.MetadataValue.md(preview(frame, table)),
                **(metadata or {}),
            },
            check_results=[check_result(finding) for finding in findings],
        )

    def _provenance(self, key: dg.AssetKey) -> dict[str, Any]:
        context = dg.AssetExecutionContext.get()
        seen, parents, files = self._seen_by(context), {}, {}
        for parent in context.assets_def.asset_deps[key]:
            if parent.path[0] == "files":
                files[parent.path[1]] = _observed_sha256(context.instance, parent)
            read = seen.get(tuple(parent.path))
            latest = read or (self.store.latest(*parent.path) if len(parent.path) == 2 else None)
            if latest:
                parents[parent.to_user_string()] = {"version": latest.number, "rows_hash": latest.rows_hash}
        return {
            "run_id": context.run.run_id,
            "code_version": context.assets_def.code_versions_by_key.get(key),
            "made_of": context.assets_def.specs_by_key[key].metadata.get(MADE_OF, {}),
            "parents": parents,
            "files": {name: digest for name, digest in files.items() if digest},
        }


def _observed_sha256(instance: dg.DagsterInstance, file: dg.AssetKey) -> str | None:
    """Return the file's sha256 as it was last observed, which `m2v run` does before anything reads it."""
    for record in instance.fetch_observations(file, limit=1).records:
        if record.asset_observation:
            return record.asset_observation.tags.get("dagster/data_version")
    return None


def is_normal(finding: Finding) -> bool:
    """Return whether a finding describes what every study has, or what nobody could measure yet, and no defect."""
    figure = ESTIMATES.get(finding.check)
    return finding.check in STATES or (figure in finding.figures and finding.figures[figure] is None)


def check_result(finding: Finding) -> dg.AssetCheckResult:
    """Return a finding as Dagster shows it: a warning, because checks report and are not the gate.

    What is normal passes, with the same sentence.
    """
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([finding.table, finding.variant]),
        check_name=finding.check,
        passed=finding.is_fine or is_normal(finding),
        severity=dg.AssetCheckSeverity.WARN,
        description=finding.summary,
        metadata={
            **{name: "not estimable" if value is None else value for name, value in finding.figures.items()},
            "n_ids": len(finding.ids),
            "ids": dg.MetadataValue.json(list(finding.ids[:N_SHOWN_IDS])),
        },
    )


def preview(frame: pl.DataFrame, table: Table, *, with_text: bool = False, n_rows: int = N_PREVIEW_ROWS) -> str:
    """Return the first rows as a Markdown table; item texts stay out unless asked for."""
    shown = frame.head(n_rows) if with_text else frame.head(n_rows).drop(table.hidden)
    lines = [shown.columns, ["---"] * shown.width, *([_cell(value) for value in row] for row in shown.iter_rows())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    text = json.dumps(value[:3])[:-1] + ", …]" if isinstance(value, list) and len(value) > 3 else str(value)
    # An id or a name may be a link, a picture or a tag to Markdown.
    inert = re.sub(r"[\\`*_\[\]|~#!]", r"\\\g<0>", " ".join(text.split()))
    return inert.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def column_schema(table: Table) -> dg.TableSchema:
    """Return the table's columns as Dagster shows them, with what each of them holds."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=str(dtype),
                description=described(table.name, name),
                constraints=dg.TableColumnConstraints(nullable=name in table.nullable, unique=table.key == (name,)),
            )
            for name, dtype in table.columns.items()
        ],
        constraints=dg.TableConstraints(other=[f"one row is {table.row}", f"key: {', '.join(table.key)}"]),
    )
