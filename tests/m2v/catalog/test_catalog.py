from pathlib import Path

import pytest
import yaml

from m2v import catalog
from m2v.errors import InvalidCatalog, UnknownName

STUDY = {
    "title": "Peas",
    "memes": ["pods"],
    "targets": ["rows"],
    "training": [{"model": "minilm-probe", "strategies": ["no_ft", "om_ft", "rm_ft", "vid_ft", "vid_rm_ft"]}],
}
SOURCE = {
    "title": "Peas",
    "licence": {"name": "CC0-1.0"},
    "folders": ["tables"],
    "files": {"pods.csv": {}, "rows.csv": {}},
}
LABEL = {"positive": "mushy", "negative": "firm", "positive_definition": "It is.", "negative_definition": "It is not."}
VIDEOS = {"title": "Rows", "source": "peas", "layout": "published", "files": ["rows.csv"], "label": LABEL}
RECORDED = {"model": "snap", "predictions": {"file": "pods.csv", "label": "model_prediction"}}
MEMES = {
    "title": "Pods",
    "source": "peas",
    "layout": "published",
    "files": ["pods.csv"],
    "recorded": {"rows": RECORDED},
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study outside the package with its own catalog entries beside it."""
    for name, data in (
        ("study.yaml", STUDY),
        ("sources/peas.yaml", SOURCE),
        ("memes/pods.yaml", MEMES),
        ("videos/rows.yaml", VIDEOS),
    ):
        write(tmp_path / name, data)
    return tmp_path / "study.yaml"


def write(path: Path, data: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


def test_every_study_of_ours_opens() -> None:
    for name in catalog.load().studies:
        plan = catalog.open_study(name)
        assert plan.runs or plan.suites, name


def test_the_published_study_spans_the_papers_cells() -> None:
    plan = catalog.open_study("published")
    assert [alignment.name for alignment in plan.alignments] == ["fhm_hatemm", "fhm_mhc", "mami_hatemm", "mami_mhc"]
    assert [run.name for run in plan.runs if run.target.name == "hatemm" and run.model.kind == "probe"] == [
        "minilm_probe_no_ft_hatemm_s0",
        "minilm_probe_om_ft_fhm_hatemm_s0",
        "minilm_probe_om_ft_mami_hatemm_s0",
        "minilm_probe_rm_ft_fhm_hatemm_s0",
        "minilm_probe_rm_ft_mami_hatemm_s0",
        "minilm_probe_vid_ft_hatemm_s0",
        "minilm_probe_vid_rm_ft_fhm_hatemm_s0",
        "minilm_probe_vid_rm_ft_mami_hatemm_s0",
    ]
    lora = [run.name for run in plan.runs if run.model.kind == "lora"]
    assert lora == [f"minilm_lora_rm_ft_fhm_hatemm_s{seed}" for seed in (0, 1, 2)]


def test_a_study_outside_the_package_brings_its_own_entries(study: Path) -> None:
    plan = catalog.open_study(str(study))
    assert [alignment.name for alignment in plan.alignments] == ["pods_rows"]
    assert [training_set.name for training_set in plan.training_sets] == [
        "om_ft_pods_rows",
        "rm_ft_pods_rows",
        "vid_ft_rows",
        "vid_rm_ft_pods_rows",
    ]
    assert plan.sources[0].folder == study.parent
    assert plan.sources[0].name == "peas"


@pytest.mark.parametrize(
    ("file", "change", "error", "message"),
    [
        ("study.yaml", {"memes": ["pots"]}, UnknownName, "meme dataset is called 'pots'. Did you mean pods"),
        ("study.yaml", {"targets": ["hatem"]}, UnknownName, "Did you mean hatemm"),
        (
            "study.yaml",
            {"colour": "green"},
            InvalidCatalog,
            "line 1, colour: there is no such key",
        ),
        ("study.yaml", {"audit_share": 2}, InvalidCatalog, r"audit_share: Input should be less than or equal to 1"),
        (
            "study.yaml",
            {"training": [{"model": "minilm-prob", "strategies": ["om_ft"]}]},
            UnknownName,
            "No model is called 'minilm-prob'. Did you mean minilm-probe",
        ),
        (
            "study.yaml",
            {"training": [{"model": "minilm", "strategies": ["om_ft"]}]},
            InvalidCatalog,
            "is of kind encoder",
        ),
        ("study.yaml", {"training": [{"model": "minilm-probe", "strategies": ["best"]}]}, InvalidCatalog, "strategies"),
        (
            "study.yaml",
            {"training": [{"model": "minilm-lora", "strategies": ["no_ft"]}]},
            InvalidCatalog,
            "untrained head",
        ),
        (
            "study.yaml",
            {"training": [{"model": "minilm-probe", "strategies": ["om_ft"], "memes": ["fhm"]}]},
            UnknownName,
            "dataset among the memes of study 'study' is called 'fhm'",
        ),
        ("memes/pods.yaml", {"recorded": {}}, InvalidCatalog, r"needs predictions of pods under rows; add `recorded:"),
        ("memes/pods.yaml", {"recorded": {"rowz": RECORDED}}, UnknownName, "Did you mean rows"),
        ("memes/pods.yaml", {"files": ["pod.csv"]}, UnknownName, "file of source 'peas'.*Did you mean pods.csv"),
        ("memes/pods.yaml", {"source": "pease"}, UnknownName, "Did you mean peas"),
        ("sources/peas.yaml", {"files": {"../../etc/passwd": {}}}, InvalidCatalog, "stays below its folder"),
        ("sources/peas.yaml", {"files": {"pods.csv": {"sha256": "abc"}}}, InvalidCatalog, "sha256"),
        ("videos/rows.yaml", {"label": {"positive": "mushy"}}, InvalidCatalog, "label.negative: this key is missing"),
        ("videos/rows.yaml", {"name": "Ro ws"}, InvalidCatalog, "name: String should match pattern"),
    ],
)
def test_a_wrong_entry_names_itself_and_the_way_out(
    study: Path, file: str, change: dict, error: type[Exception], message: str
) -> None:
    path = study.parent / file
    write(path, {**yaml.safe_load(path.read_text()), **change})
    with pytest.raises(error, match=message):
        catalog.open_study(str(study))


def test_recorded_features_of_one_name_are_of_one_extractor(study: Path) -> None:
    write(study.parent / "models/peeler.yaml", {"title": "Peeler", "kind": "fusion", "features": ["seen"]})
    write(study, {**STUDY, "training": [{"model": "peeler", "strategies": ["om_ft"]}]})
    for name, extractor in (("memes/pods.yaml", "an eye"), ("videos/rows.yaml", "a lens")):
        path = study.parent / name
        features = {"seen": {"recorded": "rows.csv", "modality": "text", "extractor": extractor}}
        write(path, {**yaml.safe_load(path.read_text()), "features": features})
    with pytest.raises(InvalidCatalog, match="two extractors would be mixed: seen is 'a lens' and 'an eye'"):
        catalog.open_study(str(study))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"memes: [", "cannot be read as YAML"), (b"\xff\xfe", "cannot be read as YAML"), (b"- a", "must be a mapping")],
)
def test_a_file_that_is_not_yaml_is_named(study: Path, content: bytes, message: str) -> None:
    study.write_bytes(content)
    with pytest.raises(InvalidCatalog, match=rf"study\.yaml: {message}"):
        catalog.open_study(str(study))


def test_unknown_studies_offer_the_nearest_and_missing_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean published"):
        catalog.open_study("publised")
    with pytest.raises(InvalidCatalog, match="there is no such file"):
        catalog.open_study(str(tmp_path / "study.yaml"))


def test_a_model_is_told_what_the_label_means_in_words_or_by_demonstrations(study: Path) -> None:
    write(study, {**STUDY, "predictions": {"model": "tiny-mllama"}})
    plan = catalog.open_study(str(study))
    [question] = plan.questions
    assert question.prompt == "defined"
    assert LABEL["positive_definition"] in question.words
    assert (question.items, question.demonstrations) == ("pods under rows", "no demonstrations")
    assert plan.know_nothing == ("tiny-mllama",)
    write(study, {**STUDY, "predictions": {"model": "tiny-mllama", "prompt": "paper"}})
    with pytest.raises(InvalidCatalog, match=r"'mushy' and never told what that means.*`prompt: defined`"):
        catalog.open_study(str(study))
    drawn = {"model": "tiny-mllama", "prompt": "paper", "demonstrations": "train"}
    write(study, {**STUDY, "predictions": drawn})
    [question] = catalog.open_study(str(study)).questions
    assert (question.is_defined, question.demonstrations) == (False, "8 demonstrations drawn from train (seed 0)")


def test_only_models_of_random_weights_know_nothing() -> None:
    assert catalog.open_study("paper").know_nothing == ()
    assert set(catalog.open_study("sample").know_nothing) == {
        *("tiny-mllama", "tiny-clip", "tiny-whisper", "tiny-llava-video"),
    }


def test_names_that_would_collide_in_the_graph_are_refused(study: Path) -> None:
    # "pods" under "rows-a" and "pods-rows" under "a" would both be the variant pods_rows_a.
    write(study.parent / "videos" / "rows-a.yaml", VIDEOS)
    write(study.parent / "videos" / "a.yaml", VIDEOS)
    write(study.parent / "memes" / "pods.yaml", {**MEMES, "recorded": {"rows-a": RECORDED}})
    write(study.parent / "memes" / "pods-rows.yaml", {**MEMES, "recorded": {"a": RECORDED}})
    write(study, {**STUDY, "memes": ["pods", "pods-rows"], "targets": ["rows-a", "a"], "training": []})
    with pytest.raises(InvalidCatalog, match="both be called 'pods_rows_a'"):
        catalog.open_study(str(study))


@pytest.mark.parametrize(
    ("suites", "message"),
    [
        (
            "[{suite: sample-suit, models: [tiny-mllama]}]",
            "No suite is called 'sample-suit'. Did you mean sample-suite?",
        ),
        ("[{suite: sample-suite, models: [tiny-mlama]}]", "No model is called 'tiny-mlama'"),
        (
            "[{suite: sample-suite, models: [minilm-probe]}]",
            "model 'minilm-probe' is of kind probe; a suite is answered by a vlm.",
        ),
        (
            "[{suite: sample-suite, models: [tiny-mllama], prompt: paper}]",
            "the prompt 'paper' does not say the definition, which a suite's tasks differ in",
        ),
        (
            "[{suite: sample-suite, models: [tiny-mllama, tiny-mllama]}]",
            "`suites:` has tiny-mllama answer sample-suite twice; name each once.",
        ),
        ("[{suite: mine, models: [tiny-mllama]}]", "No meme dataset (of task bed of suite mine) is called 'veg'"),
        (
            "[{suite: facets, models: [tiny-mllama]}]",
            "task bed maps the facet 'attack', and veggie has no facets.",
        ),
        ("[{suite: twice, models: [tiny-mllama]}]", "2 tasks are called 'bed'; give each its own name"),
    ],
)
def test_a_suite_that_cannot_be_asked_is_refused(tmp_path: Path, suites: str, message: str) -> None:
    label = "label: {positive: a, negative: b, positive_definition: c, negative_definition: d}"
    tasks = {
        "mine": f"[{{name: bed, dataset: veg, {label}}}]",
        "facets": f"[{{name: bed, dataset: veggie, mapping: {{facet: attack, positive: ['yes']}}, {label}}}]",
        "twice": f"[{{name: bed, dataset: veggie, {label}}}, {{name: bed, dataset: veggie, {label}}}]",
    }
    (tmp_path / "suites").mkdir()
    for name, listed in tasks.items():
        if name in suites:
            (tmp_path / "suites" / f"{name}.yaml").write_text(f"title: Beds\ntasks: {listed}\n", encoding="utf-8")
    file = tmp_path / "study.yaml"
    file.write_text(f"title: Beds\nsuites: {suites}\n", encoding="utf-8")
    with pytest.raises((InvalidCatalog, UnknownName)) as raised:
        catalog.open_study(str(file))
    assert message in str(raised.value)
