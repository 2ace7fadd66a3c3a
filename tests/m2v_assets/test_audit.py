"""Audits as the command tells them, of the sample study."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from openlineage.client.generated.base import EventType, InputDataset, Job, OutputDataset, RunEvent
from openlineage.client.generated.base import Run as JobRun
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from playwright.sync_api import Page

from m2v import schemas
from m2v_resources.store.versions import TableStore, claim_digest
from tests.m2v_assets.conftest import Run, as_json

RUN = "minilm_probe_rm_ft_veggie_garden_s0"


def store(home: Path) -> TableStore:
    return TableStore(home / "tables")


def trained_on(home: Path) -> str:
    """A meme that stands in the training set and that people answered about."""
    trained = store(home).read("training_examples", "rm_ft_veggie_garden")["item_id"].to_list()
    answered = store(home).read("human_labels", "veggie_garden")["meme_id"].to_list()
    return min(set(trained) & set(answered))


def test_a_meme_is_followed_from_its_label_to_the_figures_that_rest_on_it(sample: Run, home: Path) -> None:
    meme = trained_on(home)
    story = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    told = {}
    for each in story["rows"]:
        told.setdefault(each["version"].partition("/")[0], []).append(each["row"])
    answers = store(home).read("human_labels", "veggie_garden").filter(pl.col("meme_id") == meme)
    assert sorted(row["annotator"] for row in told["human_labels"]) == sorted(answers["annotator"])
    assert {"memes", "predictions", "conflicts", "voted_labels", "training_examples"} <= told.keys()
    order = [table for table in told if table in {"memes", "predictions", "human_labels", "voted_labels"}]
    assert order == ["memes", "predictions", "human_labels", "voted_labels"]
    first, *_ = story["in_words"]
    assert first.startswith("The dataset veggie calls it ")
    shown = sample("audit", "meme", f"veggie/{meme}").stdout
    assert shown.startswith(first)
    assert "384 numbers" in shown
    assert not any(schemas.table(table).hidden & row.keys() for table, rows in told.items() for row in rows)
    assert f"checkpoints/{RUN}@1" in story["checkpoints"]
    assert f"metrics/{RUN}@1" in story["metrics"]
    assert "results/sample_recorded@1" in story["results"]
    # The videos' own training set holds no memes.
    assert not any("_vid_ft_" in name for name in story["checkpoints"])
    assert story["files"]
    assert all(len(digest) == 64 for digest in story["files"].values())


def test_texts_are_shown_only_when_asked_for(sample: Run, home: Path, tmp_path: Path) -> None:
    meme = trained_on(home)
    text = store(home).read("memes", "veggie").filter(pl.col("meme_id") == meme)["text"].item()
    quiet, told = tmp_path / "quiet.html", tmp_path / "told.html"
    assert text not in sample("audit", "meme", f"veggie/{meme}", "-o", str(quiet), "--json").stdout
    assert text not in quiet.read_text()
    sample("audit", "meme", f"veggie/{meme}", "-o", str(told), "--text")
    assert f"<summary>hidden</summary>{text}" in told.read_text()
    assert "<title>memes/veggie@1</title>" in quiet.read_text()
    assert "http" not in quiet.read_text()


@pytest.mark.parametrize("kind", ["checkpoint", "metric"])
def test_a_checkpoint_and_a_metric_are_followed_down_to_source_files(sample: Run, kind: str) -> None:
    story = as_json(sample("audit", kind, RUN, "--json"))
    names = {f"{each['table']}/{each['variant']}@{each['number']}" for each in story["versions"]}
    assert {"memes/veggie@1", "human_labels/veggie_garden@1", f"checkpoints/{RUN}@1"} <= names
    assert story["files"]
    assert "results/sample_recorded@1" in story["results"]


def test_a_release_is_followed_from_its_tag_down(sample: Run, home: Path) -> None:
    votes = store(home).version("voted_labels", "veggie_garden")
    inputs = {"voted_labels/veggie_garden": {"version": 1, "rows_hash": votes.rows_hash}}
    row = {
        "kind": "dataset", "name": "veggie_garden", "repo": "someone/garden", "version": 1, "tag": "v1",
        "commit": "c" * 40,
        "content_sha256": "0" * 64, "inputs": json.dumps(inputs), "files": "{}", "published_at": None,
    }  # fmt: skip
    released = pl.DataFrame([row], schema=dict(schemas.DATASET_RELEASES.columns)).with_columns(
        published_at=pl.lit("2026-01-01").str.to_datetime(time_unit="us", time_zone="UTC")
    )
    store(home).write(released, schemas.DATASET_RELEASES, "veggie_garden")
    story = as_json(sample("audit", "release", "v1", "--json"))
    assert {"memes", "predictions", "human_labels", "voted_labels"} <= {each["table"] for each in story["versions"]}
    meme = as_json(sample("audit", "meme", f"veggie/{trained_on(home)}", "--json"))
    assert [each["tag"] for each in meme["releases"]] == ["v1"]


def test_prov_and_openlineage_hold_the_whole_story(sample: Run, tmp_path: Path) -> None:
    prov, events = tmp_path / "story.prov.json", tmp_path / "events.jsonl"
    story = as_json(sample("audit", "metric", RUN, "-o", str(prov), "-o", str(events), "--json"))
    told = json.loads(prov.read_text())
    described = told["entity"].keys() | told["activity"].keys()
    assert {each["prov:entity"] for each in told["used"].values()} <= described
    assert f"m2v:metrics/{RUN}@1" in described
    told = [openlineage_event(json.loads(line)) for line in events.read_text().splitlines()]
    assert len(told) == len(story["versions"])
    assert {each.outputs[0].name for each in told if each.outputs} >= {"memes/veggie", f"metrics/{RUN}"}
    assert all(each.eventType is EventType.COMPLETE for each in told)


def openlineage_event(said: dict) -> RunEvent:
    """The event as the reference client builds it, which refuses what its specification does not allow."""
    datasets = {
        name: [kind(**{**each, "facets": {"version": facet(each)}}) for each in said[name]]
        for name, kind in (("inputs", InputDataset), ("outputs", OutputDataset))
    }
    kept = {name: said[name] for name in ("eventTime", "producer")}
    event = RunEvent(
        **kept, **datasets, eventType=EventType(said["eventType"]), run=JobRun(**said["run"]), job=Job(**said["job"])
    )
    assert said["schemaURL"] == event.schemaURL
    return event


def facet(dataset: dict) -> DatasetVersionDatasetFacet:
    return DatasetVersionDatasetFacet(datasetVersion=dataset["facets"]["version"]["datasetVersion"])


def test_the_page_is_one_file_with_the_graph_drawn_and_texts_folded(
    sample: Run, home: Path, tmp_path: Path, page: Page
) -> None:
    meme, text = hostile(home), "<script>document.title = 'gone'</script>"
    path = tmp_path / "story.html"
    sample("audit", "meme", f"veggie/{meme}", "--text", "-o", str(path), "--json")
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.goto(path.as_uri())
    assert asked_for == [path.as_uri()]
    assert page.title() == f"Audit of veggie/{meme}"
    names = page.locator("svg title").all_text_contents()
    assert {"memes/veggie@2", "voted_labels/veggie_garden@1"} <= set(names)
    assert page.locator("svg line").count() >= len(names) - 2
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the graph fits the window"
    folded = page.locator("details", has_text=text).first
    assert text not in page.inner_text("body")
    folded.locator("summary").click()
    assert text in folded.inner_text()


def hostile(home: Path) -> str:
    """A meme whose text is HTML now."""
    memes = store(home).read("memes", "veggie")
    meme = memes["meme_id"][0]
    text = pl.when(meme_id=meme).then(pl.lit("<script>document.title = 'gone'</script>")).otherwise("text")
    store(home).write(memes.with_columns(text=text), schemas.MEMES, "veggie", provenance={"parents": {}, "files": {}})
    return meme


def test_verify_names_a_release_whose_copy_or_input_is_not_what_was_published(sample: Run, home: Path) -> None:
    votes = store(home).version("voted_labels", "veggie_garden")
    folder = home / "releases/datasets/someone/garden/v1"
    folder.mkdir(parents=True)
    (folder / "labels.parquet").write_bytes(b"leeks")
    digest = hashlib.sha256(b"leeks").hexdigest()
    release(home, inputs={votes.name.partition("@")[0]: (1, votes.rows_hash)}, files={"labels.parquet": digest})
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
    (folder / "labels.parquet").write_bytes(b"leekz")
    (found,) = as_json(sample("audit", "verify", "--json", code=1))["problems"]
    assert found["where"].startswith("someone/garden@v1: ")
    assert found["what"] == "it is not what was uploaded"
    (folder / "labels.parquet").write_bytes(b"leeks")
    release(home, inputs={"voted_labels/veggie_garden": (1, "0" * 64), "voted_labels/gone": (3, "0")}, files={})
    found = as_json(sample("audit", "verify", "--json", code=1))["problems"]
    assert [(each["where"], each["what"]) for each in found] == [
        ("someone/garden@v1", "it read other rows than those that voted_labels/veggie_garden@1 has now"),
        ("someone/garden@v1", "it read voted_labels/gone@3, which is not in the store"),
    ]


def release(home: Path, *, inputs: dict[str, tuple[int, str]], files: dict[str, str]) -> None:
    read = {place: {"version": number, "rows_hash": digest} for place, (number, digest) in inputs.items()}
    row = {
        "kind": "dataset", "name": "veggie_garden", "repo": "someone/garden", "version": 1, "tag": "v1",
        "commit": "c" * 40, "content_sha256": "0" * 64, "inputs": json.dumps(read), "files": json.dumps(files),
        "published_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    rows = pl.DataFrame([row], schema=dict(schemas.DATASET_RELEASES.columns))
    store(home).write(rows, schemas.DATASET_RELEASES, "veggie_garden")


def test_verify_with_rows_finds_a_version_that_was_recorded_wrongly(sample: Run, home: Path) -> None:
    claim = home / "tables/memes/veggie/versions/1.json"
    said = json.loads(claim.read_text())
    said |= {"n_rows": said["n_rows"] + 1}
    said["claim_sha256"] = claim_digest(said)
    claim.write_text(json.dumps(said, indent=1, sort_keys=True))
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
    (found,) = as_json(sample("audit", "verify", "--rows", "--json", code=1))["problems"]
    assert "rows, " in found["what"]
    assert found["where"].startswith("memes/veggie@1: ")


def test_a_damaged_claim_hides_no_story_but_its_own(sample: Run, home: Path) -> None:
    (home / "tables/videos/garden/versions/1.json").write_text("{ half a cl")
    meme = trained_on(home)
    story = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    assert any(each["version"] == "memes/veggie@1" for each in story["rows"])
    assert any("videos/garden/versions/1.json is damaged" in gap for gap in story["gaps"])
    assert any("videos/garden@1 was read, and is not in the store" in gap for gap in story["gaps"])


def test_a_version_of_older_code_is_told_with_what_it_did_not_record(sample: Run, home: Path) -> None:
    claim = home / "tables/predictions/veggie_garden/versions/1.json"
    said = json.loads(claim.read_text())
    del said["claim_sha256"], said["provenance"]["files"], said["provenance"]["parents"]
    claim.write_text(json.dumps(said, indent=1, sort_keys=True))
    story = as_json(sample("audit", "checkpoint", RUN, "--json"))
    gap = "predictions/veggie_garden@1: source files were not recorded by that version of the code"
    assert gap in story["gaps"]
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []


def test_verify_names_a_flipped_byte_and_says_what_it_cannot_prove(sample: Run, home: Path) -> None:
    clean = as_json(sample("audit", "verify", "--json"))
    assert clean["problems"] == []
    assert clean["unprovable"]
    weights = next((home / "programs/checkpoints").glob("*/*/*.safetensors"))
    path = store(home).path(store(home).version("memes", "veggie"))
    for victim in (weights, path):
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    found = as_json(sample("audit", "verify", "--json", code=1))["problems"]
    assert {each["where"] for each in found} == {f"memes/veggie@1: {path}", str(weights)}


def test_verify_names_an_input_that_is_gone(sample: Run, home: Path) -> None:
    (home / "tables/predictions/veggie_garden/versions/1.json").unlink()
    found = as_json(sample("audit", "verify", "--json", code=1))["problems"]
    assert {
        "where": "conflicts/veggie_garden@1",
        "what": "it read predictions/veggie_garden@1, which is not in the store",
    } in found


def test_impact_names_the_tables_that_rest_on_a_label(sample: Run, home: Path) -> None:
    found = as_json(sample("audit", "impact", "meme", f"veggie/{trained_on(home)}", "--json"))
    assert {"voted_labels/veggie_garden@1", f"metrics/{RUN}@1", "results/sample_recorded@1"} <= set(found["stale"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["meme", "vegie/1"], "Did you mean veggie"),
        (["meme", "veggie/nothing"], "No meme of veggie is called 'nothing'"),
        (["checkpoint", "minilm_probe_rm_ft_veggie_garden_s1"], f"Did you mean {RUN}"),
        (["release", "v9"], "No release is called 'v9'"),
        (["diff", "memes/veggie@1", "@7"], "No stored version is called 'memes/veggie@7'"),
    ],
)
def test_a_wrong_name_is_one_message_with_the_nearest(sample: Run, arguments: list[str], message: str) -> None:
    done = sample("audit", *arguments, code=1)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_diff_names_the_changed_row_and_the_turned_answer_as_its_first_cause(
    sample: Run, home: Path, tmp_path: Path
) -> None:
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    votes = store(home).read("voted_labels", "veggie_garden")
    # Decided two to one: turning one of the two turns the vote.
    meme = votes.filter(decided_by="humans", margin=1, n_humans=3)["meme_id"][0]
    label = str(int(votes.filter(meme_id=meme)["label"].item()))
    path = Path(study).parent / "tables/sample/veggie_answers.csv"
    answers = pl.read_csv(path, infer_schema=False).with_row_index()
    turned = answers.filter(meme_id=meme, label=label)["index"][0]
    other = pl.when(pl.col("index") == turned).then(pl.lit(str(1 - int(label)))).otherwise("label")
    answers.with_columns(label=other).drop("index").write_csv(path)
    sample("run", "--study", study, "--select", "voted_labels/veggie_garden", "--json")
    found = as_json(sample("audit", "diff", "voted_labels/veggie_garden@1", "@2", "--json"))
    assert [row["meme_id"] for row in found["rows"]["voted_labels/veggie_garden"]] == [meme]
    (cause,) = found["causes"]
    assert (cause["kind"], cause["before"], cause["after"], cause["detail"]) == (
        "answers",
        "human_labels/veggie_garden@1",
        "human_labels/veggie_garden@2",
        "changed files: sample_veggie_answers_csv",
    )
    assert [(row["meme_id"], row["columns"]) for row in cause["rows"]] == [(meme, "label")]
