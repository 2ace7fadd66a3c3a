"""What is in Label Studio and is no answer."""

import json
import sqlite3
from pathlib import Path

import pytest

from m2v.errors import LabelStudioError
from tests.m2v_resources.annotators.asking import leeks, plan, project_id, question, rounds, tasks
from tests.people import Person, choices, owner


def test_what_is_no_answer_goes_to_quarantine_with_its_reason(label_studio: Path, people: list[Person]) -> None:
    found, us = rounds(label_studio, "quarantine"), owner(label_studio)
    one, two = people[:2]
    names = (found.server.pseudonym(one.number), found.server.pseudonym(two.number))
    (this,) = found.open(plan(annotators=names), question(leeks(6)))
    where = list(tasks(found, this).items())
    one.answer(where[0][1], "purple")
    for number, labels in ((1, ["positive", "negative"]), (2, [])):
        # The guard refuses both; a server without it takes them.
        refused = one.answer(where[number][1], *labels)
        assert refused.status_code == 403
        assert refused.json()["detail"] == "Choose one answer, or one reason to skip, then submit."
        kept = one.answer(where[number][1], "positive").json()["id"]
        with sqlite3.connect(label_studio / "label_studio" / "data" / "label_studio.sqlite3", timeout=30) as database:
            result = json.dumps([choices("label", label) for label in labels])
            database.execute("UPDATE task_completion SET result = ? WHERE id = ?", [result, kept])
    us.answer(where[3][1], "positive", completed_by=two.number)
    people[2].answer(where[4][1], "positive")
    body = [{"data": {"item_key": "nobody's", "text": "t", "definition": "d"}}]
    us.http.post(f"/api/projects/{project_id(found, this)}/import?return_task_ids=true", json=body)
    stray = us.http.get("/api/tasks", params={"project": project_id(found, this), "page_size": 100}).json()["tasks"]
    (unknown,) = [task["id"] for task in stray if task["data"]["item_key"] == "nobody's"]
    one.answer(unknown, "positive")
    item_key = found.ledger.items(this).filter(meme_id=where[5][0])["item_key"].item()
    embedded = {"result": [choices("label", "positive")], "completed_by": two.number}
    body = [{"data": {"item_key": item_key, "text": "t", "definition": "d"}, "annotations": [embedded]}]
    us.http.post(f"/api/projects/{project_id(found, this)}/import", json=body)
    found.pull()
    judged = found.ledger.judged(this)
    assert judged.answers.is_empty()
    assert set(judged.quarantined.select("meme_id", "reason").rows()) == {
        (where[0][0], "unknown_label"),
        (where[1][0], "two_choices"),
        (where[2][0], "empty_result"),
        (where[3][0], "other_author"),
        (where[4][0], "not_in_round"),
        (None, "unknown_item"),
        (where[5][0], "imported"),
    }


def test_an_answer_in_quarantine_gives_its_place_back(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "given_back")
    (this,) = found.open(plan(n_annotators=1), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    people[0].answer(task_id, "purple").raise_for_status()
    assert people[1].answer(task_id, "positive").status_code == 409
    assert found.pull() == 1
    people[1].answer(task_id, "positive").raise_for_status()
    found.pull()
    assert found.ledger.judged(this).answers["label"].to_list() == [True]
    assert found.ledger.pulled(this).state == "complete"


def test_answers_under_a_changed_config_wait_in_quarantine(label_studio: Path, people: list[Person]) -> None:
    found, us = rounds(label_studio, "config"), owner(label_studio)
    (this,) = found.open(plan(n_annotators=1), question(leeks(2)))
    where = tasks(found, this)
    people[0].answer(where["leek 0000"], "positive")
    found.pull()
    path = f"/api/projects/{project_id(found, this)}/"
    changed = this.config.replace("no, it does not", "not at all")
    us.http.patch(path, json={"label_config": changed}).raise_for_status()
    people[0].answer(where["leek 0001"], "positive")
    with pytest.raises(LabelStudioError, match=r"Round config_001: the labelling config .* was changed"):
        found.pull()
    us.http.patch(path, json={"label_config": this.config}).raise_for_status()
    found.pull()
    judged = found.ledger.judged(this)
    assert judged.answers["meme_id"].to_list() == ["leek 0000"]
    assert judged.quarantined.select("meme_id", "reason").rows() == [("leek 0001", "other_config")]
