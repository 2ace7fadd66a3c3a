"""Real accounts on a real Label Studio, who answer over HTTP as a browser would."""

import re
import uuid
from pathlib import Path
from typing import Any

import httpx

from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer, LabelStudioAddress
from tests.patience import PATIENCE_S

PASSWORD = "leek-and-potato-soup"


class Person:
    """Somebody who opened an account through the invitation."""

    def __init__(self, url: str, token: str, number: int, email: str) -> None:
        self.url, self.token, self.number, self.email = url, token, number, email
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=PATIENCE_S)

    def next_item(self, project_id: int) -> httpx.Response:
        return self.http.get(f"/api/projects/{project_id}/next")

    def answer(self, task_id: int, *labels: str, **fields: Any) -> httpx.Response:
        result = [choices("label", label) for label in labels]
        return self.http.post(f"/api/tasks/{task_id}/annotations/", json={"result": result, "lead_time": 4.0, **fields})

    def skip(self, task_id: int, reason: str) -> httpx.Response:
        return self.http.post(f"/api/tasks/{task_id}/annotations/", json={"result": [choices("skip", reason)]})

    def session(self) -> httpx.Client:
        """Logged in with a password and a cookie, as a browser is."""
        browser = httpx.Client(base_url=self.url, follow_redirects=True, timeout=PATIENCE_S)
        browser.get("/user/login/")
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "email": self.email, "password": PASSWORD}
        browser.post("/user/login/", data=form, headers={"Referer": self.url}).raise_for_status()
        return browser

    def edit(self, annotation_id: int, label: str) -> httpx.Response:
        return self.http.patch(f"/api/annotations/{annotation_id}/", json={"result": [choices("label", label)]})


def choices(name: str, *values: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(values)}}


def owner(home: Path) -> Person:
    """The platform's own account, which may do what it likes."""
    found = address(home)
    return Person(found.url, found.token, AnnotationServer(found).check(), "")


def join(home: Path, link: str | None = None) -> Person:
    """A new annotator, through the invitation, the sign-up form and its CSRF token."""
    found: LabelStudioAddress = address(home)
    link = link or AnnotationServer(found).invitation()
    email = f"{uuid.uuid4().hex[:10]}@garden.example"
    with httpx.Client(base_url=found.url, follow_redirects=True, timeout=PATIENCE_S) as browser:
        page = browser.get(link)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "email": email, "password": PASSWORD}
        form |= {"how_find_us": "", "allow_newsletters": "false"}
        browser.post(link, data=form, headers={"Referer": link}).raise_for_status()
        key = browser.get("/api/current-user/token").json()["token"]
        number = browser.get("/api/current-user/whoami").json()["id"]
    return Person(found.url, key, number, email)
