"""Rounds against a real Label Studio, with people who answer through accounts of their own."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from m2v import schemas
from m2v.errors import LabelStudioError
from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer, LabelStudioAddress
from m2v_resources.annotators.rounds import Rounds
from m2v_resources.audit.forgetting import forget
from m2v_resources.store.versions import TableStore
from tests.m2v_resources.annotators.asking import leeks, plan, project_id, question, rounds, tasks
from tests.m2v_resources.annotators.losing import losing
from tests.people import PASSWORD, Person, choices, owner


def test_what_three_people_answer_comes_back_under_pseudonyms(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "three")
    (this,) = found.open(plan(), question(leeks(2)))
    where = tasks(found, this)
    said = {"leek 0000": ("positive", "positive", "negative"), "leek 0001": ("negative",) * 3}
    for meme, labels in said.items():
        for person, label in zip(people[:3], labels, strict=True):
            assert person.answer(where[meme], label).status_code == 201
    assert found.pull() == 6
    answers = found.ledger.judged(this).answers
    names = [found.server.pseudonym(person.number) for person in people[:3]]
    assert set(answers.select("meme_id", "annotator", "label").rows()) == {
        (meme, name, label == "positive")
        for meme, labels in said.items()
        for name, label in zip(names, labels, strict=True)
    }
    # As the server counted: the browser said four seconds, and nothing was ever shown.
    assert answers["duration_s"].null_count() == 0
    assert 4.0 not in answers["duration_s"]
    assert answers["mode"].unique().to_list() == ["blind"]
    assert found.ledger.pulled(this).state == "complete"
    kept = b"".join(path.read_bytes() for path in (label_studio / "rounds" / "three").rglob("*") if path.is_file())
    assert not any(person.email.encode() in kept for person in people)


def test_what_is_sent_says_nothing_of_the_labels(label_studio: Path) -> None:
    found = rounds(label_studio, "blind")
    (this,) = found.open(plan(), question(leeks(2), gold={"leek 0001": True}))
    listed = owner(label_studio).http.get("/api/tasks", params={"project": project_id(found, this), "fields": "all"})
    for task in listed.json()["tasks"]:
        assert set(task["data"]) == {"item_key", "text", "definition"}
        assert task["predictions"] == []
        assert not any(word in json.dumps(task["data"]) for word in ("leek 0000", "leek 0001", "conflict", "gold"))


def test_assisted_rounds_show_the_models_label_and_say_so_on_every_answer(
    label_studio: Path, people: list[Person]
) -> None:
    found = rounds(label_studio, "assisted")
    (this,) = found.open(plan(mode="assisted", n_annotators=1), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    task = people[0].http.get(f"/api/tasks/{task_id}").json()
    assert task["data"]["suggestion"] == "Model: it does not fit"
    people[0].answer(task_id, "negative")
    found.pull()
    assert found.ledger.judged(this).answers["mode"].to_list() == ["assisted"]


def test_opening_again_asks_nothing_again(label_studio: Path) -> None:
    found = rounds(label_studio, "again")
    (first,) = found.open(plan(), question(leeks(3)))
    before = tasks(found, first)
    assert found.open(plan(), question(leeks(3))) == [first]
    assert tasks(found, first) == before


def test_only_what_nobody_answered_under_this_definition_is_asked(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "reuse")
    (first,) = found.open(plan(n_annotators=1), question(leeks(2)))
    for task_id in tasks(found, first).values():
        people[0].answer(task_id, "positive")
    found.pull()
    assert found.open(plan(n_annotators=1), question(leeks(2))) == []
    changed = {**leeks(3), "leek 0001": "a new text"}
    (second,) = found.open(plan(n_annotators=1), question(changed))
    assert set(tasks(found, second)) == {"leek 0001", "leek 0002"}  # a changed text, a new meme
    found.close(second.name)
    third = found.open(plan(n_annotators=1), question(leeks(2), guideline="another definition"))
    assert set(tasks(found, third[-1])) == {"leek 0000", "leek 0001"}


def test_what_a_closed_round_left_unanswered_is_asked_in_the_next(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "closed")
    (first,) = found.open(plan(n_annotators=1), question(leeks(2)))
    people[0].answer(tasks(found, first)["leek 0000"], "positive")
    found.close(first.name)
    assert found.ledger.judged(first).answers.height == 1, "closing looks once more"
    (second,) = found.open(plan(n_annotators=1), question(leeks(2)))
    assert set(tasks(found, second)) == {"leek 0001"}


def test_pictures_that_can_now_be_shown_make_no_other_round(label_studio: Path, people: list[Person]) -> None:
    found, asked = rounds(label_studio, "shown_later"), question(leeks(2))
    asked = replace(asked, memes=asked.memes.with_columns(image=pl.lit("leek.png")))
    (this,) = found.open(plan(n_annotators=1), asked)
    people[0].answer(tasks(found, this)["leek 0000"], "positive").raise_for_status()
    found.pull()
    shown = replace(asked, pictures={"leek 0000": "media/pictures/1/leek.png"})
    assert [each.name for each in found.open(plan(n_annotators=1), shown)] == [this.name]
    assert len(found.ledger.rounds()) == 1


def test_a_meme_is_in_one_open_round_and_waits_there_for_its_end(label_studio: Path) -> None:
    found = rounds(label_studio, "one_at_a_time")
    (first,) = found.open(plan(n_annotators=1), question(leeks(2)))
    reworded = question(leeks(3), guideline="said in other words")
    second = found.open(plan(n_annotators=1), reworded)[-1]
    assert set(tasks(found, second)) == {"leek 0002"}
    found.close(first.name)
    third = found.open(plan(n_annotators=1), reworded)[-1]
    assert set(tasks(found, third)) == {"leek 0000", "leek 0001"}


def test_drafts_are_no_answers_and_skips_are_kept_with_their_reasons(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "skips")
    (this,) = found.open(plan(n_annotators=1), question(leeks(3)))
    where = tasks(found, this)
    people[0].http.post(
        f"/api/tasks/{where['leek 0000']}/drafts", json={"result": [choices("label", "positive")], "lead_time": 1}
    ).raise_for_status()
    people[0].skip(where["leek 0001"], "harmful").raise_for_status()
    people[0].answer(where["leek 0002"], was_cancelled=True).raise_for_status()
    found.pull()
    judged = found.ledger.judged(this)
    assert judged.answers.is_empty()
    assert judged.skips.select("meme_id", "reason").rows() == [("leek 0001", "harmful"), ("leek 0002", "unstated")]
    # The skipped item has a turn more on the server, so that somebody else may answer it.
    assert people[1].answer(where["leek 0001"], "negative").status_code == 201
    found.pull()
    assert found.ledger.judged(this).answers["meme_id"].to_list() == ["leek 0001"]


def test_the_latest_word_of_each_person_counts(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "latest")
    (this,) = found.open(plan(n_annotators=2), question(leeks(2)))
    where = tasks(found, this)
    edited = people[0].answer(where["leek 0000"], "positive").json()["id"]
    people[0].answer(where["leek 0001"], "positive")
    assert found.pull() == 2
    people[0].edit(edited, "negative").raise_for_status()
    people[0].answer(where["leek 0001"], "negative").raise_for_status()
    assert found.pull() == 2
    assert found.ledger.judged(this).answers.select("meme_id", "label").rows() == [
        ("leek 0000", False),
        ("leek 0001", False),
    ]
    assert found.pull() == 0


def test_more_people_than_the_round_asks_for_do_not_count(label_studio: Path, people: list[Person]) -> None:
    found, us = rounds(label_studio, "overlap"), owner(label_studio)
    (this,) = found.open(plan(n_annotators=2), question(leeks(1)))
    (task_id,) = tasks(found, this).values()
    assert [person.answer(task_id, "positive").status_code for person in people[:3]] == [201, 201, 409]
    # A server without our guard lets a third one through; the platform counts the first two all the same.
    us.http.patch(f"/api/tasks/{task_id}/", json={"overlap": 9}).raise_for_status()
    assert people[2].answer(task_id, "negative").status_code == 201
    found.pull()
    judged = found.ledger.judged(this)
    first = sorted(found.server.pseudonym(person.number) for person in people[:2])
    assert judged.answers["annotator"].to_list() == first
    assert judged.quarantined["reason"].to_list() == ["beyond_overlap"]


def test_deleted_tasks_are_asked_anew_and_their_answers_stand(label_studio: Path, people: list[Person]) -> None:
    found, us = rounds(label_studio, "deleted"), owner(label_studio)
    (this,) = found.open(plan(n_annotators=2), question(leeks(3)))
    before = tasks(found, this)
    people[0].answer(before["leek 0001"], "positive")
    found.pull()
    for meme in ("leek 0000", "leek 0001"):
        us.http.delete(f"/api/tasks/{before[meme]}/").raise_for_status()
    found.open(plan(n_annotators=2), question(leeks(3)))
    after = tasks(found, this)
    assert set(after) == set(before)
    people[1].answer(after["leek 0001"], "negative")
    found.pull(full=True)
    assert found.ledger.pulled(this).missing == 1
    assert sorted(found.ledger.judged(this).answers["label"]) == [False, True]


def test_a_deleted_project_is_an_error_and_opens_anew_without_what_was_answered(
    label_studio: Path, people: list[Person]
) -> None:
    found, us = rounds(label_studio, "project"), owner(label_studio)
    (this,) = found.open(plan(n_annotators=1), question(leeks(3)))
    people[0].answer(tasks(found, this)["leek 0000"], "positive")
    found.pull()
    us.http.delete(f"/api/projects/{project_id(found, this)}/").raise_for_status()
    with pytest.raises(LabelStudioError, match=r"Round project_001: its project is gone.*m2v rounds open"):
        found.pull()
    found.open(plan(n_annotators=1), question(leeks(3)))
    assert set(tasks(found, this)) == {"leek 0001", "leek 0002"}
    for task_id in tasks(found, this).values():
        people[1].answer(task_id, "negative")
    found.pull()
    assert found.ledger.judged(this).answers.select("meme_id", "label").rows() == [
        ("leek 0000", True),
        ("leek 0001", False),
        ("leek 0002", False),
    ]


def test_nothing_is_imported_into_a_project_whose_config_was_changed(label_studio: Path) -> None:
    found, us = rounds(label_studio, "other"), owner(label_studio)
    (this,) = found.open(plan(), question(leeks(2)))
    us.http.delete(f"/api/tasks/{tasks(found, this)['leek 0000']}/").raise_for_status()
    changed = this.config.replace("no, it does not", "not at all")
    us.http.patch(f"/api/projects/{project_id(found, this)}/", json={"label_config": changed}).raise_for_status()
    with pytest.raises(LabelStudioError, match=r"Round other_001: the labelling config .* was changed"):
        found.open(plan(), question(leeks(2)))
    assert set(tasks(found, this)) == {"leek 0001"}


def test_a_task_that_somebody_imported_twice_is_left_once(label_studio: Path, people: list[Person]) -> None:
    found, us = rounds(label_studio, "double"), owner(label_studio)
    (this,) = found.open(plan(n_annotators=1), question(leeks(2)))
    project, listed = project_id(found, this), tasks(found, this)
    for task_id in listed.values():
        data = us.http.get(f"/api/tasks/{task_id}").json()["data"]
        us.http.post(f"/api/projects/{project}/import", json=[{"data": data}]).raise_for_status()
    people[0].answer(listed["leek 0000"], "positive")
    found.open(plan(n_annotators=1), question(leeks(2)))
    after = tasks(found, this)
    assert set(after) == set(listed)
    assert after["leek 0000"] == listed["leek 0000"], "the one that was answered stays"


@pytest.mark.parametrize("what", ["request", "answer"])
def test_an_import_that_gets_lost_is_looked_up_before_it_is_repeated(label_studio: Path, what: Any) -> None:
    there = address(label_studio)
    with losing(there.url, what) as (url, imports):
        platform = Rounds(
            label_studio, f"lost_{what}", AnnotationServer(LabelStudioAddress(url, there.token, there.salt))
        )
        (this,) = platform.open(plan(), question(leeks(20)))
        assert len(tasks(platform, this)) == 20
    assert len(imports) == (2 if what == "request" else 1)


def test_a_forgotten_meme_leaves_the_ledger_and_the_server(
    label_studio: Path, people: list[Person], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(label_studio / "label_studio", home / "label_studio")
    asked = question(leeks(2))
    store = TableStore(home / "tables")
    memes = store.write(asked.memes, schemas.MEMES, "veggie")
    parents = {"memes/veggie": {"version": memes.number, "rows_hash": memes.rows_hash}}
    store.write(asked.conflicts, schemas.CONFLICTS, "veggie_garden", provenance={"parents": parents, "files": {}})
    found = rounds(home, "veggie_garden")
    (this,) = found.open(plan(n_annotators=1), asked)
    where = tasks(found, this)
    for task_id in where.values():
        people[0].answer(task_id, "positive")
    found.pull()
    said = forget(home, "veggie/leek 0000", why="take-down request")
    assert not any("round" in each for each in said.remains)
    assert list(tasks(found, this).values()) == [where["leek 0001"]]
    assert found.ledger.items(this)["meme_id"].to_list() == ["leek 0001"]
    found.pull(full=True)
    assert found.ledger.judged(this).answers["meme_id"].to_list() == ["leek 0001"]
    assert found.ledger.judged(this).quarantined.is_empty()


def test_a_meme_forgotten_while_the_server_is_down_is_said_to_be_there_still(tmp_path: Path) -> None:
    home, asked = tmp_path / "home", question(leeks(2))
    store = TableStore(home / "tables")
    memes = store.write(asked.memes, schemas.MEMES, "veggie")
    parents = {"memes/veggie": {"version": memes.number, "rows_hash": memes.rows_hash}}
    store.write(asked.conflicts, schemas.CONFLICTS, "veggie_garden", provenance={"parents": parents, "files": {}})
    down = Rounds(home, "veggie_garden", AnnotationServer(LabelStudioAddress("http://127.0.0.1:9", "token", "salt")))
    with pytest.raises(LabelStudioError):
        down.open(plan(), asked)
    said = forget(home, "veggie/leek 0000", why="take-down request")
    assert any("round veggie_garden_001 on the Label Studio server" in each for each in said.remains)
    assert store.read("conflicts", "veggie_garden")["meme_id"].to_list() == ["leek 0001"]


def test_two_platforms_that_open_the_same_round_at_once_share_one(label_studio: Path, tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    server = address(label_studio)
    platforms = [Rounds(home, "shared", AnnotationServer(server)) for home in homes]
    failed: list[Exception] = []

    def open_it(platform: Rounds) -> None:
        try:
            platform.open(plan(), question(leeks(700)))
        except LabelStudioError as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it, args=(platform,)) for platform in platforms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for platform in platforms:
        (this,) = platform.open(plan(), question(leeks(700)))
        assert len(tasks(platform, this)) == 700


def test_two_processes_of_one_home_do_not_open_at_once(label_studio: Path) -> None:
    found = rounds(label_studio, "locked")
    with found.ledger.only_writer(), pytest.raises(LabelStudioError, match="Another process is opening or pulling"):
        found.open(plan(), question(leeks(1)))


def test_ties_go_to_the_adjudicator_in_a_small_second_round(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "ties")
    judge = found.server.pseudonym(people[3].number)
    names = tuple(found.server.pseudonym(person.number) for person in people[:2])
    settings = plan(n_annotators=2, annotators=names, adjudicator=judge)
    (first,) = found.open(settings, question(leeks(2)))
    where = tasks(found, first)
    for person, labels in zip(people[:2], (("positive", "positive"), ("negative", "positive")), strict=True):
        for meme, label in zip(("leek 0000", "leek 0001"), labels, strict=True):
            person.answer(where[meme], label)
    found.pull()
    (second,) = found.open(settings, question(leeks(2)))
    assert (second.role, set(tasks(found, second))) == ("adjudicator", {"leek 0000"})
    people[3].answer(tasks(found, second)["leek 0000"], "negative")
    found.pull()
    ruling = found.ledger.judged(second).answers
    assert ruling.select("meme_id", "annotator", "label", "role").rows() == [("leek 0000", judge, False, "adjudicator")]
    assert found.open(settings, question(leeks(2))) == []


def test_a_wrong_token_is_an_error_that_shows_none(label_studio: Path, tmp_path: Path) -> None:
    right = address(label_studio)
    wrong = AnnotationServer(LabelStudioAddress(right.url, "f" * 40, right.salt))
    with pytest.raises(LabelStudioError, match=r"401.*LABEL_STUDIO_TOKEN") as raised:
        Rounds(tmp_path, "token", wrong).open(plan(), question(leeks(1)))
    assert "ffff" not in str(raised.value)
    assert "cookie" not in str(raised.value).lower()


def test_no_error_of_the_server_shows_headers_or_tokens(label_studio: Path) -> None:
    server = AnnotationServer(address(label_studio))
    with pytest.raises(LabelStudioError) as raised:
        server.create_project(title="t", uid="u", config="<View><Nonsense/></View>", guideline="", overlap=1)
    assert address(label_studio).token not in str(raised.value)
    assert "sessionid" not in str(raised.value)


def test_hostile_and_huge_texts_arrive_as_they_are(label_studio: Path) -> None:
    found = rounds(label_studio, "hostile")
    texts = {"huge": "leek " * 210_000, "html": "<script>document.title='gone'</script><img src=x onerror=alert(1)>"}
    (this,) = found.open(plan(), question(texts))
    us = owner(label_studio)
    for meme, task_id in tasks(found, this).items():
        assert us.http.get(f"/api/tasks/{task_id}").json()["data"]["text"] == texts[meme]


def test_the_servers_file_of_secrets_is_its_users_alone(label_studio: Path) -> None:
    assert (label_studio / "label_studio" / "credentials.json").stat().st_mode & 0o077 == 0


def test_nobody_signs_up_without_the_link(label_studio: Path) -> None:
    with httpx.Client(base_url=address(label_studio).url, follow_redirects=True) as browser:
        browser.get("/user/signup/")
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "email": "x@garden.example", "password": PASSWORD}
        refused = browser.post("/user/signup/", data=form, headers={"Referer": str(browser.base_url)})
        assert refused.status_code == 403
        assert browser.get("/api/current-user/whoami").status_code == 401
