"""The paper's own tables through the whole graph: what must come out of them is known."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from m2v import catalog, schemas
from m2v_assets import materialise
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

ALIGNMENTS = {
    # conflicts, labels turned, positive share before and after, Cohen's κ, share of answers that side with the model
    "fhm_hatemm": (1136, 828, 0.326, 0.200, 0.094, 0.729),
    "fhm_mhc": (1223, 1024, 0.326, 0.412, 0.095, 0.837),
    "mami_hatemm": (1295, 1295, 0.504, 0.178, 0.141, 1.0),
    "mami_mhc": (1617, 1196, 0.504, 0.320, -0.073, 0.740),
}

# An independent run: logistic regression, C = 10, balanced, 256 tokens, train + validation.
REFERENCE = {
    "vid_ft_hatemm": 0.781,
    "om_ft_fhm_hatemm": 0.690,
    "rm_ft_fhm_hatemm": 0.741,
    "vid_rm_ft_fhm_hatemm": 0.781,
    "om_ft_mami_hatemm": 0.500,
    "rm_ft_mami_hatemm": 0.701,
    "vid_ft_mhc": 0.642,
    "om_ft_fhm_mhc": 0.590,
    "rm_ft_fhm_mhc": 0.625,
    "vid_rm_ft_fhm_mhc": 0.640,
    "om_ft_mami_mhc": 0.541,
    "rm_ft_mami_mhc": 0.562,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published study in paper mode, run to its end by the command."""
    home = tmp_path_factory.mktemp("published") / "home"
    done = as_json(command(home)("run", "--study", "published-paper", "--json"))
    assert done["failed"] == 0
    return home


@pytest.fixture(scope="module")
def store(home: Path) -> TableStore:
    return TableStore(home / "tables")


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_conflicts_and_votes_are_the_published_ones(store: TableStore, alignment: str) -> None:
    n_conflicts, n_turned, before, after, _, _ = ALIGNMENTS[alignment]
    predictions, votes = store.read("predictions", alignment), store.read("voted_labels", alignment)
    assert store.read("conflicts", alignment).height == n_conflicts
    assert store.read("human_labels", alignment).height == n_conflicts
    joined = predictions.join(votes, on="meme_id")
    assert joined.filter(pl.col("label") != pl.col("original")).height == n_turned
    assert joined["original"].mean() == pytest.approx(before, abs=5e-4)
    assert joined["label"].mean() == pytest.approx(after, abs=5e-4)


def checks(home: Path, key: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The last outcome of each check of an asset, as Dagster's UI shows it."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        asset = dg.AssetKey.from_user_string(key)
        found = {}
        for record in instance.event_log_storage.get_asset_check_summary_records(
            [
                check.key
                for definition in materialise.assets(catalog.open_study("published-paper"))
                for check in definition.check_specs
                if check.asset_key == asset
            ]
        ).values():
            evaluation = record.last_check_execution_record.evaluation  # pyright: ignore[reportOptionalMemberAccess]
            found[evaluation.check_name] = evaluation
        return found


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_checks_say_what_is_wrong_with_the_annotation(home: Path, alignment: str) -> None:
    n_conflicts, _, _, _, kappa, side = ALIGNMENTS[alignment]
    agreement = checks(home, f"predictions/{alignment}")["agreement_with_original"]
    # That labels differ, and that one person decided, is what these data are: said, and no failed check.
    assert agreement.passed
    assert "they differ on" in (agreement.description or "")
    assert agreement.metadata["cohen_kappa"].value == pytest.approx(kappa, abs=5e-4)
    answers = checks(home, f"human_labels/{alignment}")
    assert answers["humans_side_with_model"].metadata["model_share"].value == pytest.approx(side, abs=5e-4)
    assert answers["humans_side_with_model"].passed is (alignment != "mami_hatemm")
    assert answers["annotator_agreement"].metadata["krippendorff_alpha"].value == "not estimable"
    votes = checks(home, f"voted_labels/{alignment}")
    assert votes["equals_published"].passed
    assert votes["equals_published"].metadata["n_equal"].value == 3000
    assert votes["humans_decide_alone"].passed
    assert len(votes["humans_decide_alone"].metadata["ids"].value) == n_conflicts


def test_checks_say_what_is_wrong_with_the_videos(home: Path) -> None:
    mhc, hatemm = checks(home, "videos/mhc"), checks(home, "videos/hatemm")
    assert mhc["ids_in_one_split"].metadata["ids"].value == ["k9OtaMbK0Ac"]
    assert mhc["texts_in_one_split"].metadata["n_texts"].value == 3
    assert hatemm["texts_in_one_split"].metadata["n_texts"].value == 6
    assert len(hatemm["texts_present"].metadata["ids"].value) == 57
    assert len(hatemm["audio_present"].metadata["ids"].value) == 14
    assert not checks(home, "memes/fhm")["texts_unique"].passed
    # Paper mode trains on the validation split, out of which the demonstrations were taken.
    trained = checks(home, "training_examples/vid_ft_hatemm_paper")["demonstrations_not_trained_on"]
    assert (trained.passed, len(trained.metadata["ids"].value)) == (False, 8)


@pytest.mark.parametrize("cell", REFERENCE)
def test_paper_mode_gives_the_independent_runs_scores(store: TableStore, cell: str) -> None:
    found = store.read("metrics", f"minilm_probe_{cell}_paper_s0")["macro_f1"].item()
    assert found == pytest.approx(REFERENCE[cell], abs=0.03)


def test_re_annotation_helps_in_every_cell(store: TableStore) -> None:
    results = store.read("results", "published_paper")
    scores = {(row["strategy"], row["memes"], row["target"]): row["macro_f1"] for row in results.to_dicts()}
    for memes in ("fhm", "mami"):
        for target in ("hatemm", "mhc"):
            assert scores["rm_ft", memes, target] > scores["om_ft", memes, target]


def test_every_test_video_is_scored(store: TableStore) -> None:
    results = store.read("results", "published_paper")
    listed = dict(results.select("target", "n_listed").unique().iter_rows())
    assert listed == {"hatemm": 220, "mhc": 200}
    assert (results["coverage_share"] == 1).all()
    assert results.schema == dict(schemas.RESULTS.columns)
