"""What every asset says of itself in the UI: key, group, description, owners, tags, kinds, code version."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import BaseModel

from m2v.catalog.entries import Source
from m2v.schemas import Table

OWNERS = ["team:m2v"]


def key(table: Table | str, variant: str) -> dg.AssetKey:
    """``[table, variant]``."""
    return dg.AssetKey([table if isinstance(table, str) else table.name, variant])


def file_key(source: Source, file: str) -> dg.AssetKey:
    """The key of a source's file, for example ``files/published_hatemm_csv``."""
    return key("files", re.sub(r"[^A-Za-z0-9]+", "_", f"{source.name}_{file}"))


def fingerprint(*parts: Any) -> str:
    """A short hash of plain data and catalog entries."""
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version(version: str, *settings: Any) -> str:
    """What decides an asset's content besides its parents: our code, bumped on purpose, and settings, hashed."""
    return f"{version}-{fingerprint(*settings)}" if settings else version


def attributes(
    table: Table,
    variant: str,
    *,
    stage: str,
    code: str,
    checks: Sequence[str] = (),
    kinds: frozenset[str] = frozenset({"polars", "parquet"}),
    tags: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Arguments of ``@dg.asset`` for one version of a table."""
    asset_key = key(table, variant)
    return {
        "key": asset_key,
        "group_name": table.name,
        "description": f"One row is {table.row}.",
        "owners": OWNERS,
        "kinds": kinds,
        "tags": {"m2v/stage": stage, **(tags or {})},
        "code_version": code,
        "check_specs": [dg.AssetCheckSpec(check, asset=asset_key) for check in checks],
    }


def spec(table: Table, variant: str, *, deps: Sequence[dg.AssetKey], **about: Any) -> dg.AssetSpec:
    """The same as a spec, for functions that make two tables at once."""
    arguments = attributes(table, variant, **about)
    del arguments["check_specs"]
    return dg.AssetSpec(deps=deps, **arguments)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no fingerprint")
