"""A server that speaks as much of the Hub's language as the real client needs, with faults on order.

Repositories are lists of commits, a commit is a mapping of paths to bytes. Large files go through the LFS protocol:
they are stored by sha256 when PUT, and a commit that names one that never came is refused, as on the Hub.
"""

import asyncio
import base64
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LARGE = (".parquet", ".safetensors", ".bin")
WRITER, READER = "hf_writer_of_vegetables", "hf_reader_of_vegetables"
USERS = {WRITER: "gardener", READER: "visitor"}


@dataclass
class Commit:
    id: str
    title: str
    files: dict[str, bytes]
    date: datetime


@dataclass
class Repo:
    commits: list[Commit]
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: Any = False

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        wanted = self.head.id if revision in {"main", "HEAD"} else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.id == wanted), None)


@dataclass
class Fault:
    """What goes wrong at one kind of call, the next ``times`` times.

    ``status`` is answered instead; with ``applied`` after the work was done. ``hang_s`` waits first. ``then`` is called
    before anything else, for what somebody else does meanwhile.
    """

    status: int = 0
    applied: bool = False
    hang_s: float = 0.0
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    then: Any = None


class HubServer:
    """The state, and the faults by name of the call: info, refs, preupload, batch, put, commit, tag, read, create."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.large: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.calls: dict[str, int] = defaultdict(int)
        self.corrupts = False
        self.endpoint = ""

    def dataset(self, name: str) -> Repo:
        return self.repos["dataset", name]

    def model(self, name: str) -> Repo:
        return self.repos["model", name]

    def edit(self, repo: Repo, path: str, content: str) -> None:
        """What a maintainer does in the browser."""
        self.commit(repo, {**repo.head.files, path: content.encode()}, "Edit")

    def commit(self, repo: Repo, files: dict[str, bytes], title: str) -> Commit:
        parent = repo.commits[-1].id if repo.commits else ""
        seed = f"{id(repo)}{len(repo.commits)}{parent}{title}"
        made = Commit(
            hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest(),
            title,
            files,
            datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=len(repo.commits)),
        )
        repo.commits.append(made)
        return made

    def app(self) -> Starlette:
        repo = "/api/{kind}s/{user}/{name}"
        files = "/{user}/{name}/resolve/{revision}/{path:path}"
        batch = "/{user}/{name}.git/info/lfs/objects/batch"
        return Starlette(
            routes=[
                Route("/api/whoami-v2", self._named("whoami", self.whoami)),
                Route("/api/validate-yaml", self._named("yaml", self.validate), methods=["POST"]),
                Route("/api/repos/create", self._named("create", self.create), methods=["POST"]),
                Route(f"{repo}/settings", self._named("settings", self.settings), methods=["PUT"]),
                Route(f"{repo}/refs", self._named("refs", self.refs)),
                Route(f"{repo}/preupload/{{revision}}", self._named("preupload", self.preupload), methods=["POST"]),
                Route(f"{repo}/commit/{{revision}}", self._named("commit", self.make_commit), methods=["POST"]),
                Route(f"{repo}/commits/{{revision}}", self._named("commits", self.commits)),
                Route(f"{repo}/tag/{{revision}}", self._named("tag", self.tag), methods=["POST"]),
                Route(f"{repo}/tree/{{revision}}", self._named("tree", self.tree)),
                Route(f"{repo}/tree/{{revision}}/{{path:path}}", self._named("tree", self.tree)),
                Route(f"{repo}/paths-info/{{revision}}", self._named("paths", self.paths_info), methods=["POST"]),
                Route(f"{repo}/revision/{{revision}}", self._named("info", self.info)),
                Route(repo, self._named("info", self.info)),
                Route(f"/datasets{batch}", self._named("batch", self.batch), methods=["POST"]),
                Route(batch, self._named("batch", self.batch), methods=["POST"]),
                Route("/large/{oid}", self._named("put", self.put), methods=["PUT"]),
                Route(f"/datasets{files}", self._named("read", self.resolve), methods=["GET", "HEAD"]),
                Route(files, self._named("read", self.resolve), methods=["GET", "HEAD"]),
            ]
        )

    def _named(self, name: str, endpoint: Any) -> Any:
        async def handled(request: Request) -> Response:
            self.calls[name] += 1
            fault = self.faults[name][0] if self.faults[name] else None
            if fault:
                fault.times -= 1
                if not fault.times:
                    self.faults[name].pop(0)
                if fault.then:
                    fault.then()
                await asyncio.sleep(fault.hang_s)
                if fault.status and not fault.applied:
                    return JSONResponse({"error": "as ordered"}, fault.status, fault.headers)
            if name != "put" and (refused := self._refused(request)):
                return refused
            answer = await endpoint(request)
            return JSONResponse({"error": "as ordered"}, fault.status) if fault and fault.status else answer

        return handled

    def _refused(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in USERS:
            return JSONResponse({"error": f"Invalid token {token}"}, 401)
        user = USERS.get(token)
        found = self._repo(request)
        owner = request.path_params.get("user")
        if found and found.private and user != owner:
            return error(404, "RepoNotFound")
        if request.method in {"POST", "PUT"} and owner and user != owner and "paths-info" not in request.url.path:
            return JSONResponse({"error": "You don't have the rights"}, 403)
        return None

    def _repo(self, request: Request) -> Repo | None:
        kind = request.path_params.get("kind") or ("dataset" if request.url.path.startswith("/datasets/") else "model")
        return self.repos.get((kind, f"{request.path_params.get('user')}/{request.path_params.get('name')}"))

    async def whoami(self, request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        return JSONResponse({"name": USERS[token], "type": "user", "orgs": [], "auth": {}})

    async def validate(self, request: Request) -> Response:
        content = (await request.json())["content"]
        try:
            data = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
        except yaml.YAMLError as problem:
            return JSONResponse({"errors": [{"message": str(problem)}], "warnings": []}, 400)
        problems = [] if isinstance(data, dict) and data.get("license") else [{"message": "license is required"}]
        return JSONResponse({"errors": problems, "warnings": []}, 400 if problems else 200)

    async def create(self, request: Request) -> Response:
        body = await request.json()
        token = request.headers["authorization"].removeprefix("Bearer ")
        user = USERS[token]
        owner = body.get("organization") or user
        if owner != user:
            return JSONResponse({"error": f"You don't have the rights to create there with {token}"}, 403)
        if body["name"].startswith("rotten"):
            return JSONResponse({"error": "This name is reserved"}, 400)
        kind, name = body.get("type", "model"), f"{owner}/{body['name']}"
        if (kind, name) in self.repos:
            return JSONResponse({"error": "You already created this repo", "url": f"{self.endpoint}/{name}"}, 409)
        repo = self.repos[kind, name] = Repo(
            [], private=body.get("visibility") == "private" or body.get("private", False)
        )
        self.commit(repo, {".gitattributes": b"*.parquet filter=lfs\n"}, "initial commit")
        return JSONResponse({"url": f"{self.endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"})

    async def settings(self, request: Request) -> Response:
        body, repo = await request.json(), self._found(request)
        repo.gated = body.get("gated", repo.gated)
        if "visibility" in body:
            repo.private = body["visibility"] == "private"
        return JSONResponse({})

    def _found(self, request: Request) -> Repo:
        repo = self._repo(request)
        assert repo
        return repo

    async def info(self, request: Request) -> Response:
        repo = self._repo(request)
        if repo is None:
            return error(404, "RepoNotFound")
        commit = repo.at(request.path_params.get("revision", "main"))
        if commit is None:
            return error(404, "RevisionNotFound")
        name = f"{request.path_params['user']}/{request.path_params['name']}"
        return JSONResponse(
            {
                "id": name,
                "sha": commit.id,
                "private": repo.private,
                "gated": repo.gated,
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
                "lastModified": stamp(commit.date),
            }
        )

    async def refs(self, request: Request) -> Response:
        repo = self._found(request)
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit} for tag, commit in repo.tags.items()]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.id}
        return JSONResponse({"branches": [main], "converts": [], "tags": tags})

    async def commits(self, request: Request) -> Response:
        repo = self._found(request)
        commit = repo.at(request.path_params["revision"])
        assert commit
        upto = repo.commits[: repo.commits.index(commit) + 1]
        return JSONResponse(
            [
                {"id": each.id, "title": each.title, "message": "", "authors": [], "date": stamp(each.date)}
                for each in upto[::-1]
            ]
        )

    async def tree(self, request: Request) -> Response:
        commit = self._found(request).at(request.path_params["revision"])
        if commit is None:
            return error(404, "RevisionNotFound")
        return JSONResponse(self._entries(commit, request.path_params.get("path", ""), request.query_params))

    def _entries(self, commit: Commit, below: str, query: Any) -> list[dict[str, Any]]:
        prefix = f"{below.strip('/')}/" if below.strip("/") else ""
        inside = {path for path in commit.files if path.startswith(prefix)}
        folders = {"/".join(path.split("/")[:depth]) for path in inside for depth in range(1, path.count("/") + 1)}
        folders = {each for each in folders if each.startswith(prefix)}
        if str(query.get("recursive", "")).lower() not in {"true", "1"}:
            inside = {path for path in inside if "/" not in path.removeprefix(prefix)}
            folders = {path for path in folders if "/" not in path.removeprefix(prefix)}
        listed = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
        return [*listed, *(entry(path, commit.files[path]) for path in sorted(inside))]

    async def paths_info(self, request: Request) -> Response:
        commit = self._found(request).at(request.path_params["revision"])
        if commit is None:
            return error(404, "RevisionNotFound")
        kind = request.headers.get("content-type", "")
        paths = (await request.json())["paths"] if "json" in kind else (await request.form()).getlist("paths")
        folders = {path for path in paths if any(each.startswith(f"{path}/") for each in commit.files)}
        listed = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
        return JSONResponse([*listed, *(entry(path, commit.files[path]) for path in paths if path in commit.files)])

    async def preupload(self, request: Request) -> Response:
        head = self._found(request).head
        answer = []
        for file in (await request.json())["files"]:
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            content = head.files.get(file["path"])
            oid = None if content is None else hashlib.sha256(content).hexdigest() if mode == "lfs" else blob(content)
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answer, "commitOid": head.id})

    async def batch(self, request: Request) -> Response:
        answer = []
        for each in (await request.json())["objects"]:
            action = {"upload": {"href": f"{self.endpoint}/large/{each['oid']}", "header": {}}}
            answer.append({**each, **({} if each["oid"] in self.large else {"actions": action})})
        return JSONResponse({"transfer": "basic", "objects": answer})

    async def put(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            return JSONResponse({"error": "other bytes"}, 400)
        self.large[request.path_params["oid"]] = content
        return Response()

    async def make_commit(self, request: Request) -> Response:
        repo, lines = self._found(request), [json.loads(line) for line in (await request.body()).splitlines() if line]
        header, files = lines[0]["value"], dict(repo.head.files)
        if header.get("parentCommit") and header["parentCommit"] != repo.head.id:
            return JSONResponse({"error": "A commit has happened since"}, 412)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.large:
                    return JSONResponse({"error": "LFS object is missing"}, 400)
                files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        if self.corrupts:
            files = {path: content + b"!" if path.endswith(LARGE) else content for path, content in files.items()}
        made = self.commit(repo, files, header["summary"])
        return JSONResponse(
            {"commitUrl": f"{self.endpoint}/x/y/commit/{made.id}", "commitOid": made.id, "success": True}
        )

    async def tag(self, request: Request) -> Response:
        repo, tag = self._found(request), (await request.json())["tag"]
        commit = repo.at(request.path_params["revision"])
        if commit is None:
            return error(404, "RevisionNotFound")
        if tag in repo.tags:
            return JSONResponse({"error": "Tag reference exists already"}, 409)
        repo.tags[tag] = commit.id
        return JSONResponse({})

    async def resolve(self, request: Request) -> Response:
        repo = self._repo(request)
        if repo is None:
            return error(404, "RepoNotFound")
        commit = repo.at(request.path_params["revision"])
        if commit is None:
            return error(404, "RevisionNotFound")
        content = commit.files.get(request.path_params["path"])
        if content is None:
            return error(404, "EntryNotFound")
        etag = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        span = request.headers.get("range", "")
        if span.startswith("bytes="):
            start, _, end = span.removeprefix("bytes=").partition("-")
            last = min(int(end) if end else len(content) - 1, len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
            return Response(content[int(start) : last + 1], 206, headers)
        return Response(content, headers=headers, media_type="application/octet-stream")


def entry(path: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "oid": blob(content), "size": len(content), "path": path}
    if path.endswith(LARGE):
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return found


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def stamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def error(status: int, code: str) -> Response:
    return JSONResponse({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})


@contextmanager
def serving() -> Iterator[HubServer]:
    """The server on a free port of this machine, in a thread, until the block ends."""
    state = HubServer()
    server = uvicorn.Server(uvicorn.Config(state.app(), port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    state.endpoint = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield state
    server.should_exit = True
    thread.join()
