"""Releases, from the command to a server that speaks the Hub's language and back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from m2v import schemas
from m2v_resources.store.versions import TableStore
from tests.hub_server import READER, WRITER, Fault, HubServer, serving
from tests.m2v_assets.conftest import Run, as_json, command
from tests.m2v_assets.strangers import LOAD_ADAPTER, READ_BACK, python

PUBLISHED = ("fhm_hatemm", "fhm_mhc", "mami_hatemm", "mami_mhc")
RUN = "minilm_lora_rm_ft_veggie_garden_s0"
Publish = Callable[..., Any]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with serving() as state:
        yield state


def environment(hub: HubServer, folder: Path, *, token: str | None = WRITER) -> dict[str, str]:
    """What points the real client at the server, whatever is stored on this machine."""
    said = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**said, "HF_TOKEN": token or ""}


@pytest.fixture
def publish(sample: Run, hub: HubServer, tmp_path: Path) -> Publish:
    """`m2v publish …` in the home of the sample study, as JSON; with a code, what it said on standard error."""

    def say(*arguments: str, code: int = 0, token: str | None = WRITER) -> Any:
        machine = () if code else ("--json",)
        where = () if "--study" in arguments else ("--study", "sample-recorded")
        said = environment(hub, tmp_path, token=token)
        done = sample("publish", *arguments, *where, *machine, code=code, **said)
        assert "Traceback" not in done.stderr
        assert WRITER not in done.stdout + done.stderr
        return " ".join(done.stderr.split()) if code else as_json(done)

    return say


def edited(study: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = Path(study)
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(said)
    path.write_text(yaml.safe_dump(said), encoding="utf-8")


def test_the_four_published_alignments_are_released_audited_changed_and_released_again(
    hub: HubServer, tmp_path: Path
) -> None:
    """The README's walk-through."""
    home = tmp_path / "home"
    m2v, env = command(home), environment(hub, tmp_path)
    m2v("run", "--select", "voted_labels", "--json")
    published = as_json(m2v("publish", "dataset", *PUBLISHED, "--to", "gardener/memes", "--json", **env))
    assert (published["tag"], published["is_new"]) == ("v1", True)

    # Read back: every row, the allowed columns, and no others.
    store = TableStore(home / "tables")
    found = python(READ_BACK, "gardener/memes", "v1", *PUBLISHED, env=env)
    for alignment in PUBLISHED:
        rows = pl.DataFrame(found[alignment]["train"], infer_schema_length=None).sort("meme_id")
        assert rows.height == 3000
        votes = store.read("voted_labels", alignment).sort("meme_id")
        assert rows["label"].to_list() == votes["label"].to_list()
        assert rows["margin"].to_list() == votes["margin"].to_list()
        allowed = {"split", "label", "decided_by", "n_votes", "n_humans", "margin", "probability", "text_sha256"}
        assert set(rows.columns) == {"meme_id", *allowed}

    # From the tag down to a row of the source.
    story = as_json(m2v("audit", "release", "gardener/memes@v1", "--meme", "fhm/37408", "--json"))
    about = {each["version"]: each["row"] for each in story["rows"]}
    assert about["memes/fhm@1"]["meme_id"] == "37408"
    assert about["human_labels/fhm_hatemm@1"]["annotator"] == "fhm-recorded-1"
    assert about["voted_labels/fhm_hatemm@1"]["decided_by"] == "humans"
    assert len(story["files"]["published_fhm_aligned_with_hatemm_csv"]) == 64
    assert story["release"]["files"] == published["files"]

    # One answer is turned, in a copy of the study whose tables are the user's to edit.
    study = as_json(m2v("study", "copy", "published", str(tmp_path / "mine"), "--json"))["study"]
    (source,) = Path(study).parent.rglob("fhm_aligned_with_hatemm.csv")
    table = pl.read_csv(source, infer_schema=False)
    turned = pl.when(id="37408").then((1 - pl.col("human_annotation").cast(float).cast(int)).cast(pl.String))
    table.with_columns(human_annotation=turned.otherwise("human_annotation")).write_csv(source)
    m2v("run", "--study", study, "--select", "voted_labels", "--json")
    arguments = ("publish", "dataset", *PUBLISHED, "--to", "gardener/memes", "--study", study, "--json")
    preview = as_json(m2v(*arguments, "--dry-run", **env))
    changed = {config: rows["changed"] for config, rows in preview["rows"].items()}
    assert changed == {"fhm_hatemm": ["37408"], "fhm_mhc": [], "mami_hatemm": [], "mami_mhc": []}
    again = as_json(m2v(*arguments, **env))
    assert (again["tag"], again["is_new"]) == ("v2", True)

    # The difference names that row, and that answer as its cause.
    found = as_json(m2v("audit", "diff", "gardener/memes@v1", "@v2", "--json"))
    votes = [row["meme_id"] for place, rows in found["rows"].items() for row in rows if "voted" in place]
    assert votes == ["37408"]
    (cause,) = found["causes"]
    assert (cause["kind"], cause["before"]) == ("answers", "human_labels/fhm_hatemm@1")
    assert [(row["meme_id"], row["annotator"], row["columns"]) for row in cause["rows"]] == [
        ("37408", "fhm-recorded-1", "label")
    ]
    assert list(hub.dataset("gardener/memes").tags) == ["v1", "v2"]
    assert as_json(m2v("audit", "verify", "--json"))["problems"] == []


def test_a_dry_run_writes_exactly_what_is_then_uploaded_and_uploads_nothing(publish: Publish, hub: HubServer) -> None:
    preview = publish("dataset", "veggie_garden", "--to", "gardener/leeks", "--dry-run")
    assert hub.repos == {}
    assert set(preview["files"].values()) == {"added"}
    before = {path: (Path(preview["folder"]) / path).read_bytes() for path in preview["files"]}
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    held = hub.dataset("gardener/leeks").head.files
    assert {path: held[path] for path in before} == before
    assert publish("dataset", "veggie_garden", "--to", "gardener/leeks", "--dry-run")["folder"] is None


def test_an_adapter_is_loaded_by_peft_as_it_was_trained(publish: Publish, hub: HubServer, home: Path) -> None:
    import torch

    from m2v.catalog import open_study
    from m2v.detectors.text_lora import classifier
    from m2v.models import weights

    run = open_study("sample-recorded").run(RUN)
    published = publish("adapter", RUN, "--to", "gardener/leek-finder")
    assert sorted(published["files"]) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "release.json",
    ]  # fmt: skip
    held = hub.model("gardener/leek-finder").head.files
    config = json.loads(held["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == (run.base.hub, run.base.revision)
    base = str(weights.folder(run.base))
    loaded = python(LOAD_ADAPTER, "gardener/leek-finder", "v1", base, env=environment(hub, home.parent))
    row = TableStore(home / "tables").read("checkpoints", RUN)
    trained = classifier.load(run.base, home / row["folder"].item()).eval()
    with torch.no_grad():
        tokens = torch.arange(1000, 1012).reshape(2, 6)
        expected = trained(input_ids=tokens, attention_mask=torch.ones(2, 6, dtype=torch.long))["logits"].tolist()
    assert loaded["logits"] == pytest.approx(expected, abs=1e-6)

    scores = TableStore(home / "tables").read("metrics", RUN).row(0, named=True)
    card = held["README.md"].decode()
    low, high = scores["macro_f1_low"], scores["macro_f1_high"]
    assert f"| macro_f1 | {scores['macro_f1']:.3f} | {low:.3f} to {high:.3f} |" in card
    points = TableStore(home / "tables").read("operating_points", "sample_recorded").filter(run=RUN)
    for row in points.filter(goal="recall").to_dicts():
        ends = [f"{row['recall' + end]:.3f}" for end in ("", "_low", "_high")]
        assert f"| recall at least 0.9 | {row['threshold']:.4f} | {row['promise'].replace('_', ' ')} |" in card
        assert f"| {ends[0]} ({ends[1]} to {ends[2]}) |" in card
    raw = TableStore(home / "tables").read("calibration", "sample_recorded").filter(run=RUN, scaling="none")
    assert f"| none | {raw['ece'].item():.3f} ({raw['ece_low'].item():.3f} to" in card
    assert "## Where it fails\n\nWorst slice: words" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == run.base.hub
    assert front["model-index"][0]["results"][0]["dataset"]["type"] == "garden"
    # The champion that is out there is compared with whatever challenges it.
    other = "minilm_probe_rm_ft_veggie_garden_s0"
    released = as_json(command(home)("compare", "gardener/leek-finder@v1", other, "--json"))
    assert released == as_json(command(home)("compare", f"{RUN}@1", other, "--json"))
    latest = as_json(command(home)("compare", "gardener/leek-finder", other, "--json"))
    assert latest == released
    refused = command(home)("compare", "gardener/leek-finder@v7", other, code=1)
    assert "Did you mean gardener/leek-finder@v1?" in " ".join(refused.stderr.split())
    # What it was trained on is named, and once that is published, linked.
    assert "training_examples/rm_ft_veggie_garden, rows hash" in card
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    again = publish("adapter", RUN, "--to", "gardener/leek-finder")
    assert (again["tag"], again["is_new"]) == ("v1", False)
    story = as_json(command(home)("audit", "checkpoint", RUN, "--json"))
    assert {each["repo"] for each in story["releases"]} >= {"gardener/leek-finder"}


def test_a_study_that_says_so_publishes_when_it_is_run(sample: Run, home: Path, hub: HubServer, tmp_path: Path) -> None:
    env = environment(hub, tmp_path)
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    said = {"namespace": "gardener", "datasets": ["veggie_garden"], "adapters": [RUN], "gated": False, "private": False}
    edited(study, lambda each: each.update(publish=said))
    done = as_json(sample("run", "--study", study, "--json", **env))
    assert set(done["assets"]) == {"dataset_releases/veggie_garden", f"adapter_releases/{RUN}"}
    rows = TableStore(home / "tables").read("dataset_releases", "veggie_garden")
    repo = hub.dataset("gardener/veggie-garden")
    assert rows.select("repo", "version", "tag", "commit").rows() == [("gardener/veggie-garden", 1, "v1", repo.head.id)]
    assert (repo.private, repo.gated) == (False, False)
    assert as_json(sample("run", "--study", study, "--json", **env))["materialised"] == 0
    assert list(repo.tags) == ["v1"]


def test_a_column_that_the_licence_does_not_allow_fails_the_publish(
    sample: Run, publish: Publish, hub: HubServer, home: Path, tmp_path: Path
) -> None:
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    source = Path(study).parent / "sources" / "sample.yaml"
    edited(study, lambda each: each.update(publish={"namespace": "gardener", "columns": ["meme_id", "label", "text"]}))
    edited(str(source), lambda each: each["licence"].update(publishable=["meme_id", "label"]))
    said = publish("dataset", "veggie_garden", "--study", study, code=1)
    assert "Column 'text' of veggie may not be published under its licence" in said
    edited(str(source), lambda each: each["licence"].pop("publishable"))
    said = publish("dataset", "veggie_garden", "--study", study, code=1)
    assert "names no publishable columns, so nothing of it is published" in said
    assert hub.repos == {}
    assert not (home / "releases").exists()


def test_what_a_maintainer_added_on_the_hub_survives(publish: Publish, hub: HubServer, home: Path) -> None:
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    repo = hub.dataset("gardener/leeks")
    card = repo.head.files["README.md"].decode()
    card = card.replace("license: other", "license: mit\nthumbnail: leek.png", 1).replace(
        "- m2v\n", "- m2v\n- soup\n", 1
    )
    hub.edit(repo, "README.md", card.replace("## Use", "## Thanks\n\nTo the gardeners.\n\n## Use", 1))
    # The votes change: one answer fewer.
    store = TableStore(home / "tables")
    answers = store.read("human_labels", "veggie_garden")
    shorter(store, answers.head(answers.height - 1))
    assert publish("dataset", "veggie_garden", "--to", "gardener/leeks")["tag"] == "v2"
    merged = repo.head.files["README.md"].decode()
    # No detector has learned the new votes.
    assert "detectors that learned these labels: none has been scored yet." in merged
    front = yaml.safe_load(merged.split("---")[1])
    assert (front["license"], front["thumbnail"]) == ("other", "leek.png")
    assert {"m2v", "soup", "not-for-all-audiences"} <= set(front["tags"])
    assert front["m2v"]["version"] == "v2"
    assert "## Thanks\n\nTo the gardeners.\n" in merged
    assert merged.count("## Use") == 1


def shorter(store: TableStore, answers: pl.DataFrame) -> None:
    """Write the answers and the votes that follow from them."""
    from m2v.annotation import voting
    from m2v.entries.study import VoteRule

    store.write(answers, schemas.HUMAN_LABELS, "veggie_garden")
    predictions = store.read("predictions", "veggie_garden")
    votes = voting.final_labels(predictions, answers, rule=VoteRule(min_answers=2))
    store.write(votes, schemas.VOTED_LABELS, "veggie_garden")


def test_the_card_is_filled_from_the_tables(publish: Publish, hub: HubServer, home: Path) -> None:
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    card = hub.dataset("gardener/leeks").head.files["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license_link"] == "https://www.apache.org/licenses/LICENSE-2.0"
    assert front["annotations_creators"] == ["machine-generated", "other"]
    assert front["extra_gated_prompt"]
    store = TableStore(home / "tables")
    votes, answers = store.read("voted_labels", "veggie_garden"), store.read("human_labels", "veggie_garden")
    assert f"{answers.height} answers by {answers['annotator'].n_unique()} annotators" in card
    true, false = (votes.filter(label=label).height for label in (True, False))
    assert f"| `veggie_garden` | {true} | {false} | {votes['label'].null_count()} |" in card
    for section in ("What a label means", "Agreement", "Known defects", "Intended and refused uses"):
        assert f"## {section}" in card
    worst = "detectors that learned these labels: Worst slice: words"
    assert worst in card
    croissant = json.loads(hub.dataset("gardener/leeks").head.files["croissant.json"])
    assert any(worst in bias for bias in croissant["rai:dataBiases"])
    assert not any(annotator in card for annotator in answers["annotator"].unique())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("dataset", "veggie_gardn"),
            "No alignment of study 'sample-recorded' is called 'veggie_gardn'. Did you mean veggie",
        ),
        (("adapter", "minilm_lora_rm_ft_veggie"), f"Did you mean {RUN}"),
        (
            ("adapter", "minilm_probe_rm_ft_veggie_garden_s0"),
            "has no adapter; only trained runs of LoRA models are published",
        ),
        (("dataset", "veggie_garden", "--to", "gardener/rotten"), "This name is reserved"),
        (("dataset", "veggie_garden", "--to", "gar dener/leeks"), "cannot name a repository"),
        (("dataset", "veggie_garden", "--to", "visitor/leeks"), "may not write there"),
    ],
)
def test_a_wrong_name_is_one_message_and_nothing_is_made(
    publish: Publish, hub: HubServer, home: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in publish(*arguments, code=1)
    assert hub.repos == {}
    assert not (home / "tables" / "dataset_releases").exists()


def test_without_a_token_or_the_right_nothing_is_made(publish: Publish, hub: HubServer) -> None:
    assert "There is no Hugging Face token" in publish("dataset", "veggie_garden", code=1, token=None)
    said = publish("dataset", "veggie_garden", "--to", "gardener/leeks", code=1, token=READER)
    assert "may not write there" in said
    assert "does not accept the token" in publish("dataset", "veggie_garden", code=1, token="hf_unknown")  # noqa: S106
    assert hub.repos == {}


def test_a_dry_run_needs_no_token_and_asks_no_server(publish: Publish, hub: HubServer) -> None:
    preview = publish("dataset", "veggie_garden", "--dry-run", token=None)
    assert (preview["repo"], preview["tag"], preview["is_compared"]) == ("you/veggie-garden", "v1", False)
    assert (Path(preview["folder"]) / "README.md").is_file()
    assert set(preview["files"].values()) == {"added"}
    said = publish("dataset", "veggie_garden", "--to", "a--b/leeks", "--dry-run", code=1, token=None)
    assert "cannot name a repository" in said
    assert not hub.calls


def test_votes_that_do_not_follow_from_their_answers_are_not_published(
    publish: Publish, hub: HubServer, home: Path
) -> None:
    store = TableStore(home / "tables")
    answers = store.read("human_labels", "veggie_garden")
    store.write(answers.with_columns(~pl.col("label")), schemas.HUMAN_LABELS, "veggie_garden")
    assert "veggie_garden is out of date" in publish("dataset", "veggie_garden", code=1)
    assert hub.repos == {}


def test_an_adapter_whose_scores_are_another_checkpoints_is_not_published(
    publish: Publish, hub: HubServer, home: Path
) -> None:
    store = TableStore(home / "tables")
    row = store.read("checkpoints", RUN)
    parents = store.version("checkpoints", RUN).provenance
    store.write(row.with_columns(threshold=pl.lit(0.123)), schemas.CHECKPOINTS, RUN, provenance=parents)
    assert f"{RUN} is out of date" in publish("adapter", RUN, "--to", "gardener/leek-finder", code=1)
    assert hub.repos == {}


def test_an_adapter_whose_thresholds_are_of_other_predictions_is_not_published(
    publish: Publish, hub: HubServer, home: Path
) -> None:
    store = TableStore(home / "tables")
    points = store.read("operating_points", "sample_recorded")
    store.write(points.head(4), schemas.OPERATING_POINTS, "sample_recorded", provenance={"parents": {}})
    said = publish("adapter", RUN, "--to", "gardener/leek-finder", code=1)
    assert f"is of other predictions of {RUN} than its scores are" in said
    assert "m2v run --select operating_points/sample_recorded" in said
    assert hub.repos == {}


def test_a_release_whose_file_was_changed_is_not_joined_to_anything(
    publish: Publish, sample: Run, hub: HubServer, home: Path, tmp_path: Path
) -> None:
    folder = Path(publish("dataset", "veggie_garden", "--to", "gardener/leeks", "--dry-run")["folder"])
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    memes = TableStore(home / "tables").read("memes", "veggie")
    copy, out = tmp_path / "copy.parquet", tmp_path / "memes.parquet"
    memes.select("text", id="meme_id").write_parquet(copy)
    data = next(folder.rglob("train.parquet"))
    name = data.relative_to(folder).as_posix()
    pl.read_parquet(data).with_columns(~pl.col("label")).write_parquet(data)
    tagged = hub.dataset("gardener/leeks").at("v1")
    assert tagged
    tagged.files[name] = data.read_bytes()
    for release in (str(folder), "gardener/leeks@v1"):
        refused = sample(
            "rehydrate", release, "--source", str(copy), "-o", str(out), code=1, **environment(hub, tmp_path)
        )
        assert f"{name} is damaged: its sha256 is not the one that was published" in " ".join(refused.stderr.split())
    assert not out.exists()


def test_a_release_is_not_recorded_when_its_upload_fails(publish: Publish, hub: HubServer, home: Path) -> None:
    hub.faults["commit"].append(Fault(status=403, times=100))
    publish("dataset", "veggie_garden", "--to", "gardener/leeks", code=1)
    assert not (home / "tables" / "dataset_releases").exists()
    hub.faults.clear()
    assert publish("dataset", "veggie_garden", "--to", "gardener/leeks")["tag"] == "v1"


def test_ones_own_copy_is_joined_back_by_id_and_hash(
    publish: Publish, sample: Run, hub: HubServer, home: Path, tmp_path: Path
) -> None:
    publish("dataset", "veggie_garden", "--to", "gardener/leeks")
    memes = TableStore(home / "tables").read("memes", "veggie").sort("meme_id")
    copy = tmp_path / "copy.csv"
    gone, other = memes["meme_id"][0], memes["meme_id"][1]
    text = pl.when(pl.col("meme_id") == other).then(pl.lit("another leek")).otherwise("text")
    memes.filter(pl.col("meme_id") != gone).select(id="meme_id", text=text).write_csv(copy)
    out = tmp_path / "memes.parquet"
    said = environment(hub, tmp_path)
    arguments = ("rehydrate", "gardener/leeks@v1", "--source", str(copy), "-o", str(out), "--json")
    found = as_json(sample(*arguments, code=1, **said))
    assert (found["missing"], found["changed"]) == ([gone], [other])
    assert pl.read_parquet(out).height == memes.height - 2
    memes.select(id="meme_id", text="text").write_csv(copy)
    assert as_json(sample(*arguments, **said))["n_rows"] == memes.height
    assert pl.read_parquet(out).sort("meme_id")["text"].to_list() == memes["text"].to_list()
    refused = sample("rehydrate", "gardener/leeks@v7", "--source", str(copy), "-o", str(out), code=1, **said)
    assert "has no version v7; it has v1" in " ".join(refused.stderr.split())
