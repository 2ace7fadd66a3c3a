"""Labelling in a real browser, by hotkey, as an annotator does."""

import base64
import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from m2v.annotation.answers import parsed
from m2v.files.checkout import CHECKOUT
from m2v_resources.annotators.rounds import address
from tests.m2v_resources.annotators.asking import plan, project_id, question, rounds
from tests.people import PASSWORD, Person, join, owner

HOSTILE = "<script>document.title = 'gone'</script><b id='bold'>leeks</b> are on sale again"


def logged_in(page: Page, home: Path) -> Person:
    person = join(home)
    page.goto(f"{address(home).url}/user/login/")
    page.fill("#email", person.email)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/user/login" not in url)
    return person


def labelling(page: Page, url: str, project: int) -> None:
    page.goto(f"{url}/projects/{project}/data?labeling=1")
    expect(page.get_by_text("Content warning:")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Content warning:")).to_be_hidden()


def press(page: Page, key: str, heard: Callable[[], None]) -> None:
    """Press a key until the page has heard it: while it loads, or a warning fades, it hears none."""
    for _ in range(12):
        page.keyboard.press(key)
        with contextlib.suppress(AssertionError):
            return heard()
    return heard()


def chosen(page: Page, choice: str) -> Callable[[], None]:
    return lambda: expect(page.locator(f'input[name="{choice}"]')).to_be_checked()


def submitted(page: Page) -> None:
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/annotations" in answer.url) as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.status == 201


def url_of(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png() -> str:
    _, made = cv2.imencode(".png", np.full((64, 64, 3), 200, np.uint8))
    return url_of("image/png", made.tobytes())


def webm(path: Path) -> str:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 10, (64, 64))
    for frame in range(20):
        film.write(np.full((64, 64, 3), 10 * frame, np.uint8))
    film.release()
    return url_of("video/webm", path.read_bytes())


def test_an_annotator_labels_by_hotkey_behind_a_content_warning(page: Page, label_studio: Path) -> None:
    found = rounds(label_studio, "browser")
    guideline = "The label is “insulting”.\nIt fits: vegetables are attacked for what they are."
    (this,) = found.open(plan(n_annotators=1), question({"leek": HOSTILE}, guideline=guideline))
    asked_for: list[str] = []
    url = address(label_studio).url
    page.on("request", lambda request: asked_for.append(request.url))
    logged_in(page, label_studio)
    labelling(page, url, project_id(found, this))
    item = page.locator(".m2v-item")
    expect(page.get_by_text("It fits: vegetables are attacked").first).to_be_visible()
    expect(item).to_be_hidden()  # the warning comes first
    press(page, "b", lambda: expect(item).to_be_visible())
    expect(item).to_have_css("filter", re.compile("blur"))
    press(page, "g", lambda: expect(item).to_have_css("filter", re.compile("grayscale")))
    press(page, "p", lambda: expect(item).to_have_css("filter", "none"))
    assert HOSTILE in item.inner_text()
    assert page.locator("#bold").count() == 0
    assert page.title() != "gone"
    for key, choice in {"1": "yes, it fits", "9": "sure"}.items():
        press(page, key, chosen(page, choice))
    submitted(page)
    found.pull()
    assert found.ledger.judged(this).answers.select("label", "confidence").rows() == [(True, 3)]
    assert [each for each in asked_for if not each.startswith((url, "data:", "blob:"))] == []


def test_an_annotator_skips_by_hotkey_and_says_why(page: Page, label_studio: Path) -> None:
    found = rounds(label_studio, "skipping")
    (this,) = found.open(plan(n_annotators=1), question({"leek": "two leeks walk into a bar"}))
    logged_in(page, label_studio)
    labelling(page, address(label_studio).url, project_id(found, this))
    press(page, "h", chosen(page, "skip, harmful to me"))
    submitted(page)
    found.pull()
    judged = found.ledger.judged(this)
    assert (judged.answers.height, judged.skips["reason"].to_list()) == (0, ["harmful"])


@pytest.mark.parametrize("name", ["meme.xml", "video.xml"])
def test_both_configs_work_by_hotkey(page: Page, label_studio: Path, tmp_path: Path, name: str) -> None:
    us, config = owner(label_studio), (CHECKOUT / "label_studio" / name).read_text(encoding="utf-8")
    made = us.http.post("/api/projects/", json={"title": name, "label_config": config})
    assert made.status_code == 201, made.text
    project = made.json()["id"]
    image, video = png(), webm(tmp_path / "leeks.webm")
    data = {"item_key": name, "text": "two leeks", "definition": "insults", "image": image, "video": video}
    us.http.post(f"/api/projects/{project}/import", json=[{"data": data}]).raise_for_status()
    logged_in(page, label_studio)
    page.goto(f"{address(label_studio).url}/projects/{project}/data?labeling=1")
    expect(page.locator(".m2v-item")).to_be_attached()
    expect(page.locator(".m2v-item")).to_be_hidden()
    for key, choice in {"g": "greyscale", "2": "no, it does not", "7": "unsure"}.items():
        press(page, key, chosen(page, choice))
    submitted(page)
    (task,) = us.http.get("/api/tasks", params={"project": project, "fields": "all"}).json()["tasks"]
    (annotation,) = task["annotations"]
    said = parsed(annotation["result"])
    assert (said["labels"], said["confidence"], said["skips"]) == (["negative"], 1, [])
