# ruff: noqa: E501
"""Each layout on a small file in its exact form: items, facets, segments and votes, and what is wrong with them."""

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from m2v import catalog
from m2v.catalog.check import FolderReport, check
from m2v.catalog.copy_study import copy_study
from m2v.datasets import cells, layouts, readers, sources
from m2v.datasets.cells import Malformed
from m2v.entries.datasets import MemeDataset
from m2v.entries.layouts import MediaRule, Places
from m2v.errors import BadInput, M2VError
from tests.m2v.datasets.layout_cases import CASES, lines, written


def rows(report: FolderReport) -> list[tuple]:
    """Id, split, label and text of each item, sorted by id."""
    found = report.datasets[0].rows
    return (
        found.select(found.columns[0], pl.col("split").cast(pl.String), "label", "text").sort(found.columns[0]).rows()
    )


@pytest.fixture(autouse=True)
def no_media_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M2V_MEDIA", raising=False)


@pytest.mark.parametrize("layout", CASES)
def test_a_layout_gives_all_that_its_files_say(tmp_path: Path, layout: str) -> None:
    contents, items, facets, segments, votes = CASES[layout]
    report = check(written(tmp_path, contents))
    assert report.layout == layout
    found = rows(report)
    drawn = not next(each for name, each in layouts.known().items() if name == layout).has_splits
    assert [(row[0], *row[2:]) if drawn else row for row in found] == [
        (row[0], *row[2:]) if drawn else row for row in items
    ]
    parts = report.datasets[0].parts
    assert set(parts.facets) == facets
    assert sorted(parts.segments) == sorted(segments)
    assert sorted(parts.votes) == sorted(votes)


def findings(report: FolderReport) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.ids for each in report.datasets for finding in each.findings if not finding.is_fine}


def test_defects_of_segments_are_findings(tmp_path: Path) -> None:
    def wrong(layout: str) -> dict[str, tuple[str, ...]]:
        return findings(check(written(tmp_path / layout, CASES[layout][0])))

    assert wrong("hatemm")["segments_ordered"] == ("hate_video_1",)
    assert wrong("hateclipseg")["segments_long"] == ("bit_1",)
    assert wrong("dehate")["cells_read"] == ("v2",)
    assert wrong("mmhs150k")["rows_used"] == ("1",)


def test_equal_rows_are_dropped_only_where_a_layout_says_so(tmp_path: Path) -> None:
    row = {"id": "memes_1", "image": "memes_1.png", "labels": ["not harmful"], "text": "a leek"}
    report = check(written(tmp_path / "equal", {"train_v1.jsonl": lines(row, row)}))
    assert (report.layout, len(rows(report)), findings(report)["rows_used"]) == ("harm-p", 1, ("memes_1",))
    other = row | {"text": "a pea"}
    with pytest.raises(M2VError, match=r"row 2: 'memes_1' stands in row 1 too"):
        check(written(tmp_path / "other", {"train_v1.jsonl": lines(row, other)}), layout="harm-p")


def test_a_test_without_a_label_row_is_named(tmp_path: Path) -> None:
    contents = CASES["mami"][0] | {"test_labels.txt": "15002.jpg\t0\t0\t0\t0\t0\n"}
    with pytest.raises(M2VError, match=r"'15001' has no row in test_labels\.txt"):
        check(written(tmp_path, contents), layout="mami")


@pytest.mark.parametrize(
    "content",
    ["", "[", '{"1": {"labels": [0]', '{"1": {"labels": [0]}, "1": 2', '{"1": 3}', "7", '{"1": {}} x', "[" * 100_000],
)
def test_a_damaged_json_file_is_an_error(tmp_path: Path, content: str) -> None:
    contents = {"MMHS150K_GT.json": content, "train_ids.txt": "1\n"}
    with pytest.raises(M2VError, match=r"MMHS150K_GT\.json"):
        check(written(tmp_path, contents), layout="mmhs150k")


def test_a_workbook_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(M2VError, match=r"train_hate\.xlsx: cannot be read as a workbook"):
        check(written(tmp_path, {"train_hate.xlsx": "a leek"}), layout="mute")


def test_real_annotations_of_hatemm_are_read_whole(wild: Path) -> None:
    report = check(wild / "hatemm")
    summary = report.summary()
    assert (summary["n_items"], summary["n_segments"]) == (1083, 786)
    wrong = findings(report)
    assert wrong["segments_ordered"] == ("hate_video_285", "hate_video_427")
    assert len(wrong["segments_apart"]) == 5
    targets = {value for _, _, value in report.datasets[0].parts.facets}
    assert targets == {"Blacks", "Whites", "Jews", "Muslims", "Asian", "LGBTQ", "Sexists", "Others"}


def test_real_segments_of_hateclipseg_are_read_whole(wild: Path) -> None:
    report = check(wild / "hateclipseg")
    assert (report.summary()["n_items"], report.summary()["n_segments"]) == (435, 11_714)
    figures = {each.check: each.figures for each in report.datasets[0].findings}
    assert (figures["segments_ordered"]["n"], figures["segments_long"]["n"]) == (20, 3)


def test_a_file_of_another_name_is_refused_where_its_split_would_be_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "leeks.jsonl"
    path.write_text(lines({"id": 1, "img": "", "text": "", "label": 0}), encoding="utf-8")
    dataset = MemeDataset(name="bed", title="Bed", source="bed", layout="hateful-memes", files=("leeks.jsonl",))
    with pytest.raises(BadInput, match="is called like none of the files of layout 'hateful-memes'"):
        readers.memes(dataset, files={"leeks.jsonl": path})


def test_a_layout_beside_a_study_needs_no_code(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            "layouts/leeks.yaml": 'title: Leeks\nitems: memes\nfiles:\n  - {names: [train.csv], split: train, delimiter: ";"}\n'
            "id: {field: name, path: stem, zero_pad: 5}\ntext: {fields: [words], missing: [None], html: true}\n"
            "label: {field: verdict, map: {rude: true, kind: false}}\nmedia: {image: {field: name}}\n"
            "facets: {target: {field: targets, form: list}}\n",
            "sources/mine.yaml": "title: Mine\nlicence: {name: mine}\nfolders: [.]\nfiles: {train.csv: {}}\n",
            "memes/mine.yaml": "title: Mine\nsource: mine\nlayout: leeks\nfiles: [train.csv]\n",
            "study.yaml": "name: mine\ntitle: Mine\nmemes: [mine]\ntargets: [garden]\ntraining: []\n",
            "train.csv": "name;words;verdict;targets\nimages/7.png;\"a leek &amp; a pea\";rude;\"['peas', 'beets']\"\nimages/8.png;None;kind;[]\n",
        },
    )
    [mine] = catalog.open_study(str(root / "study.yaml")).memes
    files = {"train.csv": root / "train.csv"}
    memes = readers.memes(mine, files=files)
    assert memes.select("meme_id", "label", "text", "image").rows() == [
        ("00007", True, "a leek & a pea", "images/7.png"),
        ("00008", False, "", "images/8.png"),
    ]
    parts = readers.parts(mine, files=files, ids={"00007", "00008"})
    assert parts.facets == [("00007", "target", "peas"), ("00007", "target", "beets")]
    # A copy of the study has it too.
    plan = catalog.open_study(str(root / "study.yaml"))
    tables = {
        source.name: {name: root / name for name in source.files} for source in plan.sources if source.name == "mine"
    }
    tables |= {
        source.name: sources.find(source, home=tmp_path / "home") for source in plan.sources if source.name != "mine"
    }
    copied = copy_study(plan, folder=tmp_path / "copy", files=tables, media={})
    assert layouts.of(catalog.open_study(str(copied)).memes[0]).identity == layouts.of(mine).identity


@pytest.mark.parametrize("pattern", ["{id:>999999999}", "{id.real}", "{id[0]}", "{id!r}", "{}"])
def test_a_pattern_has_plain_placeholders(pattern: str) -> None:
    for rule in (lambda: MediaRule(pattern=pattern), lambda: Places(patterns=(pattern,))):
        with pytest.raises(ValidationError, match="placeholders are plain names"):
            rule()


@pytest.mark.parametrize("cell", [f"[({'9' * 400}, 1)]", "[(1e999, 2)]", "[(-1, 2)]", "[(nan, 2)]"])
def test_a_time_that_is_none_is_malformed(cell: str) -> None:
    with pytest.raises(Malformed):
        cells.spans(cell, is_clock=False)
