"""Publishing: a folder becomes one commit and one tag on the Hub, or nothing that has a tag.

The client retries some calls by itself and not others, an answer of 500 may hide a commit that was made, and a commit
without changes checks no parent (measured with huggingface-hub 2.4). So nothing is concluded from how a call ended:
after each failure that may pass, the repository is read again and the next step follows from what is there.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from m2v.errors import DamagedUpload, HubError, VersionConflict
from m2v.files.digests import file_sha256
from m2v_resources.hub.client import CARD, RECORD, Hub, Kind, RepositoryState, Settings
from m2v_resources.hub.hub_errors import Passing, translated

N_ATTEMPTS = 6


@dataclass(frozen=True)
class Upload:
    """What is to be a repository's newest version.

    Attributes:
        content_sha256: Of what a reader would call the content; versions of equal content are one version.
        build: Makes the folder to upload, of a version's number and the card that is there; ``release.json`` in it says
            the version, the content, the configs and the other files' sha256.
    """

    repo: str
    kind: Kind
    content_sha256: str
    build: Callable[[int, str | None], Path]
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Published:
    """A version that is on the Hub, whole and tagged.

    Attributes:
        files: sha256 by path.
        record: What its ``release.json`` says.
        is_new: Whether this call put it there.
    """

    repo: str
    version: int
    commit: str
    published_at: datetime
    files: Mapping[str, str]
    record: Mapping[str, Any]
    is_new: bool

    @property
    def tag(self) -> str:
        """For example ``v2``."""
        return f"v{self.version}"


def publish(hub: Hub, upload: Upload) -> Published:
    """Make the upload the repository's newest version; give the one that is there if its content is equal.

    Raises:
        HubError: The Hub refused, or did not answer six times; what was tagged before still stands.
        VersionConflict: The repository holds something else.
        DamagedUpload: What the Hub holds is not what was sent; there is no tag on it.
    """
    problem: Passing | None = None
    for attempt in range(N_ATTEMPTS):
        if problem:
            time.sleep(max(hub.wait_s * 2 ** (attempt - 1), problem.retry_after_s))
        try:
            with translated(upload.repo, token=hub.api.token):
                return _attempt(hub, upload)
        except Passing as error:
            problem = error
    raise HubError(
        f"{upload.repo}: {N_ATTEMPTS} attempts failed, the last with: {problem}. Nothing new was tagged, unless that "
        "last answer hid it; run the same command again, which goes on from what is there."
    )


def newest(hub: Hub, upload: Upload, state: RepositoryState) -> tuple[int, Mapping[str, Any] | None]:
    """Return the number and the record of the repository's newest version; 0 and None where it has none.

    Raises:
        VersionConflict: The newest tag is on something else than that version.
    """
    version = max(state.tags, default=0)
    if not version:
        return 0, None
    record = hub.record(upload.repo, kind=upload.kind, revision=state.tags[version])
    if record is None or record["version"] != version:
        raise VersionConflict(
            f"{upload.repo}: tag v{version} is on something that M2V did not publish as v{version}. Delete the tag, or "
            "publish elsewhere: `--to user/name`."
        )
    return version, record


def _attempt(hub: Hub, upload: Upload) -> Published:
    repo, kind = upload.repo, upload.kind
    state = hub.state(repo, kind=kind)
    if state is None:
        hub.api.create_repo(repo, repo_type=kind, private=True, exist_ok=True)
        state = hub.state(repo, kind=kind)
        if state is None:
            raise HubError(f"{repo} was made and cannot be seen. Check that the token may read it.")
    _restrict(hub, upload, state.settings)
    version, record = newest(hub, upload, state)
    is_new = record is None or record["content_sha256"] != upload.content_sha256
    commit = _committed(hub, upload, state, version + 1) if is_new else state.tags[version]
    record = hub.record(repo, kind=kind, revision=commit)
    assert record is not None
    held = hub.digests(repo, kind=kind, revision=commit)
    _refuse_damage(repo, commit, record["files"], held)
    if is_new:
        hub.api.create_tag(repo, tag=f"v{version + 1}", revision=commit, repo_type=kind)
    state = hub.state(repo, kind=kind)
    if state and state.settings != upload.settings:
        wanted = upload.settings
        hub.api.update_repo_settings(repo, private=wanted.private, gated=wanted.gated, repo_type=kind)
    made_at = hub.api.list_repo_commits(repo, repo_type=kind, revision=commit)[0].created_at
    files = {path: held[path] for path in sorted([*record["files"], RECORD])}
    return Published(repo, record["version"], commit, made_at, files, record, is_new)


def _committed(hub: Hub, upload: Upload, state: RepositoryState, version: int) -> str:
    """Return the commit that holds this content as this version, made unless it is there already."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    repo, kind = upload.repo, upload.kind
    there = hub.record(repo, kind=kind, revision=state.head)
    present = hub.digests(repo, kind=kind, revision=state.head)
    identity = version, upload.content_sha256
    # An answer of 500, or a kill, hid from somebody that the commit had been made: it only lacks its tag. Where a
    # maintainer edited the card since, it is written again, with that edit.
    if there and (there["version"], there["content_sha256"]) == identity and there["files"].items() <= present.items():
        return state.head
    card = hub.read(repo, CARD, kind=kind, revision=state.head)
    folder = upload.build(version, card.decode() if card else None)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert (record["version"], record["content_sha256"]) == identity
    refuse_losing(repo, there, record)
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    gone = sorted((set(there["files"] if there else ()) & present.keys()) - paths.keys())
    made = hub.api.create_commit(
        repo,
        [
            *(CommitOperationAdd(path, paths[path]) for path in sorted(paths)),
            *(CommitOperationDelete(path) for path in gone),
        ],
        commit_message=f"Release v{version}",
        commit_description=f"content sha256 {upload.content_sha256}",
        repo_type=kind,
        parent_commit=state.head,
    )
    sent = {path: file_sha256(paths[path]) for path in paths}
    _refuse_damage(repo, made.oid, sent, hub.digests(repo, kind=kind, revision=made.oid))
    return made.oid


def _restrict(hub: Hub, upload: Upload, present: Settings) -> None:
    """Before anything is uploaded, the repository is at least as closed as wanted; it is opened after the tag."""
    wanted = upload.settings
    private = True if wanted.private and not present.private else None
    gated = wanted.gated if wanted.gated and present.gated != wanted.gated else None
    if private or gated:
        hub.api.update_repo_settings(upload.repo, private=private, gated=gated, repo_type=upload.kind)


def refuse_losing(repo: str, there: Mapping[str, Any] | None, record: Mapping[str, Any]) -> None:
    """Raise unless the release holds every config that is there.

    Raises:
        VersionConflict: It would take one out.
    """
    lost = sorted(set(there["configs"] if there else ()) - set(record["configs"]))
    if lost:
        raise VersionConflict(
            f"{repo} holds {', '.join(lost)}, which this release ({', '.join(record['configs'])}) would take out. Name "
            "all of them in one command, or publish elsewhere: `--to user/name`."
        )


def _refuse_damage(repo: str, commit: str, expected: Mapping[str, str], held: Mapping[str, str]) -> None:
    for path, digest in sorted(expected.items()):
        if held.get(path) != digest:
            what = f"has sha256 {held[path][:12]}…" if path in held else "is missing"
            raise DamagedUpload(
                f"{repo} at {commit[:12]}: {path} {what}, it must have {digest[:12]}…. No tag was set on it; delete "
                "that file on the Hub and publish again."
            )
