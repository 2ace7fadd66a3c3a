"""From a conflict to a changed vote through real rounds: the command line, the sensor, published answers replayed."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from m2v import catalog
from m2v_assets import sensors
from m2v_assets.definitions import assets
from m2v_resources.annotators.ledger import Ledger
from m2v_resources.store.versions import TableStore
from tests.conftest import running
from tests.m2v_assets.conftest import Run, as_json, command
from tests.m2v_resources.annotators.asking import project_id, rounds, tasks
from tests.people import Person, join

LIVE = {
    "conflicts/veggie_garden": {"predictions/veggie_garden"},
    "rounds/veggie_garden": {
        "memes/veggie",
        "conflicts/veggie_garden",
        "answers/veggie_garden",
        "files/sample_veggie_gold_csv",
        "meme_images/veggie",
    },
    **{
        f"{table}/veggie_garden": {"conflicts/veggie_garden", "answers/veggie_garden"}
        for table in ("human_labels", "skips", "quarantined_answers")
    },
    "voted_labels/veggie_garden": {
        "predictions/veggie_garden",
        "conflicts/veggie_garden",
        "human_labels/veggie_garden",
        "answers/veggie_garden",
    },
}


def test_rounds_stand_between_conflicts_and_answers() -> None:
    made = list(assets(catalog.open_study("sample-live")))
    edges = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for asset in made
        for spec in asset.specs
    }
    groups = {"conflicts", "rounds", "human_labels", "skips", "quarantined_answers", "voted_labels"}
    assert {name: deps for name, deps in edges.items() if name.partition("/")[0] in groups} == LIVE
    external = {key.to_user_string() for asset in made if asset.is_observable for key in asset.keys}
    assert "answers/veggie_garden" in external


@pytest.fixture(scope="module")
def live(migrated: Path, finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[running]:
    """A Label Studio in a home in which the sample was run with recorded answers."""
    home = tmp_path_factory.mktemp("live") / "home"
    shutil.copytree(finished_home, home)
    with running(migrated, home) as server:
        yield server


@pytest.fixture(scope="module")
def answered(live: running) -> tuple[Path, Run, list[Person]]:
    """A home in which a round of the sample was opened by `m2v run` and three people answered everything."""
    home, run = live.home, command(live.home)
    first = as_json(run("run", "--study", "sample-live", "--json"))
    assert first["failed"] == 0
    assert "rounds/veggie_garden" in first["assets"]
    people = [join(home) for _ in range(3)]
    found = rounds(home, "veggie_garden")
    (this,) = found.ledger.rounds()
    where = list(tasks(found, this).items())
    attacks = attacked(home)
    n_before = TableStore(home / "tables").version("voted_labels", "veggie_garden").number
    for person in people[:2]:
        answer(person, where[0][1], attacks[where[0][0]])
    run("rounds", "pull", "--study", "sample-live")
    early = run("rounds", "status", "--study", "sample-live")
    assert "124 of 124" in early.stdout, "with pictures"
    assert f"Round {this.name} cannot end yet: 1 items have too few answers" in early.stderr
    run("run", "--study", "sample-live", "--select", "voted_labels")
    assert TableStore(home / "tables").read("human_labels", "veggie_garden").height == 2
    assert TableStore(home / "tables").version("voted_labels", "veggie_garden").number == n_before
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda person: [answer(person, task, attacks[meme]) for meme, task in where], people))
    return home, run, people


def attacked(home: Path) -> dict[str, bool]:
    """What an attentive annotator would say of each meme: whether it attacks a kind of vegetable."""
    memes = TableStore(home / "tables").read("memes", "veggie")
    signs = ["lowest kind", "throw them", "stupid and dirty", "chase all", "ugly", "send the", "nobody should"]
    return {meme: any(sign in text for sign in signs) for meme, text in memes.select("meme_id", "text").iter_rows()}


def answer(person: Person, task_id: int, label: bool) -> None:
    person.answer(task_id, "positive" if label else "negative").raise_for_status()


def test_answers_of_three_people_change_the_vote_and_what_rests_on_it(
    answered: tuple[Path, Run, list[Person]],
) -> None:
    home, run, _ = answered
    before = TableStore(home / "tables").read("voted_labels", "veggie_garden")
    assert before.filter(decided_by="too_few_answers").height == 104
    second = as_json(run("run", "--study", "sample-live", "--json"))
    assert second["failed"] == 0
    assert {"rounds/veggie_garden", "human_labels/veggie_garden", "voted_labels/veggie_garden"} <= set(second["assets"])
    assert any(name.startswith("checkpoints/minilm_probe_rm_ft") for name in second["assets"])
    assert not any(name.startswith(("checkpoints/minilm_probe_om_ft", "features")) for name in second["assets"])
    assert "reports/sample_live" in second["assets"]
    store = TableStore(home / "tables")
    votes, attacks = store.read("voted_labels", "veggie_garden"), attacked(home)
    judged = votes.filter(pl.col("n_humans") > 0)
    assert judged.height == 104 + 14
    assert all(attacks[meme] == label for meme, label in judged.select("meme_id", "label").iter_rows())
    (done,) = store.read("rounds", "veggie_garden").to_dicts()
    assert (done["state"], done["n_conflicts"], done["n_audit"], done["n_gold"]) == ("complete", 104, 14, 6)
    assert store.read("human_labels", "veggie_garden").height == 3 * (104 + 14), "gold items are no votes"
    third = as_json(run("run", "--study", "sample-live", "--json"))
    assert third["materialised"] == 0


def test_the_state_of_the_rounds_is_shown_by_pseudonym(answered: tuple[Path, Run, list[Person]]) -> None:
    home, run, people = answered
    run("rounds", "pull", "--study", "sample-live")
    state = as_json(run("rounds", "status", "--study", "sample-live", "--json"))["veggie_garden"]
    assert (state["n_items"], state["n_items_done"], state["n_answers"]) == (124, 124, 372)
    (name,) = [each["round"] for each in state["rounds"]]
    figures = ("undecided", "krippendorff_alpha", "fleiss_kappa", "pairwise_cohen_kappa", "in_doubt")
    assert [state[f"{name}: {figure}"] for figure in figures] == [0, 1.0, 1.0, 1.0, 0]
    server = rounds(home, "veggie_garden").server
    assert {each["annotator"] for each in state["annotators"]} == {server.pseudonym(each.number) for each in people}
    assert [each["gold_accuracy"] for each in state["annotators"]] == [1.0] * 3
    shown = run("rounds", "status", "--study", "sample-live").stdout + run("rounds", "annotators").stdout
    assert not any(person.email in shown for person in people)
    named = as_json(run("rounds", "annotators", "--names", "--json"))
    known = {each["annotator"]: each["address"] for each in named}
    assert all(known[server.pseudonym(each.number)] == each.email for each in people)


def test_a_dead_server_stops_no_run(answered: tuple[Path, Run, list[Person]], live: running) -> None:
    _, run, _ = answered
    live.stop()
    try:
        done = run("run", "--study", "sample-live", "--json")
        assert as_json(done)["materialised"] == 0
        assert "No new answers: Label Studio at" in done.stderr
    finally:
        live.start()


def test_a_turned_answer_reaches_the_graph_through_the_sensor(
    answered: tuple[Path, Run, list[Person]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run, people = answered
    run("run", "--study", "sample-live")
    monkeypatch.setenv("M2V_HOME", str(home))
    sensor = sensors.poll_rounds(catalog.open_study("sample-live"))
    found = rounds(home, "veggie_garden")
    (this,) = found.ledger.rounds()
    meme, task_id = next(iter(tasks(found, this).items()))
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        with dg.build_sensor_context(instance=instance) as context:
            assert isinstance(sensor(context), dg.SkipReason)
        answer(people[0], task_id, not attacked(home)[meme])
        with dg.build_sensor_context(instance=instance) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
    stale = as_json(run("status", "--study", "sample-live", "--json"))["stale"]
    assert {each["asset"]: each["reason"] for each in stale}["human_labels/veggie_garden"] == (
        "data of answers/veggie_garden"
    )


def test_without_a_server_the_rounds_are_red_and_say_how_to_start_one(m2v: Run) -> None:
    done = as_json(m2v("run", "--study", "sample-live", "--select", "rounds", "--json", code=1))
    assert "make label-studio" in done["errors"]["rounds/veggie_garden"]
    assert m2v("rounds", "status", "--study", "sample-recorded", code=1).stderr.count("sample-live") == 1


def test_the_published_answers_replayed_through_a_round_give_the_published_votes(
    migrated: Path, tmp_path: Path
) -> None:
    study = tmp_path / "replay" / "study.yaml"
    study.parent.mkdir()
    study.write_text(
        "name: replay\ntitle: replay\nmemes: [fhm]\ntargets: [hatemm]\nanswers: live\naudit_share: 0\n"
        "rounds: {n_annotators: 1, pictures: false}\n",
        encoding="utf-8",
    )
    home = tmp_path / "home"
    with running(migrated, home):
        run = command(home)
        done = as_json(run("run", "--study", str(study), "--json"))
        assert done["failed"] == 0
        recorded = as_json(command(tmp_path / "recorded")("run", "--select", "voted_labels/fhm_hatemm", "--json"))
        assert recorded["failed"] == 0
        theirs = TableStore(tmp_path / "recorded" / "tables")
        said = dict(theirs.read("human_labels", "fhm_hatemm").select("meme_id", "label").iter_rows())
        person, found = join(home), rounds(home, "fhm_hatemm")
        (this,) = found.ledger.rounds()
        where = tasks(found, this)
        assert set(where) == set(said)
        assert len(said) == 1136
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda meme: answer(person, where[meme], said[meme]), where))
        assert as_json(run("run", "--study", str(study), "--json"))["failed"] == 0
        ours = TableStore(home / "tables").read("voted_labels", "fhm_hatemm")
        assert ours.equals(theirs.read("voted_labels", "fhm_hatemm"))
        assert Ledger(home, "fhm_hatemm").pulled(this).state == "complete"
        assert project_id(found, this)
        report = next((home / "reports").rglob("*.html")).read_text(encoding="utf-8")
        assert json.dumps(person.email) not in report
