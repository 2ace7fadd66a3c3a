"""The one door to Label Studio: its SDK, with what the SDK gets wrong mended.

The SDK repeats POSTs after a failure, though the server may have done the work; it prints response headers, the
session cookie among them, in its errors; and a project that is deleted while its tasks are listed ends the listing as
if it were complete. Here nothing that writes is repeated, an error says status and detail only, and listings are
counted.
"""

import hashlib
import hmac
import html
import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

from m2v.annotation.answers import RAW_COLUMNS, raw_row
from m2v.annotation.rounds import config_sha256
from m2v.errors import LabelStudioError, Refused, Unreachable

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

TIMEOUT_S = 60.0
# 3,000 memes: 3.8 s in batches of 100, 2.4 s of 500, 1.9 s at once; a batch is also what a failure may leave behind.
BATCH = 500
PAGE = 500
# Of ids and times only.
BARE_PAGE = 10_000
# They stand in the address, which web servers cut off somewhere between 8 and 64 kB.
IDS_PER_QUERY = 500
N_ATTEMPTS = 3
UID = "m2v-round:"
WARNING = (
    "Content warning: the items may attack people for who they are. The first is covered until you choose how to see "
    "it; the next ones come as you chose. Skip what is too much and stop when you like; nobody counts either against "
    "you."
)


@dataclass(frozen=True)
class Project:
    """A project on the server, which is a round there."""

    project_id: int
    title: str
    config_sha256: str
    n_tasks: int
    n_annotations: int


@dataclass(frozen=True)
class AnnotationTask:
    """An item on the server."""

    task_id: int
    item_key: str
    n_annotations: int


@dataclass(frozen=True)
class LabelStudioAddress:
    """Where the server is, and how we may enter.

    Attributes:
        salt: Keeps pseudonyms from being guessed; ours, the server does not know it.
    """

    url: str
    token: str
    salt: str

    def __repr__(self) -> str:
        return f"Address({self.url})"


class AnnotationServer:
    """A Label Studio server, as the platform's own account sees it."""

    def __init__(self, address: LabelStudioAddress) -> None:
        self.address = address
        self.clock: datetime | None = None
        """What the server's clock said with its last answer, to the second."""
        self._sdk: LabelStudio | None = None

    def check(self) -> int:
        """Check that Label Studio answers there and knows us; return the id of our account.

        Raises:
            LabelStudioError: Nobody, or somebody else, answers; the token is wrong or expired.
        """
        version = self._json("GET", "api/version")
        if not isinstance(version, dict) or "label-studio-os-backend" not in version:
            raise LabelStudioError(
                f"What answers at {self.address.url} is not Label Studio. Another program has its port; stop that one, "
                "or start Label Studio on another port and set LABEL_STUDIO_URL."
            )
        return int(self._json("GET", "api/current-user/whoami")["id"])

    def pseudonym(self, user_id: int) -> str:
        """Return what an account is called outside the server: the same for one server and home, and no name."""
        message = f"{self.address.url}:{user_id}".encode()
        digest = hmac.new(self.address.salt.encode(), message, hashlib.sha256).hexdigest()
        return f"annotator-{digest[:10]}"

    def accounts(self) -> dict[int, str]:
        """E-mail addresses of the accounts on the server by their ids, in the order of these."""
        return dict(sorted((int(user["id"]), str(user["email"])) for user in self._json("GET", "api/users/")))

    def invitation(self, *, is_new: bool = False) -> str:
        """Return the link under which an annotator opens an account, at the address that annotators see.

        Args:
            is_new: Make one; those before it open no account any more.
        """
        shown = os.environ.get("M2V_LABEL_STUDIO_URL") or self.address.url
        found = self._json("POST", "api/invite/reset-token") if is_new else self._json("GET", "api/invite")
        return shown.rstrip("/") + str(found["invite_url"])

    def projects(self, uid: str) -> list[Project]:
        """Projects of a round, the oldest first; more than one where two platforms opened it at once."""
        rows = self._pages("api/projects/", {"page_size": 100})
        ours = [_project(row) for row in rows if row.get("description") == UID + uid]
        return sorted(ours, key=lambda project: project.project_id)

    def project(self, project_id: int) -> Project | None:
        """Return a project by id, None where it is gone."""
        try:
            return _project(self._json("GET", f"api/projects/{project_id}/"))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def create_project(self, *, title: str, uid: str, config: str, guideline: str, overlap: int) -> Project:
        """Return a new project. Not repeated on any failure: look it up before trying again."""
        row = self._json(
            "POST",
            "api/projects/",
            body={
                "title": title[:50],
                "description": UID + uid,
                "label_config": config,
                # Shown as HTML before the first item.
                "expert_instruction": f"<p>{WARNING}</p><p>{html.escape(guideline).replace(chr(10), '<br>')}</p>",
                "show_instruction": True,
                "maximum_annotations": overlap,
                "sampling": "Uniform sampling",
                "show_skip_button": True,
                "skip_queue": "REQUEUE_FOR_OTHERS",
                "show_collab_predictions": False,
                "enable_empty_annotation": False,
            },
        )
        return _project(row)

    def delete_empty_project(self, project: Project) -> None:
        """Delete a project that nobody answered in.

        Raises:
            LabelStudioError: It holds annotations.
        """
        row = self._json("GET", f"api/projects/{project.project_id}/")
        if row.get("total_annotations_number"):
            raise LabelStudioError(
                f"Project {project.project_id} on {self.address.url} belongs to the same round as another one and "
                "holds answers. Move them by hand, or delete the one that is to go."
            )
        self._json("DELETE", f"api/projects/{project.project_id}/")

    def serve_media(self, project_id: int, place: str) -> None:
        """Let the project show images below a folder of the server, or below ``s3://bucket/prefix``.

        For S3 the keys come from ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, another endpoint from
        ``AWS_ENDPOINT_URL``; the server keeps them. Our guard streams images to annotators;
        without it they get links that expire.
        """
        if place.startswith("s3://"):
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            keys = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
            about = {name: os.environ.get(variable) for name, variable in keys.items()}
            about |= {"s3_endpoint": os.environ.get("AWS_ENDPOINT_URL"), "bucket": bucket, "prefix": prefix or None}
            kind, where = "s3", {"bucket": bucket}
        else:
            kind, where = "localfiles", {"path": str(Path(place).resolve())}
            about = where
        known = self._json("GET", f"api/storages/{kind}", query={"project": project_id})
        if not any(where.items() <= hook.items() for hook in known):
            body = {"project": project_id, "use_blob_urls": True, "title": "media", **about}
            self._json("POST", f"api/storages/{kind}", body=body)

    def check_media(self, project_id: int, address: str) -> None:
        """Check that the server gives out what an item names, as the item names it.

        Raises:
            Refused: It does not.
        """
        if not address.startswith("s3://"):
            path, _, query = address.lstrip("/").partition("?d=")
            self._answer("GET", path, query={"d": unquote(query)})
            return
        encoded = urlsafe_b64encode(address.encode()).decode()
        self._answer("GET", f"projects/{project_id}/resolve/", query={"fileuri": encoded})

    def tasks(self, project_id: int) -> list[AnnotationTask]:
        """Every task of a project, counted against what the server says."""
        rows = self._tasks(project_id, {"fields": "task_only", "include": "id,data,total_annotations"})
        return [_task(row) for page in rows for row in page]

    def import_items(self, project_id: int, items: Sequence[Mapping[str, Any]]) -> None:
        """Import one batch. Not repeated on any failure: the server may have done it."""
        self._json(
            "POST",
            f"api/projects/{project_id}/import",
            query={"return_task_ids": "true"},
            body=[{"data": dict(item)} for item in items],
        )

    def delete_tasks(self, project_id: int, task_ids: Sequence[int]) -> None:
        """Delete tasks, all in one request: one by one, a tenth of a second each."""
        body = {"selectedItems": {"all": False, "included": [*task_ids]}}
        self._json("POST", "api/dm/actions", query={"id": "delete_tasks", "project": project_id}, body=body)

    def set_overlap(self, task_id: int, overlap: int) -> None:
        """How many annotations a task takes before the label stream passes it over."""
        self._json("PATCH", f"api/tasks/{task_id}/", body={"overlap": overlap})

    def changed(self, project_id: int, *, since: datetime | None) -> dict[int, datetime]:
        """When each task was last changed, for those that changed after ``since``; without it, for all."""
        query: dict[str, Any] = {"ordering": ["tasks:id"]}
        if since:
            stamp = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            query |= _filter("updated_at", "greater", stamp, "Datetime")
        about = {"fields": "task_only", "include": "id,updated_at", "query": json.dumps(query)}
        pages = self._tasks(project_id, about, page_size=BARE_PAGE)
        return {int(row["id"]): datetime.fromisoformat(row["updated_at"]) for page in pages for row in page}

    def annotations(self, project: Project, task_ids: Sequence[int]) -> Iterator[pl.DataFrame]:
        """Yield the annotations of these tasks, a few hundred tasks at a time: rows of ``RAW_COLUMNS``."""
        for start in range(0, len(task_ids), IDS_PER_QUERY):
            wanted = _filter("id", "in_list", task_ids[start : start + IDS_PER_QUERY], "Number")
            query = json.dumps(wanted, separators=(",", ":"))
            for page in self._tasks(project.project_id, {"fields": "all", "query": query}):
                yield self._raw(page, project)

    def _raw(self, page: list[dict[str, Any]], project: Project) -> pl.DataFrame:
        rows = [
            raw_row(
                annotation,
                task["data"],
                project_id=project.project_id,
                config_sha256=project.config_sha256,
                pseudonym=self.pseudonym,
            )
            for task in page
            for annotation in task["annotations"]
        ]
        return pl.DataFrame(rows, schema=RAW_COLUMNS)

    def _tasks(
        self, project_id: int, query: Mapping[str, Any], *, page_size: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        n_seen, page = 0, 1
        while True:
            listed = self._json(
                "GET", "api/tasks/", query={"project": project_id, "page": page, "page_size": page_size, **query}
            )
            rows = listed["tasks"]
            n_seen += len(rows)
            yield rows
            if n_seen >= listed["total"]:
                return
            if not rows:
                raise LabelStudioError(
                    f"Project {project_id} on {self.address.url} listed {n_seen} of {listed['total']} tasks, then no "
                    "more; it was changed or deleted meanwhile. Run the command again."
                )
            page += 1

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            listed = self._json("GET", path, query={**query, "page": page})
            yield from listed["results"]
            if not listed.get("next"):
                return
            page += 1

    def _json(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        content = self._answer(method, path, query=query, body=body)
        return json.loads(content) if content else None

    def _answer(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> bytes:
        import httpx

        n_attempts = N_ATTEMPTS if method == "GET" else 1
        for attempt in range(1, n_attempts + 1):
            try:
                response = self._client().request(
                    path, method=method, params=dict(query or {}), json=body, request_options={"max_retries": 0}
                )
            except httpx.HTTPError as error:
                if attempt < n_attempts:
                    time.sleep(0.2 * attempt)
                    continue
                raise unreachable(self.address.url, error) from None
            if response.status_code < 400:
                self.clock = _date(response.headers.get("date"))
                return response.content
            if response.status_code < 500 or attempt == n_attempts:
                raise self._refused(method, path, response.status_code, response.content)
            time.sleep(0.2 * attempt)
        raise AssertionError

    def _client(self) -> Any:
        if self._sdk is None:
            from label_studio_sdk.client import LabelStudio

            self._sdk = LabelStudio(base_url=self.address.url, api_key=self.address.token, timeout=TIMEOUT_S)
        # Its own requests, with its authentication and none of its repetitions.
        return self._sdk._client_wrapper.httpx_client

    def _refused(self, method: str, path: str, status: int, content: bytes) -> Refused:
        where = f"{self.address.url.rstrip('/')}/{path}"
        if status == 401:
            hint = "Its token is wrong or expired: set LABEL_STUDIO_TOKEN to a new one (Account & Settings)."
        elif status == 404:
            hint = "It is gone, or another program answers there."
        else:
            hint = f"It said: {_detail(content)}"
        return Refused(f"Label Studio answered {status} to {method} {where}. {hint}", status=status)


def unreachable(url: str, error: Exception) -> Unreachable:
    """Return the error for a server that does not answer, without anything that the request held."""
    return Unreachable(
        f"Label Studio at {url} did not answer ({type(error).__name__}). Start it with `make label-studio`, or set "
        "LABEL_STUDIO_URL to where it runs, then run the command again; nothing is asked or counted twice."
    )


def before(moment: datetime | None, *, seconds: float) -> datetime | None:
    """Return a while earlier."""
    return moment - timedelta(seconds=seconds) if moment else None


def batches(items: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Mapping[str, Any]]]:
    """Items in imports of ``BATCH``."""
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _filter(field: str, operator: str, value: Any, kind: str) -> dict[str, Any]:
    condition = {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}
    return {"filters": {"conjunction": "and", "items": [condition]}}


def _project(row: Mapping[str, Any]) -> Project:
    return Project(
        project_id=int(row["id"]),
        title=str(row.get("title")),
        config_sha256=config_sha256(row.get("label_config") or "<View/>"),
        n_tasks=int(row.get("task_number") or 0),
        n_annotations=sum(int(row.get(f"{kind}_annotations_number") or 0) for kind in ("total", "skipped")),
    )


def _date(said: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(said or "").astimezone(UTC)
    except ValueError:
        return None


def _task(row: Mapping[str, Any]) -> AnnotationTask:
    return AnnotationTask(int(row["id"]), str(row["data"].get("item_key")), int(row.get("total_annotations") or 0))


def _detail(content: bytes) -> str:
    """Return what the server said of an error, without what we sent: the detail of its JSON, at most 200 characters."""
    try:
        answer = json.loads(content)
    except ValueError:
        return "nothing in JSON."
    return str(answer.get("detail", "no detail"))[:200] if isinstance(answer, dict) else "no detail."
