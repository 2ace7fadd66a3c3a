"""The graph of the sample study, edge by edge, and what every asset says of itself."""

import dagster as dg
import pytest

from m2v import catalog
from m2v.catalog.plan import StudyPlan
from m2v.entries.study import WishPlan
from m2v_assets.definitions import assets, build
from m2v_assets.describe import ACCELERATOR

GRAPH = {
    "memes/veggie": {"files/sample_veggie_aligned_with_garden_csv", "forgotten/veggie"},
    "videos/garden": {"files/sample_garden_csv"},
    "demonstrations/garden": {"files/sample_garden_demo_description_csv", "videos/garden"},
    "features/minilm_garden": {"videos/garden"},
    "features/minilm_veggie": {"memes/veggie"},
    "predictions/veggie_garden": {
        "memes/veggie",
        "demonstrations/garden",
        "files/sample_veggie_aligned_with_garden_csv",
    },
    "conflicts/veggie_garden": {"predictions/veggie_garden"},
    "human_labels/veggie_garden": {"conflicts/veggie_garden", "files/sample_veggie_answers_csv"},
    "voted_labels/veggie_garden": {
        "predictions/veggie_garden",
        "conflicts/veggie_garden",
        "human_labels/veggie_garden",
    },
    **{
        f"{table}/om_ft_veggie_garden": {"videos/garden", "memes/veggie", "demonstrations/garden"}
        for table in ("training_examples", "rejects")
    },
    **{
        f"{table}/{strategy}_veggie_garden": {
            "videos/garden",
            "memes/veggie",
            "voted_labels/veggie_garden",
            "demonstrations/garden",
        }
        for table in ("training_examples", "rejects")
        for strategy in ("rm_ft", "vid_rm_ft")
    },
    **{
        f"{table}/vid_ft_garden": {"videos/garden", "demonstrations/garden"}
        for table in ("training_examples", "rejects")
    },
    "checkpoints/minilm_probe_no_ft_garden_s0": {"videos/garden", "features/minilm_garden"},
    "checkpoints/minilm_probe_vid_ft_garden_s0": {
        "videos/garden",
        "features/minilm_garden",
        "training_examples/vid_ft_garden",
    },
    **{
        f"checkpoints/minilm_probe_{strategy}_veggie_garden_s0": {
            "videos/garden",
            "features/minilm_garden",
            "features/minilm_veggie",
            f"training_examples/{strategy}_veggie_garden",
        }
        for strategy in ("om_ft", "rm_ft", "vid_rm_ft")
    },
    "checkpoints/minilm_lora_rm_ft_veggie_garden_s0": {"videos/garden", "training_examples/rm_ft_veggie_garden"},
}
PROBES = [
    "minilm_probe_no_ft_garden_s0",
    "minilm_probe_om_ft_veggie_garden_s0",
    "minilm_probe_rm_ft_veggie_garden_s0",
    "minilm_probe_vid_ft_garden_s0",
    "minilm_probe_vid_rm_ft_veggie_garden_s0",
]
RUNS = [*PROBES, "minilm_lora_rm_ft_veggie_garden_s0"]
for run in RUNS:
    features = {"features/minilm_garden"} if run in PROBES else set()
    GRAPH[f"test_predictions/{run}"] = {"videos/garden", f"checkpoints/{run}"} | features
    GRAPH[f"validation_predictions/{run}"] = GRAPH[f"test_predictions/{run}"]
    GRAPH[f"metrics/{run}"] = {"videos/garden", f"checkpoints/{run}", f"test_predictions/{run}"}
GRAPH["results/sample_recorded"] = {"videos/garden", *(f"metrics/{run}" for run in RUNS)}
GRAPH["comparisons/sample_recorded"] = {"results/sample_recorded", *(f"test_predictions/{run}" for run in RUNS)}
GRAPH["differences/sample_recorded"] = GRAPH["comparisons/sample_recorded"]
SHARES = ("prevalence_estimates", "prevalence_scores")
for table in ("calibration", "reliability", "operating_points", "review_bands", *SHARES):
    GRAPH[f"{table}/sample_recorded"] = {f"{part}_predictions/{run}" for run in RUNS for part in ("validation", "test")}
GRAPH["slices/sample_recorded"] = {"videos/garden", *(f"test_predictions/{run}" for run in RUNS)}
SETS = ["om_ft_veggie_garden", "rm_ft_veggie_garden", "vid_ft_garden", "vid_rm_ft_veggie_garden"]
for name in SETS:
    GRAPH[f"near_duplicates/{name}"] = {f"training_examples/{name}", "videos/garden"}
    GRAPH[f"label_suspects/minilm_probe_{name}"] = {
        f"training_examples/{name}",
        "features/minilm_garden",
        *(["features/minilm_veggie"] if "veggie" in name else []),
    }
GRAPH["seen/sample_recorded"] = {
    *(f"near_duplicates/{name}" for name in SETS),
    *(f"test_predictions/{run}" for run in RUNS),
}
GRAPH["robustness/sample_recorded"] = {f"test_predictions/{run}" for run in RUNS}
OF_RUNS = {"checkpoints", "validation_predictions", "test_predictions", "metrics"}
GRAPH["reports/sample_recorded"] = {*(each for each in GRAPH if each.split("/")[0] not in OF_RUNS)}


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    return catalog.open_study("sample-recorded")


def test_every_asset_and_every_edge(plan: StudyPlan) -> None:
    found = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for asset in assets(plan)
        if asset.is_materializable
        for spec in asset.specs
    }
    assert found == GRAPH


def test_operators_give_each_run_a_table_on_which_robustness_rests(plan: StudyPlan) -> None:
    study = plan.study.model_copy(update={"operators": ("swap-text",)})
    specs = [spec for asset in assets(catalog.resolve(study, catalog.load())) for spec in asset.specs]
    found = {spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps} for spec in specs}
    for run in RUNS:
        assert found[f"operated_predictions/{run}"] == GRAPH[f"test_predictions/{run}"]
    tables = {f"{table}/{run}" for run in RUNS for table in ("test_predictions", "operated_predictions")}
    assert found["robustness/sample_recorded"] == tables


def test_every_asset_says_what_it_is(plan: StudyPlan) -> None:
    for spec in build(plan).resolve_all_asset_specs():
        assert spec.group_name == spec.tags["m2v/stage"], spec.key
        assert spec.tags["m2v/table"] == spec.key.path[0], spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.tags["m2v/stage"], spec.key
        assert len(spec.description or "") > 20, spec.key
        if spec.code_version and spec.key.path[0] != "reports":
            assert spec.key.path[0] in spec.kinds, spec.key
            columns = spec.metadata["dagster/column_schema"].columns
            assert all(column.description for column in columns), spec.key
        assert spec.code_version or spec.key.path[0] in {"files", "forgotten"}, spec.key


STAGES = {"datasets", "media", "features", "prediction", "annotation", "detectors", "evaluation", "publishing"}


def test_groups_are_the_stages(plan: StudyPlan) -> None:
    assert {spec.group_name for spec in build(plan).resolve_all_asset_specs()} == STAGES - {"media", "publishing"}
    shown = build(catalog.open_study("sample"))
    assert {spec.group_name for spec in shown.resolve_all_asset_specs()} == STAGES - {"publishing"}


def test_descriptions_name_dataset_model_and_policy(plan: StudyPlan) -> None:
    told = {spec.key.to_user_string(): spec.description or "" for spec in build(plan).resolve_all_asset_specs()}
    memes, target = plan.memes[0], plan.targets[0]
    policy = f"“{target.label.positive}” means: {target.label.positive_definition.rstrip('.')}"
    for table in ("predictions", "conflicts", "human_labels", "voted_labels"):
        description = told[f"{table}/veggie_garden"]
        assert memes.title in description
        assert target.title in description
        assert policy in description
    for run in plan.runs:
        for table in ("checkpoints", "test_predictions", "metrics"):
            description = told[f"{table}/{run.name}"]
            assert run.model.title in description
            assert policy in description
            assert f"seed {run.seed}" in description
    assert memes.title in told["memes/veggie"]
    assert all(".." not in description for description in told.values())


def test_tables_have_the_checks_that_integrity_needs(plan: StudyPlan) -> None:
    found: dict[str, set[str]] = {}
    for asset in assets(plan):
        if asset.is_materializable:
            for check in asset.check_specs:
                found.setdefault(check.asset_key.path[0], set()).add(check.name)
    assert found == {
        "memes": {"texts_unique", "texts_present", "rows_used"},
        "features": {"modalities_complete"},
        "videos": {"ids_in_one_split", "texts_in_one_split", "texts_present", "audio_present", "rows_used"},
        "demonstrations": {"demonstrations_held_out"},
        "predictions": {"agreement_with_original"},
        "human_labels": {"humans_side_with_model", "annotator_agreement"},
        "voted_labels": {"humans_decide_alone", "undecided", "agreed_error"},
        "training_examples": {"demonstrations_not_trained_on"},
        "near_duplicates": {"test_unseen"},
        "label_suspects": {"labels_likely"},
        "robustness": {"operators_applied", "flagged_kept", "unseen_operators"},
        "differences": {"differences_estimable"},
        "calibration": {"probabilities_calibrated"},
        "operating_points": {"wishes_promised"},
        "review_bands": {"bands_bounded"},
        "prevalence_estimates": {"prevalence_estimable"},
        "slices": {"slices_alike", "facets_supported"},
    }


def test_whatever_may_use_an_accelerator_waits_for_one() -> None:
    def pooled(study: str) -> set[str]:
        found = (each for each in assets(catalog.open_study(study)) if isinstance(each, dg.AssetsDefinition))
        return {each.key.path[0] for each in found if each.op.pool == ACCELERATOR}

    texts = {"features", "checkpoints", "validation_predictions", "test_predictions"}
    assert pooled("published") == texts
    assert pooled("sample") == {*texts, "predictions", "video_features"}


def test_every_study_of_ours_is_a_valid_graph() -> None:
    for name in catalog.load().studies:
        dg.Definitions.validate_loadable(build(catalog.open_study(name)))


def test_settings_that_decide_content_change_the_code_version(plan: StudyPlan) -> None:
    def codes(plan: StudyPlan) -> dict[str, str | None]:
        made = (asset for asset in assets(plan) if asset.is_materializable)
        return {spec.key.to_user_string(): spec.code_version for asset in made for spec in asset.specs}

    def changed(**settings: object) -> set[str]:
        other = catalog.resolve(plan.study.model_copy(update=settings), catalog.load())
        before, after = codes(plan), codes(other)
        return {asset.split("/")[0] for asset in before if before[asset] != after[asset]}

    assert changed(prevalence=0.02) == {"operating_points", "review_bands", *SHARES, "reports"}
    wished = {"operating_points", "review_bands"}
    assert changed(operating_points=(WishPlan(precision=0.8),)) == wished
    assert changed(review_error=0.2) == wished
    assert changed(audit_share=0.5) == {"conflicts"}
    assert changed(min_answers=1) == {"voted_labels"}
    assert changed(leaks="keep") == {"training_examples", "rejects", "checkpoints", "validation_predictions"}


def test_a_suite_is_asked_under_each_definition_and_scored_once() -> None:
    found = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for asset in assets(catalog.open_study("sample-suite"))
        if asset.is_materializable
        for spec in asset.specs
    }
    tasks = ("insult", "welcome", "rot", "freshness", "trade")
    answers = [f"suite_answers/sample_suite_tiny_mllama_veggie_tasks_{task}" for task in tasks]
    file = "files/sample_suite_veggie_tasks_csv"
    assert found == {
        "memes/veggie_tasks": {file, "forgotten/veggie_tasks"},
        "facets/veggie_tasks": {file, "memes/veggie_tasks"},
        **{name: {"memes/veggie_tasks"} for name in answers},
        "suite_results/sample_suite": {*answers, "memes/veggie_tasks", "facets/veggie_tasks"},
        "reports/sample_suite": {"memes/veggie_tasks", "facets/veggie_tasks", "suite_results/sample_suite"},
    }
