"""The target videos by recorded features, through the whole graph, against an independent run."""

from pathlib import Path

import polars as pl
import pytest

from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

# An independent run: standardised features, logistic regression, C by validation AUROC, threshold 0.5, and only videos
# that have all modalities. Macro-F1 and AUROC.
REFERENCE = {
    "recorded_text_vid_ft_hatemm_s0": (0.770, 0.816),
    "recorded_frames_vid_ft_hatemm_s0": (0.710, 0.777),
    "recorded_sound_vid_ft_hatemm_s0": (0.665, 0.713),
    "recorded_three_vid_ft_hatemm_s0": (0.781, 0.854),
    "recorded_text_vid_ft_mhc_s0": (0.687, 0.758),
    "recorded_three_vid_ft_mhc_s0": (0.684, 0.737),
    "recorded_rationale_vid_ft_mhc_s0": (0.757, 0.868),
}


# The study itself, with one seed and without the heads whose scores no independent run has, but for two that explain.
STUDY = """
title: Recorded features
targets: [hatemm, mhc]
training:
  - {model: recorded-text, strategies: [vid_ft]}
  - {model: recorded-frames, strategies: [vid_ft], targets: [hatemm]}
  - {model: recorded-sound, strategies: [vid_ft], targets: [hatemm]}
  - {model: recorded-three, strategies: [vid_ft]}
  - {model: recorded-rationale, strategies: [vid_ft], targets: [mhc]}
  - {model: recorded-gated, strategies: [vid_ft], targets: [hatemm]}
  - {model: recorded-retrieval, strategies: [vid_ft], targets: [hatemm]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multimodal")
    (folder / "recorded.yaml").write_text(STUDY, encoding="utf-8")
    home = folder / "home"
    assert as_json(command(home)("run", "--study", str(folder / "recorded.yaml"), "--json"))["failed"] == 0
    return home


@pytest.mark.parametrize("run", REFERENCE)
def test_scores_are_those_of_an_independent_run_within_their_intervals(home: Path, run: str) -> None:
    [scores] = TableStore(home / "tables").read("metrics", run).to_dicts()
    for name, expected in zip(("macro_f1", "auroc"), REFERENCE[run], strict=True):
        assert scores[f"{name}_low"] <= expected <= scores[f"{name}_high"], name
    # All videos are scored, those too that lack modalities.
    assert scores["n_scored"] == scores["n_listed"]


def test_who_lacks_which_modality_is_known(home: Path) -> None:
    frames = TableStore(home / "tables").read("features", "frames_vit_hatemm")
    there = frames.filter(pl.col("vector").is_not_null())
    # Its file has 871, of which one is of a video that the published tables do not list.
    assert there["item_id"].n_unique() == 870
    assert there["vector"].list.len().unique().to_list() == [768]
    text = TableStore(home / "tables").read("features", "text_bert_hatemm")
    assert text.filter(pl.col("vector").is_not_null())["item_id"].n_unique() == 1065


def test_what_decided_is_a_table(home: Path) -> None:
    store = TableStore(home / "tables")
    listed = set(store.read("test_predictions", "recorded_gated_vid_ft_hatemm_s0")["video_id"])
    shares = store.read("explanations", "recorded_gated_vid_ft_hatemm_s0")
    assert set(shares["item_id"]) == listed
    assert set(shares["name"]) == {"text-bert:text", "frames-vit:frames"}
    near = store.read("explanations", "recorded_retrieval_vid_ft_hatemm_s0")
    assert set(near["item_id"]) == listed
    trained = store.read("training_examples", "vid_ft_hatemm")["item_id"]
    assert set(near["name"]) <= set(trained)
    assert not set(near["name"]) & listed
