"""The graph's door to releases: the folder that is uploaded, what it would change, and the rows that record it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import dagster as dg
import polars as pl

from m2v.errors import HubError, NotSignedIn
from m2v.programfiles import sha256
from m2v.publishing import folder
from m2v.publishing.adapter import AdapterRelease
from m2v.publishing.hub_rules import check_repository
from m2v.publishing.release import DatasetRelease
from m2v.schemas import Table
from m2v_resources.hub import RECORD, Hub, Settings
from m2v_resources.rows import rows_hash
from m2v_resources.uploads import Published, Upload, newest, publish, refuse_losing

Release = DatasetRelease | AdapterRelease


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
    """The rows of a config of a dataset release, each file verified against the release's record.

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
    configs = record["configs"]
    if config not in configs and (config or len(configs) > 1):
        raise HubError(f"{repo} has the configs {', '.join(configs)}; name one with --config.")
    below = f"data/{config or configs[0]}/"
    frames = []
    for path, digest in sorted(record["files"].items()):
        if path.startswith(below):
            content = hub.read(repo, path, kind="dataset", revision=known[wanted]) or b""
            frames.append(_parquet(content, digest, where=f"{repo}@{wanted}: {path}"))
    return pl.concat(frames)


def folder_rows(place: Path, *, config: str | None) -> pl.DataFrame:
    """The rows of a config in a folder that holds a release, for example of a dry run.

    Raises:
        HubError: It holds none, or a file is not the one that the release names.
    """
    if not (place / RECORD).is_file():
        raise HubError(f"{place} holds no release: it has no {RECORD}.")
    record = json.loads((place / RECORD).read_text(encoding="utf-8"))
    if config not in record["configs"] and (config or len(record["configs"]) > 1):
        raise HubError(f"{place} has the configs {', '.join(record['configs'])}; name one with --config.")
    below = f"data/{config or record['configs'][0]}/"
    files = {path: digest for path, digest in sorted(record["files"].items()) if path.startswith(below)}
    return pl.concat(
        [_parquet((place / path).read_bytes(), digest, where=str(place / path)) for path, digest in files.items()]
    )


def _parquet(content: bytes, digest: str, *, where: str) -> pl.DataFrame:
    import hashlib

    if hashlib.sha256(content).hexdigest() != digest:
        raise HubError(f"{where} is damaged: its sha256 is not the one that was published.")
    return pl.read_parquet(BytesIO(content))


def _digests(place: Path) -> dict[str, str]:
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): sha256(path) for path in paths}


def _row_changes(hub: Hub, upload: Upload, made: Path, *, before: str | None = None) -> dict[str, dict[str, list[str]]]:
    """By config, the ids that differ between the folder and the version at a commit."""
    if upload.kind != "dataset":
        return {}
    record = hub.record(upload.repo, kind="dataset", revision=before) if before else None
    found = {}
    for config in json.loads((made / RECORD).read_text(encoding="utf-8"))["configs"]:
        now = folder_rows(made, config=config)
        then = now.head(0)
        if record and config in record["configs"]:
            tag = f"v{record['version']}"
            then = published_rows(hub, upload.repo, config=config, tag=tag)
        found[config] = _changes(then, now)
    return found


def _changes(then: pl.DataFrame, now: pl.DataFrame) -> dict[str, list[str]]:
    added = now.join(then, on="meme_id", how="anti")["meme_id"]
    removed = then.join(now, on="meme_id", how="anti")["meme_id"]
    same = now.join(then, on=now.columns, how="semi", nulls_equal=True) if now.columns == then.columns else now.head(0)
    changed = now.join(same, on="meme_id", how="anti").join(then, on="meme_id", how="semi")["meme_id"]
    return {"added": sorted(added), "removed": sorted(removed), "changed": sorted(changed)}
