"""What a score is worth, from the graph's tables and by the commands that read them."""

import json
from pathlib import Path

import polars as pl
import pytest

from m2v import catalog
from m2v.detectors.probe import regression
from m2v.detectors.probe.entry import Probe
from m2v.detectors.selection import auroc
from m2v.features.rows import matrix
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import Run, as_json, command

OM, RM = (f"minilm_probe_{strategy}_veggie_garden_s0" for strategy in ("om_ft", "rm_ft"))


@pytest.fixture(scope="module")
def store(finished_home: Path) -> TableStore:
    return TableStore(finished_home / "tables")


def test_candidates_of_the_sample_are_compared(store: TableStore) -> None:
    found = store.read("differences", "sample_recorded")
    models = found.filter(varies="model")["a"].unique().to_list()
    assert models == ["minilm_lora_rm_ft_veggie_garden"]
    strategies = found.filter(varies="strategy", score="macro_f1")
    assert strategies.height == 10  # of five strategies each with each other
    assert ((found["low"] <= found["difference"]) & (found["difference"] <= found["high"])).all()


def test_validation_is_scored_as_test_is_and_calibrates_it(store: TableStore) -> None:
    validation = store.read("validation_predictions", RM)
    videos = store.read("videos", "garden")
    tested = videos.filter(split="test")["text_sha256"].to_list()
    leaked = pl.col("text_sha256").is_in(tested)  # the sample's own leaks, which are out of training too
    assert validation["video_id"].to_list() == videos.filter(~leaked, split="validation")["video_id"].sort().to_list()
    # What was selected on them is what these rows say.
    selection = json.loads(store.read("checkpoints", RM)["selection"].item())
    labels, probabilities = (validation[name].to_numpy() for name in ("true_label", "probability"))
    assert auroc(labels, probabilities) == pytest.approx(selection["validation_auroc"])
    scores = store.read("calibration", "sample_recorded").filter(run=RM)
    assert scores["scaling"].to_list() == ["none", "temperature", "isotonic"]
    test = store.read("test_predictions", RM)
    curve = store.read("reliability", "sample_recorded").filter(run=RM, scaling="none")
    assert curve["n"].sum() == test.height


def test_two_runs_are_compared_by_name_or_version_as_the_graph_compares_them(
    finished_home: Path, store: TableStore
) -> None:
    m2v = command(finished_home)
    found = as_json(m2v("compare", OM, f"test_predictions/{RM}@1", "--json"))

    row = store.read("differences", "sample_recorded").filter(
        a=OM.removesuffix("_s0"), b=RM.removesuffix("_s0"), score="macro_f1"
    )
    names = ("value_a", "value_b", "difference", "low", "high", "smallest")
    assert found["differences"]["macro_f1"] == row.select(names).row(0, named=True)
    tested = store.read("comparisons", "sample_recorded").filter(run_a=OM, run_b=RM).row(0, named=True)
    assert {name: found[name] for name in ("n_both", "n_only_a_right", "p_value")} == {
        name: tested[name] for name in ("n_both", "n_only_a_right", "p_value")
    }
    shown = " ".join(m2v("compare", f"{OM}@1", RM).stdout.split())
    assert "McNemar's exact test" in shown
    assert "smallest detectable" in shown


def test_a_threshold_is_chosen_as_the_graph_chooses_it_and_at_another_prevalence(
    finished_home: Path, store: TableStore
) -> None:
    m2v = command(finished_home)
    found = as_json(m2v("policy", RM, "--precision", ".9", "--json"))

    [point] = found["operating_points"]
    assert point.pop("sentence")
    row = store.read("operating_points", "sample_recorded").filter(run=RM, goal="precision").row(0, named=True)
    assert point == row
    assert found["review_bands"] == store.read("review_bands", "sample_recorded").filter(run=RM).to_dicts()
    assert found["validation"] == f"validation_predictions/{RM}@1"
    rare = as_json(m2v("policy", RM, "--recall", ".8", "--cost-ratio", "3", "--prevalence", ".02", "--json"))
    assert [row["goal"] for row in rare["operating_points"]] == ["recall", "cost_ratio"]
    assert {row["prevalence"] for row in (*rare["operating_points"], *rare["review_bands"])} == {0.02}
    assert sum(row["per_10000"] for row in rare["review_bands"]) == pytest.approx(10_000)
    shown = " ".join(m2v("policy", RM, "--recall", ".99").stdout.split())
    assert "recall at least 0.99: Cannot be promised with" in shown
    assert "Leave, review, act" in shown


def test_a_study_says_what_its_thresholds_are_chosen_for(sample: Run, home: Path, tmp_path: Path) -> None:
    study = Path(as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"])
    wishes = "operating_points:\n  - {recall: 0.8}\n  - {cost_ratio: 3}\nreview_error: 0.2\n"
    study.write_text(study.read_text(encoding="utf-8") + wishes, encoding="utf-8")
    made = as_json(sample("run", "--study", str(study), "--select", "operating_points", "--json"))
    assert made["failed"] == 0

    store = TableStore(home / "tables")
    points = store.read("operating_points", "sample_recorded")
    assert points.select("goal", "wish").unique().sort("goal").rows() == [("recall", 0.8), ("cost_ratio", 3.0)]
    found = as_json(sample("policy", RM, "--recall", "0.8", "--cost-ratio", "3", "--review-error", "0.2", "--json"))
    of_run = points.filter(run=RM).to_dicts()
    assert [{k: v for k, v in point.items() if k != "sentence"} for point in found["operating_points"]] == of_run
    assert found["review_bands"] == store.read("review_bands", "sample_recorded").filter(run=RM).to_dicts()


def test_slices_of_the_sample_are_its_texts_lengths(store: TableStore) -> None:
    found = store.read("slices", "sample_recorded").filter(run=RM)
    assert found["n_items"].sum() == store.read("test_predictions", RM).height
    assert found["facet"].unique().to_list() == ["words"]


def test_figures_of_the_report_are_saved_for_programs(finished_home: Path, store: TableStore) -> None:
    said = as_json(command(finished_home)("report", "--study", "sample-recorded", "--json"))
    saved = json.loads(Path(said["json"]).read_text(encoding="utf-8"))
    assert Path(said["json"]).parent == Path(said["report"]).parent
    for name in ("results", "comparisons", "differences", "slices", "calibration", "operating_points", "review_bands"):
        assert len(saved[name]) == store.read(name, "sample_recorded").height > 0, name
    of_run = next(row for row in saved["results"] if row["run"] == RM)
    assert of_run["macro_f1"] == store.read("metrics", RM)["macro_f1"].item()
    assert "NaN" not in Path(said["json"]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "90"), "The precision is 90; it must be between 0 and 1, for example 0.9."),
        (("--cost-ratio", "0"), "The cost ratio is 0; it must be above 0."),
        (("--prevalence", "2"), "The prevalence is 2; it must be between 0 and 1, for example 0.02."),
        (("--review-error", "1"), "The review error is 1; it must be between 0 and 1"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(finished_home: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command(finished_home)("policy", RM, *arguments, code=1)
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((OM, "minilm_probe_rm_ft_veggie_gardn_s0"), f"Did you mean {RM}"),
        ((OM, f"metrics/{RM}"), "names no run"),
        ((OM, f"{RM}@9"), f"No version of test_predictions/{RM} is called '9'"),
    ],
)
def test_a_name_that_means_no_run_is_said_to(finished_home: Path, names: tuple[str, str], message: str) -> None:
    done = command(finished_home)("compare", *names, code=1)
    assert message in " ".join(done.stderr.split())


def test_every_training_label_is_judged_by_a_probe_that_did_not_see_it(store: TableStore) -> None:
    examples = store.read("training_examples", "rm_ft_veggie_garden")
    found = store.read("label_suspects", "minilm_probe_rm_ft_veggie_garden")
    key = ["dataset", "item_id", "split"]
    assert found.select(key).sort(key).rows() == examples.select(key).sort(key).rows()
    judged = examples.join(found.select(*key, "fold", "probability"), on=key)
    assert judged.group_by("text_sha256").agg(pl.col("fold").n_unique())["fold"].max() == 1

    features = pl.concat(store.read("features", f"minilm_{name}") for name in ("garden", "veggie"))
    seen, held_out = judged.filter(pl.col("fold") != 3), judged.filter(fold=3)
    probe = catalog.load().models["minilm-probe"]
    assert isinstance(probe, Probe)
    head = regression.fit(matrix(seen, features=features), seen["label"].to_numpy(), probe=probe, validation=None)
    expected = head.probabilities(matrix(held_out, features=features))
    assert held_out["probability"].to_list() == pytest.approx(expected.tolist(), abs=1e-4)  # where its search ends


def test_no_text_of_a_training_set_is_left_with_its_probabilities(finished_home: Path) -> None:
    folders = list((finished_home / "programs" / "out_of_fold").glob("*/*"))
    assert len(folders) == 4
    for folder in folders:
        assert {path.name for path in folder.rglob("*.parquet")} == {"out_of_fold.parquet"}


def test_of_which_seen_stands_beside_each_run(store: TableStore) -> None:
    found, results = (store.read(table, "sample_recorded") for table in ("seen", "results"))
    runs = results.filter(pl.col("strategy") != "majority").sort("run")
    assert found["run"].to_list() == runs["run"].to_list()
    # Equal texts of other splits are out of training, so that nothing is left out of the scores.
    assert found["n_seen"].to_list() == [0] * runs.height
    assert found["macro_f1"].to_list() == pytest.approx(runs["macro_f1"].to_list())
