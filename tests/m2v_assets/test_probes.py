"""A study asks its runs about sentences of its own: tables, check, report, figures and audit trail."""

import json
import shutil
from pathlib import Path

import polars as pl
import yaml

from m2v.catalog import open_study
from m2v_assets.definitions import assets
from m2v_resources.store import findings
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

MINE = {
    "title": "Mine",
    "groups": {"leeks": ["leeks"], "beets": ["beets"]},
    "functions": {
        "direct_attack": {"flagged": True, "templates": ["{group} are the lowest kind of root, throw them all out"]},
        "weather": {"flagged": False, "templates": ["it is raining again"]},
        "reclaimed_words": {"flagged": False},
    },
}
RUN = "minilm_probe_vid_ft_garden_s0"


def study(folder: Path, **more: object) -> Path:
    """Write a study of the sample that asks two runs."""
    (folder / "probes").mkdir(parents=True)
    (folder / "probes" / "mine.yaml").write_text(yaml.safe_dump(MINE))
    training = [{"model": "minilm-probe", "strategies": ["no_ft", "vid_ft"]}]
    entry = {"title": "Probed", "targets": ["garden"], "probes": "mine", "training": training, **more}
    (folder / "probed.yaml").write_text(yaml.safe_dump(entry))
    return folder / "probed.yaml"


def test_runs_are_asked_about_sentences_of_ones_own(finished_home: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_home, home)
    m2v, path = command(home), str(study(tmp_path / "study"))
    assert as_json(m2v("run", "--study", path, "--json"))["failed"] == 0

    store = TableStore(home / "tables")
    found = store.read("functions", "probed").filter(run=RUN)
    assert found.select("function", "group", "n_items").rows() == [
        ("direct_attack", "all", 2),
        ("direct_attack", "beets", 1),
        ("direct_attack", "leeks", 1),
        ("reclaimed_words", "all", 0),
        ("weather", "all", 1),
        ("weather", "none", 1),
    ]
    said = store.read("probe_predictions", RUN)
    assert said["threshold"].unique().to_list() == store.read("checkpoints", RUN)["threshold"].to_list()
    right = said.filter(pl.col("predicted") == pl.col("expected")).height
    assert found.filter(group="all")["n_right"].sum() == right
    [finding] = findings.recorded(store, ("functions", "probed"))
    assert "reclaimed_words have no templates" in finding.summary

    shown = as_json(m2v("report", "--study", path, "--json"))
    page, figures = (Path(shown[name]).read_text(encoding="utf-8") for name in ("report", "json"))
    assert "no sentences: its templates are missing" in page
    assert len(json.loads(figures)["functions"]) == 12
    assert not any(text in page + figures for text in store.read("probes", "mine")["text"])
    assert as_json(m2v("run", "--study", path, "--json"))["waves"] == 0  # nothing is asked twice


def test_assets_and_edges(tmp_path: Path) -> None:
    edges = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for asset in assets(open_study(str(study(tmp_path))))
        for spec in asset.specs
    }
    asked = {run: f"probe_predictions/{run}" for run in (RUN, "minilm_probe_no_ft_garden_s0")}
    assert edges["probes/mine"] == set()
    for run, predictions in asked.items():
        assert edges[predictions] == {"probes/mine", f"checkpoints/{run}"}
    assert edges["functions/probed"] == {"probes/mine", *asked.values()}
    assert "functions/probed" in edges["reports/probed"]


def test_a_name_that_means_no_probes_is_said_to(finished_home: Path, tmp_path: Path) -> None:
    done = command(finished_home)("status", "--study", str(study(tmp_path, probes="mien")), code=1)
    assert "No file of probes is called 'mien'. Did you mean mine?" in " ".join(done.stderr.split())
