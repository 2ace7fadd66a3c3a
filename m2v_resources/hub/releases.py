"""The graph's door to releases: the folder that is uploaded, what it would change, and the rows that record it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Annotated

import dagster as dg
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from m2v.errors import BadInput, HubError, NotSignedIn
from m2v.files import documents, parquet
from m2v.files.digests import bytes_sha256, file_sha256
from m2v.publishing import folder
from m2v.publishing.adapter import AdapterRelease
from m2v.publishing.hub_rules import check_repository
from m2v.publishing.release import DatasetRelease
from m2v.schemas import Table
from m2v_resources.hub.client import RECORD, Hub, Settings
from m2v_resources.hub.uploads import Published, Upload, newest, publish, refuse_losing
from m2v_resources.store.rows import rows_hash

Release = DatasetRelease | AdapterRelease

# One of a million memes has some kilobytes: a line for each file.
MAX_RECORD_BYTES = 1 << 24


@dataclass(frozen=True)
class Preview:
    """What publishing would do.

    Attributes:
        version: The number that it would have, or has where nothing changed.
        folder: What would be uploaded; None where nothing changed.
        files: "added", "changed", "unchanged" or "removed" by path, compared with what is there.
        rows: By config, the ids that were added, removed or changed since the newest version.
        is_compared: Whether there was a token to ask the Hub with.
    """

    repo: str
    version: int
    folder: Path | None
    files: Mapping[str, str]
    rows: Mapping[str, Mapping[str, list[str]]]
    is_compared: bool = True


class Said(BaseModel):
    """What a release's record says, as far as it is read; anybody may have written it."""

    model_config = ConfigDict(strict=True, frozen=True)

    configs: Annotated[list[str], Field(min_length=1)]
    files: dict[str, str]


class Releases(dg.ConfigurableResource):
    """Folders of releases in ``<home>/releases/<repository>/<tag>``, and the Hub."""

    home: str

    def publish(self, release: Release, *, private: bool) -> Published:
        """Put the release on the Hub, unless its content is there as the newest version.

        Raises:
            HubError: See ``uploads.publish``.
        """
        return publish(Hub(), self._upload(release, private=private))

    def preview(self, release: Release, *, private: bool) -> Preview:
        """Write what would be uploaded and compare it with what is there; nothing on the Hub changes.

        Without a token it is compared with nothing, and no server is asked.

        Raises:
            RefusedName, RefusedCard: The Hub would not take it.
            HubError: The Hub cannot be read.
        """
        upload = self._upload(release, private=private)
        try:
            hub = Hub()
        except NotSignedIn:
            made = upload.build(1, None)
            return Preview(upload.repo, 1, made, dict.fromkeys(_digests(made), "added"), {}, is_compared=False)
        state = hub.state(upload.repo, kind=upload.kind)
        if state is None:
            made = upload.build(1, None)
            return Preview(
                upload.repo, 1, made, dict.fromkeys(_digests(made), "added"), _row_changes(hub, upload, made)
            )
        version, record = newest(hub, upload, state)
        if record and record["content_sha256"] == upload.content_sha256:
            return Preview(upload.repo, version, None, dict.fromkeys(record["files"], "unchanged"), {})
        card = hub.read(upload.repo, folder.CARD, kind=upload.kind, revision=state.head)
        made = upload.build(version + 1, card.decode() if card else None)
        there = hub.record(upload.repo, kind=upload.kind, revision=state.head)
        refuse_losing(upload.repo, there, json.loads((made / RECORD).read_text(encoding="utf-8")))
        held, ours = hub.digests(upload.repo, kind=upload.kind, revision=state.head), _digests(made)
        files = {
            path: "added" if path not in held else "unchanged" if held[path] == digest else "changed"
            for path, digest in ours.items()
        }
        files |= dict.fromkeys(sorted((set(there["files"] if there else ()) & held.keys()) - ours.keys()), "removed")
        before = state.tags[version] if version else None
        return Preview(upload.repo, version + 1, made, files, _row_changes(hub, upload, made, before=before))

    def _upload(self, release: Release, *, private: bool) -> Upload:
        check_repository(release.repo)
        is_dataset = isinstance(release, DatasetRelease)
        content = release.content_sha256(rows_hash) if is_dataset else release.content_sha256
        place = Path(self.home) / "releases" / ("datasets" if is_dataset else "adapters") / release.repo

        def build(version: int, card: str | None) -> Path:
            at = place / f"v{version}"
            about = {"version": version, "content_sha256": content, "existing_card": card}
            if isinstance(release, DatasetRelease):
                # To the day, so that what a dry run wrote is what is uploaded.
                today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
                return folder.write_dataset(release, at, **about, published_at=today)
            return folder.write_adapter(release, at, **about)

        gated = release.gated or False
        settings = Settings(private=private, gated=gated)  # pyright: ignore[reportArgumentType]
        return Upload(release.repo, "dataset" if is_dataset else "model", content, build, settings)


def recorded(published: Published, table: Table, *, name: str, before: pl.DataFrame) -> pl.DataFrame:
    """Rows of ``dataset_releases`` or ``adapter_releases`` with this version among them, sorted by key.

    Args:
        before: Rows that are there.
    """
    row = {
        "kind": table.name.removesuffix("_releases"),
        "name": name,
        "repo": published.repo,
        "version": published.version,
        "tag": published.tag,
        "commit": published.commit,
        "content_sha256": published.record["content_sha256"],
        "inputs": json.dumps(published.record["inputs"], sort_keys=True),
        "files": json.dumps(published.files, sort_keys=True),
        "published_at": published.published_at,
    }
    new = pl.DataFrame([row], schema=dict(table.columns))
    key = list(table.key)
    return pl.concat([before.join(new, on=key, how="anti"), new]).sort(key)


def published_rows(hub: Hub, repo: str, *, config: str | None, tag: str | None) -> pl.DataFrame:
    """Return the rows of a config of a dataset release, each file verified against the release's record.

    Args:
        config: May be left out where there is one.
        tag: Default: the newest version.

    Raises:
        HubError: No such repository, version or config, or a file is not the one that was published.
    """
    state = hub.state(repo, kind="dataset")
    if state is None or not state.tags:
        raise HubError(f"{repo} has no published version that your token may see. Check the name, or ask for access.")
    known = {f"v{number}": commit for number, commit in state.tags.items()}
    wanted = tag or f"v{max(state.tags)}"
    record = hub.record(repo, kind="dataset", revision=known[wanted]) if wanted in known else None
    if record is None:
        raise HubError(f"{repo} has no version {wanted}; it has {', '.join(sorted(known))}.")
    files = _files(record, config=config, where=repo)
    return _rows(
        (hub.read(repo, path, kind="dataset", revision=known[wanted]) or b"", digest, f"{repo}@{wanted}: {path}")
        for path, digest in files.items()
    )


def folder_rows(place: Path, *, config: str | None) -> pl.DataFrame:
    """Return the rows of a config in a folder that holds a release, for example of a dry run.

    Raises:
        HubError: It holds none, or a file is not the one that the release names.
    """
    if not (place / RECORD).is_file():
        raise HubError(f"{place} holds no release: it has no {RECORD}.")
    record = documents.read_json(place / RECORD, max_bytes=MAX_RECORD_BYTES)
    files = _files(record, config=config, where=str(place))
    return _rows((_content(place, path), digest, str(place / path)) for path, digest in files.items())


def _files(record: object, *, config: str | None, where: str) -> dict[str, str]:
    """Return the sha256 of each file of a config by path, from a record that anybody may have written.

    Raises:
        HubError: It is not as M2V writes it, has no such config, or names a file outside its folder.
    """
    try:
        release = Said.model_validate(record)
    except ValidationError as error:
        raise HubError(f"{where}: {RECORD} is not as M2V writes it. Get the release again from who made it.") from error
    configs = release.configs
    if config not in configs and (config or len(configs) > 1):
        raise HubError(f"{where} has the configs {', '.join(configs)}; name one with --config.")
    below = f"data/{config or configs[0]}/"
    files = {path: digest for path, digest in sorted(release.files.items()) if path.startswith(below)}
    for path in files:
        if any(part in {"", ".", ".."} for part in path.split("/")) or "\0" in path:
            raise HubError(f"{where}: {RECORD} names {path!r}, which is no file of a release. Nothing was read.")
    if not files:
        raise HubError(f"{where}: {RECORD} names no file of the config {config or configs[0]}; nothing can be read.")
    return files


def _content(place: Path, path: str) -> bytes:
    """Return the bytes of a file of a release.

    Raises:
        HubError: It cannot be read, or a link leads out of the folder.
    """
    try:
        file = (place / path).resolve(strict=True)
        if not file.is_relative_to(place.resolve()):
            raise HubError(f"{place / path} leads out of the release's folder. Nothing was read.")
        return file.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links lead nowhere"
        raise HubError(f"{place / path} cannot be read: {reason}. Get the release again.") from error


def _rows(files: Iterable[tuple[bytes, str, str]]) -> pl.DataFrame:
    """Return the rows of files, each given with its sha256 and where it lies.

    Raises:
        HubError: One is not what it should be.
    """
    frames: list[pl.DataFrame] = []
    for content, digest, where in files:
        frames.append(_parquet(content, digest, where=where))
        if frames[-1].schema != frames[0].schema or frames[0].schema.get("meme_id") != pl.String:
            raise HubError(f"{where} has other columns than a release, whose files have a `meme_id` and are alike.")
    return pl.concat(frames)


def _parquet(content: bytes, digest: str, *, where: str) -> pl.DataFrame:
    if bytes_sha256(content) != digest:
        raise HubError(f"{where} is damaged: its sha256 is not the one that was published.")
    try:
        return parquet.read(BytesIO(content), where=where)
    except BadInput as error:
        raise HubError(f"{where} is no parquet file. Get the release again from who made it.") from error


def _digests(place: Path) -> dict[str, str]:
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): file_sha256(path) for path in paths}


def _row_changes(hub: Hub, upload: Upload, made: Path, *, before: str | None = None) -> dict[str, dict[str, list[str]]]:
    """By config, the ids that differ between the folder and the version at a commit."""
    if upload.kind != "dataset":
        return {}
    record = hub.record(upload.repo, kind="dataset", revision=before) if before else None
    changes = {}
    for config in json.loads((made / RECORD).read_text(encoding="utf-8"))["configs"]:
        now = folder_rows(made, config=config)
        then = now.head(0)
        if record and config in record["configs"]:
            tag = f"v{record['version']}"
            then = published_rows(hub, upload.repo, config=config, tag=tag)
        changes[config] = _changes(then, now)
    return changes


def _changes(then: pl.DataFrame, now: pl.DataFrame) -> dict[str, list[str]]:
    added = now.join(then, on="meme_id", how="anti")["meme_id"]
    removed = then.join(now, on="meme_id", how="anti")["meme_id"]
    same = now.join(then, on=now.columns, how="semi", nulls_equal=True) if now.columns == then.columns else now.head(0)
    changed = now.join(same, on="meme_id", how="anti").join(then, on="meme_id", how="semi")["meme_id"]
    return {"added": sorted(added), "removed": sorted(removed), "changed": sorted(changed)}
