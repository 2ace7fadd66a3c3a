"""What the community edition lets anybody do, and our guard on the server does not."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v_resources.label_studio_server import Exposure
from tests.conftest import running
from tests.m2v_resources.asking import leeks, plan, project_id, question, rounds, tasks
from tests.people import Person, choices, join, owner


@pytest.fixture(scope="module")
def strict(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server on which three items are a day's work."""
    exposure = Exposure(items_per_day=3, minutes_per_day=2, minutes_before_break=0, break_minutes=10)
    with running(migrated, tmp_path_factory.mktemp("strict") / "home", exposure=exposure) as (home, _):
        yield home


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


def test_a_day_has_so_many_minutes(strict: Path) -> None:
    found = rounds(strict, "minutes")
    (this,) = found.open(plan(), question(leeks(2)))
    person = join(strict)
    (task_id, _) = tasks(found, this).values()
    person.answer(task_id, "positive", lead_time=121.0).raise_for_status()
    assert "2 minutes" in person.next_item(project_id(found, this)).json()["detail"]


def test_a_break_is_enforced(strict: Path) -> None:
    found = rounds(strict, "break")
    (this,) = found.open(plan(), question(leeks(3)))
    person = join(strict)
    person.answer(next(iter(tasks(found, this).values())), "positive", lead_time=1.0).raise_for_status()
    refused = person.next_item(project_id(found, this))
    assert (refused.status_code, refused.json()["detail"][:16]) == (429, "Time for a break")
