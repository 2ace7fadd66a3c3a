"""Operators that write new texts, through the whole graph: made, encoded, scored, and nowhere trained on."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from m2v import catalog
from m2v.catalog.plan import Run
from m2v_assets import probes
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

RUN = "minilm_probe_vid_ft_garden_s0"
STUDY = {
    "title": "Operated",
    "targets": ["garden"],
    "operators": ["leetspeak", "counter-speech"],
    "training": [{"model": "minilm-probe", "strategies": ["vid_ft"]}],
}


def test_new_texts_are_scored_and_no_table_of_items_holds_them(finished_home: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_home, home)
    store = TableStore(home / "tables")
    trained = store.version("checkpoints", RUN).rows_hash
    path = tmp_path / "operated.yaml"
    path.write_text(json.dumps(STUDY))  # JSON is YAML
    assert as_json(command(home)("run", "--study", str(path), "--json"))["failed"] == 0

    new, test = store.read("operated_predictions", RUN), store.read("test_predictions", RUN)
    texts = dict(store.read("videos", "garden").select("video_id", "text").iter_rows())
    spelt = new.filter(operator="leetspeak").select("item_id", "video_id").rows()
    with_text = sorted(video for video in test["video_id"] if texts[video].strip())
    assert sorted(spelt) == [(f"{video}~leetspeak", video) for video in with_text]
    answered = new.filter(operator="counter-speech")
    positive = test.filter("true_label")["video_id"].to_list()
    assert sorted(answered["video_id"]) == [video for video in with_text if video in positive]
    assert not answered["true_label"].any(), "a control is not to be flagged"
    # Each is scored on its own text.
    pairs = new.join(test, on="video_id", suffix="_before")
    assert pairs.filter((pl.col("probability") - pl.col("probability_before")).abs() > 1e-6).height == pairs.height

    rows = store.read("robustness", "operated").filter(run=RUN)
    assert set(rows["operator"]) == {"leetspeak", "counter-speech"}
    assert store.version("checkpoints", RUN).rows_hash == trained
    for table, variant in (("videos", "garden"), ("features", "minilm_garden"), ("training_examples", "vid_ft_garden")):
        frame = store.read(table, variant)
        assert not frame.select(pl.any_horizontal(pl.col(pl.String).str.contains("~").any())).item(), table


@pytest.mark.parametrize(
    ("study", "run", "why"),
    [
        ("sample-recorded", RUN, None),
        ("published-multimodal", "recorded_sound_vid_ft_hatemm_s0", "it looks at sound, and a sentence is a text"),
    ],
)
def test_a_run_that_reads_nothing_is_not_asked_about_sentences(study: str, run: str, why: str | None) -> None:
    found: Run = catalog.open_study(study).run(run)
    assert probes.unasked(found) == why
