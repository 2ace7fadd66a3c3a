"""Detectors on recorded features of made videos of vegetables, under operators, through the whole graph."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

COUNTS = {"train": 240, "validation": 200, "test": 400}
LINEAR = {"kind": "fusion", "width": 0, "epochs": 60, "patience": 60, "learning_rate": 0.01, "weight_decay": 0.0}
VIDEOS = {
    "title": "Beds of vegetables",
    "source": "beds",
    "layout": "published",
    "files": ["beds.csv"],
    "label": {
        "positive": "mean",
        "negative": "kind",
        "positive_definition": "It is mean to a vegetable.",
        "negative_definition": "It is kind to vegetables.",
    },
    "features": {
        name: {"recorded": f"{name}.parquet", "modality": modality, "extractor": name}
        for name, modality in (("words", "text"), ("noises", "sound"))
    },
}
FAMILY = {"weak": ("noise", 2.0), "strong": ("noise", 8.0), "between": ("noise", 4.0), "half": ("drop", 0.5)}
STUDY = """
title: Beds under operators
targets: [beds]
operators: [swap-text, mirror-text, mask-text, swap-sound, said-between, said-half]
training:
  - {model: said, strategies: [vid_ft]}
  - {model: both, strategies: [vid_ft]}
  - {model: both, strategies: [vid_ft], augment: [said-weak, said-strong], share: 1}
"""
SAID, BOTH, ROBUST = (f"{model}_vid_ft_beds_s0" for model in ("said", "both", "both_with_said_weak_said_strong_1"))


def written(folder: Path, name: str, entry: dict) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry), encoding="utf-8")  # JSON is YAML


def make(folder: Path) -> Path:
    """Write a study of made videos; give its file."""
    generator = np.random.default_rng(3)
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    labels = np.arange(len(splits)) % 2
    signs = 2.0 * labels - 1
    ids = [f"bed{number:03}" for number in range(len(splits))]
    columns = {"id": ids, "video": [f"{name}.mp4" for name in ids], "frames": "", "image": "", "audio": ""}
    texts = [f"bed number {number}" for number in range(len(splits))]
    folder.mkdir()
    pl.DataFrame({**columns, "text": texts, "type": splits, "label": labels}).write_csv(folder / "beds.csv")
    # The transcript says the label eight times over; of a hundred videos' sound one says the wrong one.
    said = signs[:, None] + 0.3 * generator.normal(size=(len(ids), 8))
    is_wrong = generator.random(len(ids)) < 0.01
    heard = np.where(is_wrong, -signs, signs)[:, None] + 0.3 * generator.normal(size=(len(ids), 3))
    for name, vectors in (("words", said), ("noises", heard)):
        rows = pl.DataFrame({"item_id": ids, "embedding": vectors.tolist()})
        rows.write_parquet(folder / f"{name}.parquet")
    files = {name: {} for name in ("beds.csv", "words.parquet", "noises.parquet")}
    source = {"title": "Made beds", "licence": {"name": "Apache-2.0"}, "folders": ["."], "files": files}
    written(folder, "sources/beds.yaml", source)
    written(folder, "videos/beds.yaml", VIDEOS)
    for model, features in (("said", ["words"]), ("both", ["words", "noises"])):
        written(folder, f"models/{model}.yaml", {"title": f"What is {model}", "features": features, **LINEAR})
    for name, (kind, strength) in FAMILY.items():
        entry = {"kind": kind, "modality": "text", "strength": strength, "label": "stays", "seed": len(name)}
        written(folder, f"operators/said-{name}.yaml", {"title": f"Noise: {name}", **entry})
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    study, home = make(folder / "study"), folder / "home"
    assert as_json(command(home)("run", "--study", str(study), "--json"))["failed"] == 0
    return home


@pytest.fixture(scope="module")
def store(home: Path) -> TableStore:
    return TableStore(home / "tables")


def row(store: TableStore, run: str, operator: str) -> dict:
    [found] = store.read("robustness", "study").filter(run=run, operator=operator).to_dicts()
    return found


def test_a_text_only_model_under_text_swap_falls_to_its_false_positive_rate(store: TableStore) -> None:
    found = row(store, SAID, "swap-text")
    assert found["recall_before"] > 0.95
    # Every positive video says now what a negative one says.
    n, rate = found["n_items"], found["false_positive_rate"]
    assert n == COUNTS["test"] // 2
    assert abs(found["recall_after"] - rate) < 3 * np.sqrt(max(rate * (1 - rate), 1 / n) / n)
    assert found["lost_share"] > 0.95
    mirrored = row(store, SAID, "mirror-text")
    assert mirrored["wrongly_flagged_share"] > 0.95
    assert row(store, SAID, "swap-sound")["note"] == "does not see sound"
    assert row(store, SAID, "mask-text")["note"] == "no test video can be changed so"
    assert row(store, BOTH, "mask-text")["n_items"] == COUNTS["test"]


def test_training_on_a_family_of_noise_halves_the_loss_under_noise_that_it_has_not_seen(store: TableStore) -> None:
    for operator in ("said-between", "said-half"):
        plain, robust = (row(store, run, operator) for run in (BOTH, ROBUST))
        assert plain["n_lost"] >= 5, operator
        assert robust["lost_share"] <= plain["lost_share"] / 2, operator
        assert not robust["is_seen"]
    assert row(store, ROBUST, "said-weak")["is_seen"]
    scores = {run: store.read("metrics", run)["macro_f1"].item() for run in (BOTH, ROBUST)}
    assert scores[ROBUST] >= scores[BOTH] - 0.02
    assert row(store, ROBUST, "said-weak")["untouched_change"] == pytest.approx(scores[ROBUST] - scores[BOTH])


def test_operators_on_test_videos_touch_no_training(home: Path, store: TableStore) -> None:
    tested = set(store.read("videos", "beds").filter(split="test")["video_id"])
    trained = store.read("training_examples", "vid_ft_beds")["item_id"]
    assert not tested & set(trained)
    [folder] = (home / "programs" / "checkpoints" / ROBUST).iterdir()
    items = pl.read_parquet(folder / "train_items.parquet")
    assert items.height == 2 * len(trained)
    assert set(items["item_id"].str.extract("^([^~]*)")) == set(trained)
    made = store.read("operated_predictions", SAID)
    assert set(made["video_id"]) == tested
    assert set(made.drop_nulls("donor_id")["donor_id"]) <= tested
    # No table of items has any of them.
    for table, name in (("videos", "beds"), ("features", "words_beds")):
        rows = store.read(table, name)
        assert not rows["video_id" if table == "videos" else "item_id"].str.contains("~").any()


def test_the_report_and_its_figures_say_it(home: Path, store: TableStore) -> None:
    study = home.parent / "study" / "study.yaml"
    said = as_json(command(home)("report", "--study", str(study), "--json"))
    saved = json.loads(Path(said["json"]).read_text(encoding="utf-8"))
    assert len(saved["robustness"]) == store.read("robustness", "study").height == 3 * 8
    page = Path(said["report"]).read_text(encoding="utf-8")
    assert "Most is lost by" in page
    assert "does not see sound" in page
    assert "no test video can be changed so" in page


def test_the_audit_trail_leads_from_robustness_to_the_source_files(home: Path) -> None:
    told = as_json(command(home)("audit", "metric", "robustness/study", "--json"))
    names = {f"{node['table']}/{node['variant']}" for node in told["versions"]}
    assert f"operated_predictions/{ROBUST}" in names
    assert f"checkpoints/{ROBUST}" in names
    assert any("beds_csv" in name for name in told["files"])
    wrong = command(home)("audit", "metric", "robustnes/study", code=1)
    assert "No table is called 'robustnes'. Did you mean robustness" in wrong.stderr


@pytest.mark.parametrize(
    ("path", "before", "after", "message"),
    [
        ("study.yaml", "swap-text,", "swap-txt,", "No operator is called 'swap-txt'. Did you mean swap-text"),
        ("study.yaml", "augment: [said-weak", "augment: [swap-frames", "it does not see frames, only sound, text"),
        ("study.yaml", "share: 1", "share: 2", "share"),
        ("study.yaml", ", augment: [said-weak, said-strong]", "", "name its operators there"),
        ("operators/said-weak.yaml", '"noise"', '"nois"', "'nois' is not known. Did you mean noise"),
        ("operators/said-weak.yaml", '"text"', '"txt"', "'txt' is not known. Did you mean text"),
        ("operators/said-weak.yaml", '"strength": 2.0', '"strength": 11', "of kind noise it is at most 10"),
        ("operators/said-weak.yaml", '"strength": 2.0', '"strength": -1', "greater than 0"),
        ("operators/said-weak.yaml", '"label": "stays", ', "", "label: this key is missing"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, path: str, before: str, after: str, message: str) -> None:
    study = make(tmp_path / "study")
    entry = study.parent / path
    text = entry.read_text(encoding="utf-8")
    assert before in text
    entry.write_text(text.replace(before, after, 1), encoding="utf-8")
    done = command(tmp_path / "home")("status", "--study", str(study), code=1)
    assert message in " ".join(done.stderr.split())
