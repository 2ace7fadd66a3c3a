"""The folder that is uploaded, file by file; ``release.json`` is written last and names all the others."""

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from m2v.errors import M2VError
from m2v.files.digests import file_sha256
from m2v.files.whole import write
from m2v.publishing import adapter, card, croissant, hub_rules
from m2v.publishing.adapter import AdapterRelease
from m2v.publishing.release import DatasetRelease

RECORD = "release.json"
CARD = "README.md"


def write_dataset(
    release: DatasetRelease,
    folder: Path,
    *,
    version: int,
    content_sha256: str,
    existing_card: str | None,
    published_at: datetime,
) -> Path:
    """Write and validate exactly what a dataset release uploads.

    Raises:
        RefusedCard: The Hub would not take the card.
        M2VError: `datasets` or `mlcroissant` would not read it.
    """
    _empty(folder)
    for part, rows in zip(release.parts, release.rows, strict=True):
        for split, path in card.data_files(part.name, rows).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shown = rows.filter(pl.col("split") == split) if "split" in rows.columns else rows
            shown.write_parquet(folder / path)
    croissant.write(release, folder, version=version, published_at=published_at, files=_digests(folder))
    text = card.dataset_card(release, version=version, content_sha256=content_sha256, existing=existing_card)
    hub_rules.check_card(card.split_card(text)[0], where=f"The card of {release.repo}")
    (folder / CARD).write_text(text, encoding="utf-8")
    croissant.validate(folder)
    _validate_configs(folder, release)
    return _finish(release, folder, kind="dataset", version=version, content_sha256=content_sha256)


def write_adapter(
    release: AdapterRelease, folder: Path, *, version: int, content_sha256: str, existing_card: str | None
) -> Path:
    """Write exactly what an adapter release uploads: weights as safetensors, config, card; no pickle, log or text."""
    _empty(folder)
    shutil.copyfile(release.folder / adapter.WEIGHTS, folder / adapter.WEIGHTS)
    (folder / adapter.CONFIG).write_bytes(release.config())
    text = card.adapter_card(release, version=version, content_sha256=content_sha256, existing=existing_card)
    hub_rules.check_card(card.split_card(text)[0], where=f"The card of {release.repo}")
    (folder / CARD).write_text(text, encoding="utf-8")
    return _finish(release, folder, kind="adapter", version=version, content_sha256=content_sha256)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def _finish(
    release: DatasetRelease | AdapterRelease, folder: Path, *, kind: str, version: int, content_sha256: str
) -> Path:
    record: dict[str, Any] = {
        "kind": kind,
        "repo": release.repo,
        "version": version,
        "content_sha256": content_sha256,
        "configs": release.configs,
        "inputs": release.inputs,
        "files": _digests(folder),
    }
    write(folder / RECORD, json.dumps(record, indent=1, sort_keys=True).encode())
    return folder


def _validate_configs(folder: Path, release: DatasetRelease) -> None:
    """Check what `load_dataset` would make of the card's configs; its own `validate` would call the Hub."""
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    try:
        data = DatasetCard((folder / CARD).read_text(encoding="utf-8")).data
        configs = MetadataConfigs.from_dataset_card_data(data)  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError, ValidationError) as error:
        raise M2VError(f"{folder / CARD}: `datasets` refuses its configs: {str(error).splitlines()[0]}") from error
    named = {name: [entry["path"] for entry in config["data_files"]] for name, config in configs.items()}
    wanted = {
        part.name: list(card.data_files(part.name, rows).values())
        for part, rows in zip(release.parts, release.rows, strict=True)
    }
    if named != wanted or not all((folder / path).is_file() for paths in named.values() for path in paths):
        raise M2VError(f"{folder / CARD}: its configs {sorted(named)} are not the release's {sorted(wanted)}.")
