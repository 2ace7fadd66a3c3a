"""What the community edition lets anybody do, and our guard on the server does not."""

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer
from m2v_resources.annotators.label_studio_server import PROGRAM, Exposure, environment
from tests.conftest import running
from tests.m2v_resources.annotators.asking import leeks, plan, project_id, question, rounds, tasks
from tests.people import PASSWORD, Person, choices, join, owner


@pytest.fixture(scope="module")
def strict(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server on which three items or twenty minutes are a day's work, and five minutes call for a break."""
    exposure = Exposure(
        items_per_day=3, minutes_per_day=20, minutes_before_break=5, break_minutes=10, time_zone=where_it_is_noon()
    )
    with running(migrated, tmp_path_factory.mktemp("strict") / "home", exposure=exposure) as server:
        yield server.home


def where_it_is_noon() -> str:
    """A time zone in which it is between 12 and 13 o'clock now; its name has the sign turned."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


@pytest.fixture
def two(label_studio: Path) -> list[Person]:
    return [join(label_studio) for _ in range(2)]


def test_people_do_not_see_each_others_answers(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "unseen")
    (this,) = found.open(plan(), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    two[0].answer(task_id, "positive").raise_for_status()
    for path in (f"/api/tasks/{task_id}", f"/api/projects/{project_id(found, this)}/next"):
        assert two[1].http.get(path).json()["annotations"] == []
    listed = two[1].http.get("/api/tasks", params={"project": project_id(found, this), "fields": "all"}).json()
    assert [(task["annotations"], "annotations_results" in task) for task in listed["tasks"]] == [([], False)]
    assert [task["data"] for task in listed["tasks"]] == [{}], "a list would show items before any warning"
    assert two[1].http.get(f"/api/tasks/{task_id}/annotations/").json() == []
    own = two[0].http.get(f"/api/tasks/{task_id}").json()["annotations"]
    assert [each["completed_by"]["id"] for each in own] == [two[0].number]


def test_people_can_label_and_nothing_else(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "else")
    (this,) = found.open(plan(), question(leeks(2)))
    task_id, other_id = tasks(found, this).values()
    project = project_id(found, this)
    mine = two[0].answer(task_id, "positive").json()["id"]
    http = two[1].http
    refused = [
        http.delete(f"/api/projects/{project}/"),
        http.delete(f"/api/tasks/{task_id}/"),
        http.delete(f"/api/annotations/{mine}/"),
        http.patch(f"/api/projects/{project}/", json={"label_config": "<View/>"}),
        http.patch(f"/api/annotations/{mine}/", json={"result": [choices("label", "negative")]}),
        http.post(f"/api/projects/{project}/import", json=[{"data": {"text": "t"}}]),
        http.post(f"/api/dm/actions?id=delete_tasks&project={project}", json={"selectedItems": {"all": True}}),
        http.get(f"/api/projects/{project}/export?exportType=JSON"),
        http.get("/api/invite"),
        two[1].answer(other_id, "positive", completed_by=two[0].number),
    ]
    assert [each.status_code for each in refused] == [403] * len(refused)
    assert two[1].answer(other_id, "positive").status_code == 201
    assert owner(label_studio).http.get(f"/api/projects/{project}/").json()["task_number"] == 2


def test_a_session_of_the_browser_is_guarded_like_a_token(label_studio: Path) -> None:
    found = rounds(label_studio, "session")
    (this,) = found.open(plan(), question(leeks(1)))
    person = join(label_studio)
    with contextlib.closing(person.session()) as browser:
        assert browser.get("/api/current-user/whoami").json()["id"] == person.number
        refused = browser.delete(f"/api/projects/{project_id(found, this)}/")
        assert refused.status_code == 403
        assert "everything else is the platform's" in refused.json()["detail"]


def test_a_day_has_so_many_items_and_skips_do_not_cost_more(strict: Path) -> None:
    found = rounds(strict, "day")
    (this,) = found.open(plan(), question(leeks(6)))
    person, project = join(strict), project_id(found, this)
    where = list(tasks(found, this).values())
    for task_id in where[:3]:
        assert person.answer(task_id, was_cancelled=True).status_code == 201
    refused = person.next_item(project)
    assert refused.status_code == 429
    assert refused.json()["detail"].startswith("That was enough for today: 3 items")
    assert person.http.get(f"/api/tasks/{where[3]}").status_code == 429, "nor by its address"
    assert person.http.get(f"/api/tasks/{where[0]}").status_code == 200, "what one has answered stays open"
    assert join(strict).next_item(project).status_code == 200, "the budget is each person's own"


def test_looking_costs_as_answering_does_and_nothing_is_skipped_unseen(strict: Path) -> None:
    found = rounds(strict, "looking")
    (this,) = found.open(plan(), question(leeks(5)))
    person, where = join(strict), list(tasks(found, this).values())
    assert [person.http.get(f"/api/tasks/{task_id}").status_code for task_id in where] == [200, 200, 200, 429, 429]
    assert person.answer(where[3], was_cancelled=True).status_code == 429
    assert person.http.get(f"/api/tasks/{where[3]}").status_code == 429
    assert person.answer(where[2], "positive").status_code == 201, "what is open can be finished"


def shown_later(home: Path, person: Person, task_id: int, minutes: float) -> None:
    """Let the server have shown an item so much later than it did."""
    with contextlib.closing(sqlite3.connect(home / "label_studio" / "data" / "label_studio.sqlite3")) as database:
        change = "UPDATE m2v_shown SET at = at + ? WHERE user_id = ? AND task_id = ?"
        assert database.execute(change, [60 * minutes, person.number, task_id]).rowcount == 1
        database.commit()


def test_a_day_ends_at_the_teams_midnight(strict: Path) -> None:
    found = rounds(strict, "midnight")
    (this,) = found.open(plan(), question(leeks(5)))
    person, where = join(strict), list(tasks(found, this).values())
    for task_id in where[:3]:
        assert person.http.get(f"/api/tasks/{task_id}").status_code == 200
    for task_id in where[:3]:
        shown_later(strict, person, task_id, -11 * 60)
    refused = person.http.get(f"/api/tasks/{where[3]}")
    assert refused.json()["detail"].startswith("That was enough for today: 3 items"), "it is still the same day"
    for task_id in where[:3]:
        shown_later(strict, person, task_id, -3 * 60)
    assert person.http.get(f"/api/tasks/{where[3]}").status_code == 200


def test_the_page_says_in_words_that_a_day_is_over(strict: Path, page: Page) -> None:
    found = rounds(strict, "over")
    (this,) = found.open(plan(), question(leeks(6)))
    person = join(strict)
    for task_id in list(tasks(found, this).values())[:3]:
        person.answer(task_id, "positive").raise_for_status()
    url = address(strict).url
    log_in(page, url, person)
    page.goto(f"{url}/projects/{project_id(found, this)}/data?labeling=1")
    expect(page.get_by_role("alert").filter(has_text="That was enough for today: 3 items")).to_be_visible()
    expect(page.get_by_text("Labelling pauses")).to_be_visible()
    for untrue in ("Runtime error", "All tasks in the queue have been completed"):
        expect(page.get_by_text(untrue).locator("visible=true")).to_have_count(0)


def test_annotators_are_shown_nothing_that_they_can_do_nothing_with(label_studio: Path, page: Page) -> None:
    found = rounds(label_studio, "theirs")
    (this,) = found.open(plan(), question(leeks(1)))
    url, person = address(label_studio).url, join(label_studio)
    page.goto(AnnotationServer(address(label_studio)).invitation())
    expect(page.locator("#allow_newsletters")).to_have_value("false")
    for label in ("Get the latest news", "How did you hear"):
        expect(page.get_by_text(label).locator("visible=true")).to_have_count(0)
    log_in(page, url, person)
    expect(page.get_by_text("Recent Projects")).to_be_visible()
    for name in ("Create Project", "Invite Members", "API Documentation"):
        expect(page.get_by_text(name, exact=True).locator("visible=true")).to_have_count(0)
    page.goto(f"{url}/projects/{project_id(found, this)}/data")
    expect(page.get_by_text("Label All Tasks")).to_be_visible()
    for name in ("Settings", "Import", "Export", "Filters", "Columns", "Order by"):
        # A list that is still empty has a second Import.
        expect(page.get_by_text(name, exact=True).locator("visible=true")).to_have_count(0)


def test_annotators_learn_nobodys_address(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "addresses")
    (this,) = found.open(plan(), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    for person in two:
        person.answer(task_id, "positive").raise_for_status()
    project = project_id(found, this)
    known = owner(label_studio).http.get("/api/current-user/whoami").json()["email"]
    assert known in owner(label_studio).http.get(f"/api/projects/{project}/").text
    for path in (
        *("/api/projects/", f"/api/projects/{project}/", f"/api/dm/project/?project={project}", "/api/users/"),
        *(f"/api/tasks/{task_id}/", f"/api/tasks/?project={project}&fields=all", "/api/current-user/whoami"),
        *(f"/api/tasks/{task_id}/annotations/", f"/api/dm/views/?project={project}"),
    ):
        told = two[1].http.get(path)
        assert told.status_code == 200, path
        assert known not in told.text, path
        assert two[0].email not in told.text, path
    assert two[1].http.get("/api/current-user/whoami").json()["email"] == two[1].email


def log_in(page: Page, url: str, person: Person) -> None:
    page.goto(f"{url}/user/login/")
    page.fill("#email", person.email)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/user/login" not in url)


def test_a_day_has_so_many_minutes_whatever_the_browser_says(strict: Path) -> None:
    found = rounds(strict, "minutes")
    (this,) = found.open(plan(), question(leeks(3)))
    person, (first, second, third) = join(strict), tasks(found, this).values()
    for task_id in (first, second):
        assert person.http.get(f"/api/tasks/{task_id}").status_code == 200
    shown_later(strict, person, second, 10)
    answer = person.answer(first, "positive", lead_time=7200)  # a moment after it was shown
    assert person.http.get(f"/api/tasks/{third}").json()["detail"].startswith("Time for a break: 10 minutes")
    assert answer.status_code == 201


def test_a_forged_time_neither_ends_a_day_nor_frees_it(strict: Path) -> None:
    found = rounds(strict, "times")
    (this,) = found.open(plan(), question(leeks(3)))
    person, (first, second, _) = join(strict), tasks(found, this).values()
    person.answer(first, "positive", lead_time=7200).raise_for_status()
    assert person.http.get(f"/api/tasks/{second}").status_code == 200


def test_how_long_an_item_was_open_is_the_servers_word(strict: Path) -> None:
    found = rounds(strict, "open")
    (this,) = found.open(plan(), question(leeks(2)))
    person, (first, second) = join(strict), tasks(found, this).values()
    assert person.http.get(f"/api/tasks/{first}").status_code == 200
    shown_later(strict, person, first, -2)
    with contextlib.closing(sqlite3.connect(strict / "label_studio" / "data" / "label_studio.sqlite3")) as database:
        # Items are older than what was shown of them.
        database.execute("UPDATE task SET created_at = datetime(created_at, '-1 hour') WHERE id = ?", [first])
        database.commit()
    answer = person.answer(first, "positive", lead_time=7200).json()
    assert 120 <= answer["lead_time"] < 240
    for body in ({"lead_time": 0}, {"result": [choices("label", "negative")], "lead_time": 1}):
        changed = person.http.patch(f"/api/annotations/{answer['id']}/", json=body)
        assert changed.json()["lead_time"] == answer["lead_time"]
    assert owner(strict).http.get(f"/api/annotations/{answer['id']}/").json()["lead_time"] == answer["lead_time"]
    assert person.answer(second, "positive", lead_time=7200).json()["lead_time"] < 60, "never shown before"


def test_an_invitation_ends_and_accounts_are_counted(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(migrated, tmp_path_factory.mktemp("few") / "home", exposure=Exposure(accounts=3)) as server:
        platform = AnnotationServer(address(server.home))
        old = platform.invitation()
        join(server.home, old)
        new = platform.invitation(is_new=True)
        assert platform.invitation() == new != old
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            join(server.home, old)
        join(server.home, new)
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            join(server.home, new)


def test_what_others_said_is_shown_by_no_address(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "blind")
    (this,) = found.open(plan(), question(leeks(2)))
    task_id, other_id = tasks(found, this).values()
    project = project_id(found, this)
    number = two[0].answer(task_id, "positive").json()["id"]
    draft = two[0].http.post(f"/api/tasks/{other_id}/drafts", json={"result": [choices("label", "positive")]}).json()
    http = two[1].http
    addresses = [
        f"/api/annotations/{number}",
        f"/api/annotations/{number}/",
        f"/api/drafts/{draft['id']}/",
        f"/api/tasks/{task_id}/annotations/{number}/drafts",
        f"/api/tasks/{task_id}/agreement/",
        f"/api/projects/{project}/summary/",
        f"/api/projects/{project}/annotators/",
        f"/api/projects/{project}/sample-task/",
        f"/api/projects/{project}/file-uploads",
        f"/api/fsm/entities/annotation/{number}/history",
        f"/api/predictions/?project={project}",
        f"/api/dm/actions/delete_tasks/form/?project={project}",
        "/api/organizations/",
        "/api/webhooks/",
        "/api/annotations.json",
        "/people/",
        f"/projects/{project}/settings/",
        "/storage-data/uploaded/?filepath=x",
        "/data/upload/1/x.csv",
        "/metrics/",
        f"/api//annotations/{number}/",
        f"/%61pi/annotations/{number}/",
        f"/API/annotations/{number}/",
    ]
    answers = {address: http.get(address) for address in addresses}
    assert {address for address, answer in answers.items() if answer.status_code not in {403, 404}} == set()
    assert all(two[0].email not in answer.text for answer in answers.values())
    assert http.get(f"/api/tasks/{other_id}/drafts").json() == []
    assert [each["id"] for each in http.get("/api/users/").json()] == [two[1].number]
    for shown in (f"/api/projects/{project}/", f"/api/dm/project/?project={project}"):
        counts = {name: value for name, value in http.get(shown).json().items() if "annotations" in name}
        assert {value for value in counts.values() if type(value) is int and value} == set(), counts
    assert http.options(f"/api/annotations/{number}/").status_code == 403
    assert two[0].http.get(f"/api/annotations/{number}/").json()["id"] == number, "one's own stays readable"


def test_lists_are_neither_filtered_nor_sorted_by_annotators(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "filters")
    (this,) = found.open(plan(), question(leeks(1)))
    project, http = project_id(found, this), two[1].http
    item = {"filter": "filter:tasks:annotations_results", "operator": "contains", "type": "String", "value": "positive"}
    filters = {"conjunction": "and", "items": [item]}
    listed = {"project": project, "fields": "all"}
    made = (
        owner(label_studio).http.post("/api/dm/views/", json={"project": project, "data": {"filters": filters}}).json()
    )
    tried = [
        http.get("/api/tasks/", params={**listed, "query": json.dumps({"filters": filters})}),
        http.get("/api/tasks/", params={**listed, "view": made["id"]}),
        http.request("GET", "/api/tasks/", params=listed, json={"filters": filters}),
        http.request("GET", "/api/tasks/", params=listed, data={"filters": json.dumps(filters)}),
        http.post("/api/dm/views/", json={"project": project, "data": {"filters": filters}}),
        http.post("/api/dm/views/", json={"project": project, "data": {"ordering": ["-tasks:total_annotations"]}}),
        http.patch(f"/api/dm/views/{made['id']}/", json={"data": {"filters": filters}}),
        http.post(f"/api/dm/actions/?id=next_task&project={project}", json={"filters": filters}),
        http.post(f"/api/dm/actions/?id=next_task&project={project}", json={"view": made["id"]}),
        http.post(f"/api/dm/actions/?id=next_task&id=delete_tasks&project={project}", json={}),
    ]
    assert [answer.status_code for answer in tried] == [403] * len(tried)
    assert http.get("/api/tasks/", params=listed).status_code == 200


def test_an_account_is_changed_by_nobody_but_the_platform(label_studio: Path, two: list[Person]) -> None:
    us = owner(label_studio)
    for number in (us.number, two[0].number, two[1].number):
        for method in ("PATCH", "PUT", "DELETE"):
            body = {"active_organization": None, "first_name": "pwned", "email": "x@y.example"}
            assert two[1].http.request(method, f"/api/users/{number}/", json=body).status_code == 403
    assert two[1].http.get(f"/api/users/{two[0].number}/").status_code == 403
    assert two[1].http.get(f"/api/users/{two[1].number}/").json()["email"] == two[1].email
    assert us.http.get("/api/projects/").status_code == 200
    assert us.http.get("/api/current-user/whoami").json()["first_name"] != "pwned"


def test_an_answer_is_in_ones_own_name_however_it_is_sent(label_studio: Path, two: list[Person]) -> None:
    found = rounds(label_studio, "names")
    (this,) = found.open(plan(), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    path, http = f"/api/tasks/{task_id}/annotations/", two[1].http
    form = {"result": json.dumps([choices("label", "positive")]), "completed_by": str(two[0].number)}
    boundary = {"Content-Type": "application/json; charset=utf-16"}
    tried = [
        http.post(path, data=form),
        http.post(path, files={name: (None, value) for name, value in form.items()}),
        http.post(path, data={**form, "completed_by": [str(two[1].number), str(two[0].number)]}),
        http.post(path, json={"result": [], "completed_by": two[0].number}),
        http.post(
            path, content=json.dumps({"result": [], "completed_by": two[0].number}).encode("utf-16"), headers=boundary
        ),
        http.post(path, json={"result": [], "ground_truth": True}),
        http.post(path, json={"result": [], "last_created_by": two[0].number}),
        http.post(path, json=[{"completed_by": two[0].number}]),
    ]
    assert {answer.status_code for answer in tried} <= {400, 403, 415}
    assert owner(label_studio).http.get(path).json() == []
    sent = http.post(path, data={**form, "completed_by": str(two[1].number)})
    assert (sent.status_code, sent.json()["completed_by"]) == (201, two[1].number)
    number, other = sent.json()["id"], {"completed_by": str(two[0].number)}
    assert http.patch(f"/api/annotations/{number}/", data=other).status_code == 403
    assert http.patch(f"/api/annotations/{number}/", json={"task": 10**6}).status_code == 403


def test_five_at_once_find_as_many_places_as_there_are(label_studio: Path) -> None:
    found = rounds(label_studio, "places")
    (this,) = found.open(plan(n_annotators=2), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    people = [join(label_studio) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda person: person.answer(task_id, "positive").status_code, people))
    assert sorted(answers) == [201, 201, 409, 409, 409]


def test_two_accounts_in_one_request_are_refused(label_studio: Path, two: list[Person]) -> None:
    with contextlib.closing(two[0].session()) as browser:
        refused = browser.get(
            "/api/projects/", headers={"Authorization": f"Token {two[1].http.headers['Authorization'][6:]}"}
        )
    assert (refused.status_code, "two accounts" in refused.text) == (403, True)


def test_every_route_of_the_server_is_allowed_or_refused_by_name(label_studio: Path) -> None:
    secret = json.loads((label_studio / "label_studio" / "credentials.json").read_text())
    known = environment(label_studio, port=1, secret=secret, exposure=Exposure())
    here = Path(__file__).parents[2] / "label_studio"
    asked = subprocess.run(
        [PROGRAM.parent / "python", here / "routes.py"], env=known, capture_output=True, text=True, check=True
    )
    assert asked.stdout.splitlines() == (here / "routes.txt").read_text().splitlines(), (
        "The server has other routes than the guard was written for. Judge each new one, then write routes.txt anew."
    )
