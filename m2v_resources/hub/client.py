"""The one door to the Hugging Face Hub: a signed-in client with explicit time-outs, and what a repository holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from m2v.errors import BadInput, NotSignedIn, VersionConflict
from m2v.files import documents
from m2v.files.digests import bytes_sha256
from m2v_resources.hub.hub_errors import translated

# Written last into every release: what it holds, so that a version can be judged from the Hub alone.
RECORD = "release.json"
CARD = "README.md"
TAG = re.compile(r"^v([1-9][0-9]*)$")
TIMEOUT_S = 60.0

Kind = Literal["dataset", "model"]


@dataclass(frozen=True)
class Settings:
    """Who may see a repository."""

    private: bool = True
    gated: Literal["manual", "auto", False] = "manual"


@dataclass(frozen=True)
class RepositoryState:
    """A repository as it is.

    Attributes:
        head: Commit of the main branch.
        tags: Commit by number of each version.
    """

    head: str
    tags: Mapping[int, str]
    settings: Settings


class Hub:
    """The client.

    Args:
        endpoint: The Hub's address; default: ``HF_ENDPOINT``, else the Hub itself.
        token: Default: ``HF_TOKEN``, or what `hf auth login` stored.
        timeout_s: For connecting, for each read and for each write.
        wait_s: Before the first repetition; it doubles each time.

    Raises:
        NotSignedIn: There is no token.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        wait_s: float = 1.0,
    ) -> None:
        import httpx2
        from huggingface_hub import HfApi, constants, get_token, set_client_factory

        secret = token or get_token()
        if not secret:
            raise NotSignedIn(
                "There is no Hugging Face token. Run `hf auth login`, or set HF_TOKEN to a token that may write."
            )

        def bounded(request: httpx2.Request) -> None:
            # Some of the client's calls ask for no time-out by name, which a default does not reach.
            asked = request.extensions.get("timeout", {})
            names = ("connect", "read", "write", "pool")
            request.extensions["timeout"] = {name: asked.get(name) or timeout_s for name in names}

        # Xet's uploader is a program of its own that knows neither our time-outs nor our client; LFS does the same.
        constants.HF_HUB_DISABLE_XET = True
        # The client's own default waits for ever. This is its only place for a time-out, and it is per process.
        set_client_factory(
            lambda: httpx2.Client(timeout=timeout_s, event_hooks={"request": [bounded]}, follow_redirects=True)
        )
        self.api = HfApi(endpoint=endpoint, token=secret, library_name="m2v")
        self.wait_s = wait_s

    def state(self, repo: str, *, kind: Kind) -> RepositoryState | None:
        """Return the repository as it is, or None where there is none that the token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with translated(repo, token=self.api.token):
            try:
                info = self.api.repo_info(repo, repo_type=kind)
                refs = self.api.list_repo_refs(repo, repo_type=kind)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 404:
                    return None
                raise
        tags = {int(match[1]): ref.target_commit for ref in refs.tags if (match := TAG.match(ref.name))}
        return RepositoryState(str(info.sha), tags, Settings(bool(info.private), info.gated or False))

    def read(self, repo: str, path: str, *, kind: Kind, revision: str) -> bytes | None:
        """Return a file at a revision, past every cache; None where it is not there."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        address = hf_hub_url(repo, path, repo_type=kind, revision=revision, endpoint=self.api.endpoint)
        with translated(repo, token=self.api.token):
            answer = get_session().get(address, headers=build_hf_headers(token=self.api.token))
            try:
                hf_raise_for_status(answer)
            except EntryNotFoundError:
                return None
            return answer.content

    def record(self, repo: str, *, kind: Kind, revision: str) -> Mapping[str, Any] | None:
        """Return what the release at a revision says of itself; None where there is none.

        Raises:
            VersionConflict: It is not as the platform writes it.
        """
        content = self.read(repo, RECORD, kind=kind, revision=revision)
        if content is None:
            return None
        try:
            record = documents.parsed_json(content, where=RECORD)
            known = {"version": int, "content_sha256": str, "configs": list, "files": dict}
            if not all(isinstance(record[name], dtype) for name, dtype in known.items()):
                raise TypeError
        except (BadInput, KeyError, TypeError) as error:
            raise VersionConflict(
                f"{repo} at {revision}: {RECORD} is not as M2V writes it. Restore that file, or publish elsewhere: "
                "`--to user/name`."
            ) from error
        return record

    def digests(self, repo: str, *, kind: Kind, revision: str) -> dict[str, str]:
        """Return the sha256 of every file at a revision: as the Hub's large storage says it, or of what it sends."""
        from huggingface_hub.hf_api import RepoFile

        with translated(repo, token=self.api.token):
            tree = self.api.list_repo_tree(repo, recursive=True, revision=revision, repo_type=kind)
            files = [entry for entry in tree if isinstance(entry, RepoFile)]
        digests = {}
        for file in files:
            # Of a file that is not in large storage the tree has git's hash, which is a SHA-1.
            content = b"" if file.lfs else self.read(repo, file.path, kind=kind, revision=revision)
            digests[file.path] = file.lfs.sha256 if file.lfs else bytes_sha256(content or b"")
        return digests

    def user(self) -> str:
        """Whose the token is."""
        with translated("your account", token=self.api.token):
            return self.api.whoami()["name"]
