"""Labelling in a real browser, by hotkey, as an annotator does."""

import base64
import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from m2v.annotation.answers import parsed
from m2v.files.checkout import CHECKOUT
from m2v_resources.annotators import pictures
from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio_server import PROGRAM
from tests.m2v_resources.annotators.asking import plan, project_id, question, rounds
from tests.patience import PATIENCE_S
from tests.people import PASSWORD, Person, join, owner

# A key that a page has heard does its work in less; else it is pressed again.
HEARD_MS = 5_000
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


def press(page: Page, key: str, heard: Callable[[int], None]) -> None:
    """Press a key until the page has heard it: while it loads, or a warning fades, it hears none.

    Args:
        heard: Given how many ms to wait for what the key does, raises ``AssertionError`` where it is not there.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        page.keyboard.press(key)
        with contextlib.suppress(AssertionError):
            return heard(HEARD_MS)
    return heard(HEARD_MS)


def chosen(page: Page, choice: str) -> Callable[[int], None]:
    return lambda wait_ms: expect(page.locator(f'input[name="{choice}"]')).to_be_checked(timeout=wait_ms)


def submitted(page: Page) -> None:
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/annotations" in answer.url) as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.status == 201


def url_of(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png(width: int = 64, height: int = 64) -> str:
    _, made = cv2.imencode(".png", np.full((height, width, 3), 200, np.uint8))
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
    press(page, "a", lambda wait_ms: expect(item).to_be_visible(timeout=wait_ms))
    expect(item).to_have_css("filter", "none")  # what is blurred is the picture, so that the text can be judged
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
    press(page, "x", chosen(page, "skip, harmful to me"))
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
    for key, choice in {"s": "greyscale", "2": "no, it does not", "7": "unsure"}.items():
        press(page, key, chosen(page, choice))
    submitted(page)
    (task,) = us.http.get("/api/tasks", params={"project": project, "fields": "all"}).json()["tasks"]
    (annotation,) = task["annotations"]
    said = parsed(annotation["result"])
    assert (said["labels"], said["confidence"], said["skips"]) == (["negative"], 1, [])


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (390, 844)])
def test_ten_pictures_are_judged_with_two_keys_each(page: Page, label_studio: Path, size: tuple[int, int]) -> None:
    us, config = owner(label_studio), (CHECKOUT / "label_studio" / "meme.xml").read_text(encoding="utf-8")
    about = {"title": f"ten at {size[0]}", "description": f"m2v-round:{size[0]}", "label_config": config}
    project = us.http.post("/api/projects/", json=about).json()["id"]
    shapes = [(64, 64), (1600, 900), (600, 1800), (900, 900), (1200, 300)]
    items = [
        {
            "item_key": str(n),
            "text": "vegetables are on sale again, " * (1 + n % 3),
            "definition": "The label is “insulting”.\nIt fits: vegetables are attacked for what they are.\nElse: not.",
            "image": pictures.NONE if n == 5 else png(*shapes[n % 5]),
        }
        for n in range(10)
    ]
    us.http.post(f"/api/projects/{project}/import", json=[{"data": item} for item in items]).raise_for_status()
    person = logged_in(page, label_studio)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"{address(label_studio).url}/projects/{project}/data?labeling=1")
    errors: list[str] = []
    page.on("response", lambda answer: errors.append(answer.url) if answer.status == 403 else None)
    expect(page.locator(".m2v-item")).to_be_hidden()
    press(page, "a", chosen(page, "blurred"))
    picture, answer = page.locator(".m2v-picture img"), page.locator(".m2v-answer")
    n_pictures = 0
    for n in range(10):
        expect(page.locator(".m2v-cover input[name='blurred']")).to_be_checked()
        expect(page.locator(".m2v-item")).to_be_visible()
        if picture.get_attribute("src") == pictures.NONE:
            expect(picture).to_be_hidden()
        else:
            n_pictures += 1
            expect(page.locator(".m2v-picture")).to_have_css("filter", re.compile("blur"))
            wait_until(page, lambda: (picture.bounding_box() or {"height": 0})["height"] > 50)
            shown, asked = picture.bounding_box(), answer.bounding_box()
            assert shown
            assert asked
            assert shown["height"] <= 0.6 * size[1]
            assert shown["width"] >= min(0.15 * size[1], 130), "a small picture in a huge frame"
            if size[0] > 760:
                assert shown["x"] + shown["width"] <= asked["x"]
                assert asked["y"] + asked["height"] <= size[1] - 49, "the question is above the fold"
            assert shown["x"] + shown["width"] <= size[0]
        key, choice = [("1", "yes, it fits"), ("2", "no, it does not"), ("x", "skip, harmful to me")][n % 3]
        press(page, key, chosen(page, choice))
        submitted(page)
        expect(page.locator(f'.m2v-answer input[name="{choice}"]:checked')).to_have_count(0)
    assert n_pictures == 9
    assert errors == []
    tasks = us.http.get("/api/tasks", params={"project": project, "fields": "all", "page_size": 20}).json()["tasks"]
    said = [parsed(each["result"]) for task in tasks for each in task["annotations"]]
    assert sorted((each["labels"] + each["skips"])[0] for each in said) == sorted(
        ["positive", "negative", "harmful"] * 3 + ["positive"]
    )
    assert person.number != us.number


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"it did not come about in {PATIENCE_S:.0f} s")


@pytest.mark.parametrize("name", ["meme.xml", "video.xml"])
def test_no_key_is_one_that_the_server_uses_itself(name: str) -> None:
    scripts = PROGRAM.parent.parent.glob("lib/*/site-packages/web/dist/apps/labelstudio/*.js")
    named = re.compile(r'"[a-z]+:[a-z0-9-]+":\s*\{\s*"key":\s*"([^"]+)"')
    theirs = {key.lower() for path in scripts for key in named.findall(path.read_text(encoding="utf-8"))}
    ours = re.findall('hotkey="(.)"', (CHECKOUT / "label_studio" / name).read_text(encoding="utf-8"))
    assert {"h", "v", "ctrl+enter"} <= theirs
    assert len(ours) == len(set(ours)) == 10
    assert not theirs & set(ours)


def test_an_answer_and_a_skip_at_once_are_refused_with_a_sentence(page: Page, label_studio: Path) -> None:
    found = rounds(label_studio, "both_chosen")
    (this,) = found.open(plan(n_annotators=1), question({"leek": "two leeks"}))
    logged_in(page, label_studio)
    labelling(page, address(label_studio).url, project_id(found, this))
    press(page, "d", lambda wait_ms: expect(page.locator(".m2v-item")).to_be_visible(timeout=wait_ms))
    press(page, "1", chosen(page, "yes, it fits"))
    press(page, "c", chosen(page, "skip, cannot tell"))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Choose one answer, or one reason to skip").first).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator('input[name="skip, cannot tell"]')).not_to_be_checked()
    submitted(page)
    assert found.pull() == 1
