"""What a change recomputes: everything that it reaches, and nothing else."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from m2v.files.checkout import CHECKOUT
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import Run, as_json
from tests.m2v_assets.test_graph import GRAPH

ROWS = list[dict[str, str]]


@pytest.fixture
def study(sample: Run, tmp_path: Path) -> str:
    """The sample study copied out, whose files are the test's to edit, in a home where all of it is made."""
    path = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    assert as_json(sample("run", "--study", path, "--json"))["materialised"] == 0, "a copy is the same study"
    return path


def edit(study: str, file: str, change: Callable[[ROWS], None]) -> None:
    path = Path(study).parent / "tables" / "sample" / file
    with path.open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    change(rows)
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def below(*assets: str) -> set[str]:
    """These assets and everything that rests on them."""
    found = set(assets)
    while more := {asset for asset, parents in GRAPH.items() if parents & found} - found:
        found |= more
    return found


def test_a_second_run_makes_nothing(sample: Run) -> None:
    done = as_json(sample("run", "--study", "sample-recorded", "--json"))
    assert (done["materialised"], done["waves"], done["failed"]) == (0, 0, 0)
    assert as_json(sample("status", "--study", "sample-recorded", "--json")) == {
        "stale": [],
        "missing_sources": {},
        "missing": {},
        "lost": [],
    }


def test_one_turned_answer_reaches_the_vote_and_what_was_trained_on_it(sample: Run, study: str, home: Path) -> None:
    store = TableStore(home / "tables")
    votes = store.read("voted_labels", "veggie_garden")
    # Decided two to one: turning one of the two turns the vote.
    meme = votes.filter(decided_by="humans", margin=1, n_humans=3)["meme_id"][0]
    label = votes.filter(meme_id=meme)["label"].item()

    def turn(rows: ROWS) -> None:
        row = next(row for row in rows if row["meme_id"] == meme and row["label"] == str(int(label)))
        row["label"] = str(int(not label))

    edit(study, "veggie_answers.csv", turn)
    stale = as_json(sample("status", "--study", study, "--json"))["stale"]
    assert stale == [{"asset": "human_labels/veggie_garden", "reason": "data of files/sample_veggie_answers_csv"}]
    done = as_json(sample("run", "--study", study, "--json"))
    reached = below("human_labels/veggie_garden")
    made = set(done["assets"])
    assert made <= reached
    assert made >= {
        "human_labels/veggie_garden",
        "voted_labels/veggie_garden",
        "training_examples/rm_ft_veggie_garden",
        "training_examples/vid_rm_ft_veggie_garden",
        "checkpoints/minilm_probe_rm_ft_veggie_garden_s0",
        "checkpoints/minilm_probe_vid_rm_ft_veggie_garden_s0",
        "checkpoints/minilm_lora_rm_ft_veggie_garden_s0",
        "reports/sample_recorded",
    }
    assert not any("om_ft" in asset or "_vid_ft_" in asset or "no_ft" in asset for asset in made)
    assert as_json(sample("run", "--study", study, "--json"))["materialised"] == 0
    changed = as_json(sample("tables", "diff", "voted_labels/veggie_garden@1", "@2", "--json"))["rows"]
    assert [(row["meme_id"], row["label_before"], row["label_after"]) for row in changed] == [(meme, label, not label)]


def test_an_answer_that_turns_no_vote_stops_there(sample: Run, study: str, home: Path) -> None:
    votes = TableStore(home / "tables").read("voted_labels", "veggie_garden")
    meme = votes.filter(decided_by="humans", margin=3)["meme_id"][0]  # unanimous: one may turn

    def turn(rows: ROWS) -> None:
        row = next(row for row in rows if row["meme_id"] == meme)
        row["label"] = "10"[int(row["label"])]

    edit(study, "veggie_answers.csv", turn)
    done = as_json(sample("run", "--study", study, "--json"))
    # The margin of the vote changes, the labels do not: the examples are equal, so nothing is trained.
    assert sorted(done["assets"]) == [
        "human_labels/veggie_garden",
        "rejects/rm_ft_veggie_garden",
        "rejects/vid_rm_ft_veggie_garden",
        "reports/sample_recorded",
        "training_examples/rm_ft_veggie_garden",
        "training_examples/vid_rm_ft_veggie_garden",
        "voted_labels/veggie_garden",
    ]


def test_one_changed_text_is_the_only_one_that_is_encoded(sample: Run, study: str, home: Path) -> None:
    edit(study, "veggie_aligned_with_garden.csv", lambda rows: rows[0].update(text="the leeks are late this year"))
    done = as_json(sample("run", "--study", study, "--json"))
    reached = below("memes/veggie")
    assert set(done["assets"]) <= reached
    assert {"memes/veggie", "features/minilm_veggie", "predictions/veggie_garden"} <= set(done["assets"])
    # Votes rest on labels, which did not change, so no human answer is asked for again.
    assert "conflicts/veggie_garden" in done["assets"]
    assert "human_labels/veggie_garden" not in done["assets"]
    manifests = sorted((home / "programs" / "extract" / "minilm_veggie").glob("*/manifest.json"))
    counts = [as_manifest(path)["n_computed"] for path in manifests]
    assert sorted(counts) == [1, max(counts)]


def as_manifest(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_what_changed_of_a_code_version_is_named(sample: Run, study: str) -> None:
    said = {}
    videos, model = Path(study).parent / "videos" / "garden.yaml", Path(study).parent / "models" / "minilm-lora.yaml"
    as_it_was = videos.read_text(encoding="utf-8")
    # Nothing of the recorded study is asked in words; its demonstrations are known by the words of the label.
    videos.write_text(as_it_was.replace("positive: insulting", "positive: rude"), encoding="utf-8")
    for stale in as_json(sample("status", "--study", study, "--json"))["stale"]:
        said[stale["asset"]] = stale["reason"]
    assert said["demonstrations/garden"] == "changed policy"
    videos.write_text(as_it_was, encoding="utf-8")
    model.parent.mkdir(exist_ok=True)
    ours = (CHECKOUT / "m2v" / "catalog" / "models" / "minilm-lora.yaml").read_text(encoding="utf-8")
    model.write_text(ours.replace("epochs: ", "epochs: 1"), encoding="utf-8")
    stale = {each["asset"]: each["reason"] for each in as_json(sample("status", "--study", study, "--json"))["stale"]}
    assert stale["checkpoints/minilm_lora_rm_ft_veggie_garden_s0"] == "changed model"
    model.unlink()
    text = Path(study).read_text(encoding="utf-8")
    Path(study).write_text(text.replace("min_answers: 2", "min_answers: 3"), encoding="utf-8")
    stale = {each["asset"]: each["reason"] for each in as_json(sample("status", "--study", study, "--json"))["stale"]}
    assert stale["voted_labels/veggie_garden"] == "changed min answers"
    sample("run", "--study", study, "--select", "voted_labels", "--json")
    told = as_json(sample("audit", "diff", "voted_labels/veggie_garden@1", "voted_labels/veggie_garden@2", "--json"))
    assert [each["kind"] for each in told["causes"]] == ["min answers"]


def test_touching_a_file_or_only_its_bytes_recomputes_what_reads_it_and_stops(sample: Run, study: str) -> None:
    path = Path(study).parent / "tables" / "sample" / "garden.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    done = as_json(sample("run", "--study", study, "--json"))
    assert done["assets"] == ["videos/garden"]


def test_force_makes_the_selection_anew_and_an_equal_result_stops(sample: Run) -> None:
    done = as_json(sample("run", "--study", "sample-recorded", "--select", "conflicts", "--force", "--json"))
    assert done["assets"] == ["conflicts/veggie_garden"]


def test_a_selection_is_made_with_what_it_rests_on(m2v: Run) -> None:
    done = as_json(m2v("run", "--study", "sample-recorded", "--select", "voted_labels/veggie_garden", "--json"))
    assert sorted(done["assets"]) == [
        "conflicts/veggie_garden",
        "demonstrations/garden",
        "human_labels/veggie_garden",
        "memes/veggie",
        "predictions/veggie_garden",
        "videos/garden",
        "voted_labels/veggie_garden",
    ]
    told = m2v("status", "--study", "sample-recorded", "--select", "tag:m2v/table=metrics", "--json")
    assert "Warning" not in told.stderr
    selected = as_json(told)["stale"]
    assert {each["asset"].split("/")[0] for each in selected} == {
        "features",
        "training_examples",
        "rejects",
        "checkpoints",
        "test_predictions",
        "metrics",
    } - {"rejects"}
