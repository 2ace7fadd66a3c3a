"""What a score is worth, from the graph's tables and by the commands that read them."""

import json
from pathlib import Path

import polars as pl
import pytest

from m2v.detectors.selection import auroc
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

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
