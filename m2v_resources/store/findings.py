"""What checks found in each version of a table, beside it in the store: written with it, read by report and cards."""

from collections.abc import Sequence

from m2v import schemas
from m2v.errors import M2VError
from m2v.lineage.findings import Finding, from_rows, to_rows
from m2v_resources.store.versions import TableStore, Version


def record(
    store: TableStore,
    place: tuple[str, str],
    findings: Sequence[Finding],
    *,
    run_id: str | None = None,
    of: Version | None = None,
) -> Version:
    """Write what was found in an asset's rows, and return the version.

    Args:
        place: The asset: its table (or ``reports``) and variant.
        run_id: Of the run that makes it.
        of: The version with the rows.
    """
    parents = {f"{of.table}/{of.variant}": {"version": of.number, "rows_hash": of.rows_hash}} if of else {}
    provenance = {"run_id": run_id, "parents": parents}
    return store.write(to_rows(findings), schemas.FINDINGS, "_".join(place), provenance=provenance)


def recorded(store: TableStore, *places: tuple[str, str]) -> list[Finding]:
    """Return what was found in the latest rows of assets, in their order.

    Raises:
        M2VError: An asset's findings are not on record; an M2V before this table made it.
    """
    findings: list[Finding] = []
    for place in places:
        variant = "_".join(place)
        if store.latest(schemas.FINDINGS.name, variant) is None:
            name = "/".join(place)
            raise M2VError(
                f"{name} was made by an earlier M2V, which did not record what its checks found. Bring it up to date "
                f"first: `m2v run --select {name}`."
            )
        findings += from_rows(store.read(schemas.FINDINGS.name, variant))
    return findings
