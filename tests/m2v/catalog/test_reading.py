from pathlib import Path

import pytest

from m2v import catalog
from m2v.errors import InvalidCatalog, UnknownName

GOOD = "title: Peas\nmemes: [veggie]\ntargets: [garden]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{GOOD}trainig: []\n", "line 4, trainig: there is no such key. Did you mean training? Known there: name, "),
        (
            f"{GOOD}training:\n  - model: minilm-probe\n    strategies: [om_ft]\n    seed: [1]\n",
            "line 7, training.0.seed: there is no such key. Did you mean seeds? Known there: model, strategies, memes,"
            " targets, seeds, paper_mode, splits",
        ),
        (
            f"{GOOD}predictions:\n  model: tiny-mllama\n  promt: defined\n",  # one of two forms, and not the text
            "line 6, predictions.promt: there is no such key. Did you mean prompt? Known there: model, prompt,"
            " demonstrations, n_demonstrations, seed, pictures, mode, server",
        ),
        (
            f"{GOOD}predictions: {{model: peas, demonstrations: trian}}\n",
            "line 4, predictions.demonstrations: 'trian' is not known. Did you mean train? Known there: target, train,"
            " validation, none",
        ),
        ("memes: [veggie]\n", "line 1, title: this key is missing"),
        (
            "title: Peas\nmemes: [veggie]\n",
            "line 1, the file: targets: name at least one dataset of videos",
        ),
        (f"{GOOD}training:\n  - strategies: [om_ft]\n", "line 5, training.0.model: this key is missing"),
        ("title: Peas\ntargets: garden\n", "line 2, targets: must be a list, as in [garden], not 'garden'"),
        (f"{GOOD}frames: 4\n", "line 4, frames: must be a mapping of keys to values, not '4'"),
        ("title: 2024\ntargets: [garden]\n", "line 1, title: must be a text; put it in quotes, not '2024'"),
        (
            f"{GOOD}min_answers: two\n",
            "line 4, min_answers: Input should be a valid integer, unable to parse string as an integer, not 'two'",
        ),
        (
            f"{GOOD}operating_points:\n  - {{precison: .9}}\n",
            "line 5, operating_points.0.precison: there is no such key. Did you mean precision? Known there: precision,"
            " recall, false_positive_rate, cost_ratio",
        ),
        (
            f"{GOOD}operating_points:\n  - {{precision: 90}}\n",
            "line 5, operating_points.0.precision: Input should be less than 1, not '90'",
        ),
        (
            f"{GOOD}operating_points:\n  - {{precision: .9, recall: .8}}\n",
            "line 5, operating_points.0: must be one of precision, recall, false_positive_rate, cost_ratio, as in"
            " {precision: 0.9}; each wish is a line of its own",
        ),
        (
            f"{GOOD}operating_points: [{{recall: .8}}, {{recall: 0.80}}]\n",
            "line 4, operating_points: recall 0.8 stands there twice; remove one of them",
        ),
        (
            f"{GOOD}title: Beans\n",
            "cannot be read as YAML at line 4, column 1: repeats 'title'; one of them would be lost.",
        ),
        (
            "title: Peas\ntargets:\n\t- garden\n",
            "cannot be read as YAML at line 3, column 1: a tab stands in front of it; YAML indents with spaces.",
        ),
        (
            "title: Peas: a study\ntargets: [garden]\n",
            "cannot be read as YAML at line 1, column 12: a colon stands within a text; put the text in quotes.",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_is_known_there(tmp_path: Path, text: str, message: str) -> None:
    study = write(tmp_path / "study.yaml", text)
    with pytest.raises(InvalidCatalog) as raised:
        catalog.open_study(str(study))
    assert str(raised.value).startswith(f"{study}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: vlmm\n", "line 2, kind: 'vlmm' is not known. Did you mean vlm? Known there: encoder, vlm, clip, "),
        ("vlm: tiny-mllama\n", "line 1, kind: this key is missing"),
        (
            "kind: probe\nencoder: minilm\nlambda: 1\n",  # keys of this kind of model, not of others
            "line 1, c_grid: this key is missing; line 4, lambda: there is no such key. Known there: name, title, "
            "kind, encoder, c_grid, paper_c",
        ),
    ],
)
def test_of_several_kinds_of_entry_the_keys_of_the_one_that_is_meant_are_known(
    tmp_path: Path, text: str, message: str
) -> None:
    study = write(tmp_path / "study.yaml", GOOD)
    model = write(tmp_path / "models" / "leek.yaml", f"title: Leek\n{text}")
    with pytest.raises(InvalidCatalog) as raised:
        catalog.open_study(str(study))
    assert str(raised.value).startswith(f"{model}: {message}")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "title: Peas\nmemes: [vegie]\ntargets: [garden]\n",
            2,
            "No meme dataset is called 'vegie'. Did you mean veggie?",
        ),
        (f"{GOOD}predictions:\n  model: tiny-mlama\n", 5, "No model is called 'tiny-mlama'. Did you mean tiny-mllama"),
        (
            f"{GOOD}predictions:\n  model: tiny-mllama\n  prompt: definde\n",
            6,
            "No prompt is called 'definde'. Did you mean defined?",
        ),
    ],
)
def test_an_unknown_name_is_found_in_the_file(tmp_path: Path, text: str, line: int, message: str) -> None:
    study = write(tmp_path / "study.yaml", text)
    with pytest.raises(UnknownName) as raised:
        catalog.open_study(str(study))
    assert str(raised.value).startswith(f"{study}, line {line}: {message}")


def test_a_folder_with_one_study_is_that_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peas = tmp_path / "my peas"
    write(peas / "peas.yml", GOOD)
    assert catalog.open_study(str(peas)).study.name == "peas"
    write(peas / "study.yaml", GOOD)  # called as a study is called, it needs no name among others
    assert catalog.open_study(f"{peas}/").study.name == "study"
    # A study of ours stands before a folder of its name, and the folder has a path.
    monkeypatch.chdir(tmp_path)
    peas.rename(tmp_path / "sample")
    assert catalog.open_study("sample").study.folder != tmp_path / "sample"
    assert catalog.open_study("./sample").study.folder == tmp_path / "sample"


def test_a_folder_without_a_study_or_with_several_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalog, match="no study lies in this folder; `m2v datasets check` there"):
        catalog.open_study(str(tmp_path))
    write(tmp_path / "beans.yaml", GOOD)
    write(tmp_path / "peas.yaml", GOOD)
    with pytest.raises(InvalidCatalog, match=r"several YAML files lie there: beans\.yaml, peas\.yaml\. Name one"):
        catalog.open_study(str(tmp_path))


def test_two_files_that_name_the_same_entry_are_refused(tmp_path: Path) -> None:
    study = write(tmp_path / "study.yaml", GOOD)
    for suffix in ("yaml", "yml"):
        write(tmp_path / "prompts" / f"short.{suffix}", "title: Short\ninstruction: '{text}'\n")
    with pytest.raises(InvalidCatalog, match=r"short\.yaml: short\.yml beside it has the same name"):
        catalog.open_study(str(study))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
