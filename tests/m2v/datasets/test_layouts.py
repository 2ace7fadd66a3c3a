# ruff: noqa: E501
"""Each layout on a small file in its exact form: items, facets, segments and votes, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

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

MHC = "Video_ID\tMajority_Voting\tLabel\tTarget_Victim\tComponent\tDuration\r\n"


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def workbook(path: Path, *rows: list[Any]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active
    for row in rows:
        book.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def written(root: Path, contents: dict[str, Any]) -> Path:
    for name, content in contents.items():
        path = root / name
        if isinstance(content, list):
            workbook(path, *content)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def rows(report: FolderReport) -> list[tuple]:
    """Id, split, label and text of each item, sorted by id."""
    found = report.datasets[0].rows
    return (
        found.select(found.columns[0], pl.col("split").cast(pl.String), "label", "text").sort(found.columns[0]).rows()
    )


CASES: dict[str, tuple[dict[str, Any], list[tuple], set[tuple], list[tuple], list[tuple]]] = {
    "hateful-memes-fine-grained": (
        {
            "train.json": lines(
                {"id": 7, "set_name": "train", "img": "img/7.png", "text": "a leek", "gold_hate": ["hateful"], "gold_pc": ["race"], "gold_attack": ["mocking", "slurs"], "pc": "None"},
                {"id": 8, "set_name": "train", "img": "img/8.png", "text": "a pea", "gold_hate": ["not_hateful"], "gold_pc": ["pc_empty"], "gold_attack": ["attack_empty"], "pc": [["pc_empty"]]},
            )
        },
        [("7", "train", True, "a leek"), ("8", "train", False, "a pea")],
        {("7", "protected-category", "race"), ("7", "attack", "mocking"), ("7", "attack", "slurs")},
        [],
        [],
    ),
    "mami": (
        {
            "training.csv": "file_name\tmisogynous\tshaming\tstereotype\tobjectification\tviolenceText Transcription\n"
            "15001.jpg\t1\t1\t0\t0\ta leek\n",
            "Test.csv": "file_name\tText Transcription\n15001.jpg\ta beet\n",
            "test_labels.txt": "15001.jpg\t1\t0\t0\t0\t1\n",
        },
        [("15001", "train", True, "a leek"), ("test-15001", "test", True, "a beet")],
        {("15001", "misogyny", "shaming"), ("test-15001", "misogyny", "violence")},
        [],
        [],
    ),
    "harm-c": (
        {
            "train.jsonl": lines(
                {"id": "covid_memes_18", "image": "covid_memes_18.png", "labels": ["somewhat harmful", "individual"], "text": "a leek"},
                {"id": "covid_memes_19", "image": "covid_memes_19.png", "labels": ["not harmful"], "text": "a pea"},
            ),
            "val.jsonl": lines({"id": "covid_memes_2", "image": "2.png", "labels": ["very harmful", "society"], "text": ""}),
        },
        [("covid_memes_18", "train", True, "a leek"), ("covid_memes_19", "train", False, "a pea"), ("covid_memes_2", "validation", True, "")],
        {
            ("covid_memes_18", "harm", "somewhat harmful"), ("covid_memes_18", "target", "individual"),
            ("covid_memes_19", "harm", "not harmful"),
            ("covid_memes_2", "harm", "very harmful"), ("covid_memes_2", "target", "society"),
        },
        [],
        [],
    ),
    "multioff": (
        {
            "Split Dataset/Training_meme_dataset.csv": "image_name,sentence,label\na.png,a leek,offensive\nb.png,a pea,Non-offensiv\n",
        },
        [("a", "train", True, "a leek"), ("b", "train", False, "a pea")],
        set(),
        [],
        [],
    ),
    "memotion": (
        {
            "labels.csv": ",image_name,text_ocr,text_corrected,humour,sarcasm,offensive,motivational,overall_sentiment\n"
            "0,image_1.jpg,A LEEK,a leek,funny,general,slight,not_motivational,positive\n",
            "2000_testdata.csv": "Image_name,Image_URL,OCR_extracted_text,corrected_text\n"
            "image_1.jpg,http://x,A PEA,a pea\nbeet.png,http://x,,a beet\n",
            # In another order than the pictures.
            "Meme_groundTruth .csv": "Image_name,Labels\nbeet.png,-1_1010_2021\nimage_1.jpg,1_0101_0300\n",
        },
        [
            ("image_1", "train", True, "a leek"),
            ("test-beet", "test", True, "a beet"),
            ("test-image_1", "test", False, "a pea"),
        ],
        {
            ("image_1", "humour", "funny"), ("image_1", "sarcasm", "general"), ("image_1", "offensive", "slight"),
            ("image_1", "motivational", "not_motivational"), ("image_1", "sentiment", "positive"),
            ("test-beet", "humour", "very_funny"), ("test-beet", "sarcasm", "not_sarcastic"),
            ("test-beet", "offence", "very_offensive"), ("test-beet", "motivational", "motivational"),
            ("test-beet", "sentiment", "negative"), ("test-image_1", "humour", "not_funny"),
            ("test-image_1", "sarcasm", "very_twisted"), ("test-image_1", "offence", "not_offensive"),
            ("test-image_1", "motivational", "not_motivational"), ("test-image_1", "sentiment", "positive"),
        },
        [],
        [],
    ),
    "implihatevid": (
        {"videos.txt": "./Implicit/a, b.mp4\n./Explicit/c.mp4\n./Non-Hate/d.mp4\n"},
        [("a, b", "train", True, ""), ("c", "train", True, ""), ("d", "train", False, "")],
        {("a, b", "kind", "implicit"), ("c", "kind", "explicit")},
        [],
        [],
    ),
    "pridemm": (
        {
            "PrideMM.csv": "name,text,split,hate,target,stance,humour\nimg_1.png,None,train,1,2.0,2.0,0.0\n"
            "img_2.png,a pea,val,0,,1.0,1.0\n",
        },
        [("img_1", "train", True, ""), ("img_2", "validation", False, "a pea")],
        {
            ("img_1", "target", "community"), ("img_1", "stance", "oppose"), ("img_1", "humour", "no"),
            ("img_2", "stance", "support"), ("img_2", "humour", "yes"),
        },
        [],
        [],
    ),
    "bhm": (
        {
            "Files/train_task1.xlsx": [["image_name", "Captions", "Labels"], ["a.jpg", "একটি পেঁয়াজ", "hate"], ["b.jpg", "a pea", "non-hate"]],
            "Files/train_task2.xlsx": [["image_name", "Captions", "Labels"], ["a.jpg", "একটি পেঁয়াজ", "TC"]],
        },
        [("a", "train", True, "একটি পেঁয়াজ"), ("b", "train", False, "a pea")],
        {("a", "target", "community")},
        [],
        [],
    ),
    "mute": (
        {"train_hate.xlsx": [["image_name", "Captions", "Label"], ["a.jpg", "a leek", "hate"], ["b.jpg", None, "not-hate"]]},
        [("a", "train", True, "a leek"), ("b", "train", False, "")],
        set(),
        [],
        [],
    ),
    "mmhs150k": (
        {
            "MMHS150K_GT.json": json.dumps(
                {
                    "1114679353714016256": {"img_url": "u", "labels": [4, 1, 0], "tweet_url": "u", "tweet_text": "a leek", "labels_str": ["Religion", "Racist", "NotHate"]},
                    "1063020048816660480": {"img_url": "u", "labels": [0, 0, 5], "tweet_url": "u", "tweet_text": "a pea", "labels_str": []},
                    "1": {"img_url": "u", "labels": [0, 0, 0], "tweet_url": "u", "tweet_text": "in no list", "labels_str": []},
                }
            ),
            "splits/train_ids.txt": "1114679353714016256\n",
            "splits/val_ids.txt": "1063020048816660480\n",
            "splits/test_ids.txt": "",
        },
        [("1063020048816660480", "validation", False, "a pea"), ("1114679353714016256", "train", True, "a leek")],
        set(),
        [],
        [
            ("1063020048816660480", "1", "NotHate"), ("1063020048816660480", "2", "NotHate"), ("1063020048816660480", "3", "OtherHate"),
            ("1114679353714016256", "1", "Religion"), ("1114679353714016256", "2", "Racist"), ("1114679353714016256", "3", "NotHate"),
        ],
    ),
    "crisishatemm": (
        {
            "hate_stA_train.csv": "filename,text\n/content/drive/x/11111.jpg,a leek\n",
            "nohate_stA_train.csv": "filename,text\n/content/drive/y/11111.jpg,a pea\n",
            "org_stB_train.csv": "filename,text\n/content/drive/z/11111.jpg,a leek\n",
        },
        [("hate-11111", "train", True, "a leek"), ("nohate-11111", "train", False, "a pea")],
        {("hate-11111", "target", "organization")},
        [],
        [],
    ),
    "hatemm": (
        {
            "HateMM_annotation.csv": "video_file_name,label,hate_snippet,target\r\n"
            "hate_video_1.mp4,Hate,\"[['00:00:34', '00:01:34'], ['00:02:00', '00:01:00']]\",\"Blacks,Sexits\"\r\n"
            "non_hate_video_1.mp4,Non Hate,,[]\r\n",
        },
        [("hate_video_1", "train", True, ""), ("non_hate_video_1", "train", False, "")],
        {("hate_video_1", "target", "Blacks"), ("hate_video_1", "target", "Sexists")},
        [("hate_video_1", 0, 34.0, 94.0, "hate"), ("hate_video_1", 1, 120.0, 60.0, "hate")],
        [],
    ),
    "multihateclip": (
        {
            "train.tsv": f"{MHC}v1\tOffensive\t['Offensive', 'Normal', 'Hateful']\t['Woman']\t['Audio']\t[(0, 26)]\r\n",
            "text.json": json.dumps({"v1": {"title": "a leek", "description": "", "transcript": "a pea"}}),
        },
        [("v1", "train", True, "a leek\na pea")],
        {("v1", "class", "Offensive"), ("v1", "victim", "Woman"), ("v1", "component", "Audio")},
        [("v1", 0, 0.0, 26.0, "harmful")],
        [("v1", "1", "Offensive"), ("v1", "2", "Normal"), ("v1", "3", "Hateful")],
    ),
    "hateclipseg": (
        {
            "video_level_annotation.csv": "Video Id,Video-Level Label,Target Victim\nbit_1,\"['hateful', 'insulting']\",['Man']\n",
            "segment_level_annotation.csv": "Video Id,Segment-Level Label,Segment Timestamp\n"
            "bit_1,\"[[1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]]\",\"[['0.00', '1.50'], ['1.50', '1.50']]\"\n",
        },
        [("bit_1", "train", True, "")],
        {("bit_1", "class", "hateful"), ("bit_1", "class", "insulting"), ("bit_1", "victim", "Man")},
        [("bit_1", 0, 0.0, 1.5, "normal"), ("bit_1", 1, 1.5, 1.5, "hateful"), ("bit_1", 1, 1.5, 1.5, "insulting")],
        [],
    ),
    "dehate": (
        {
            "DeHate.xlsx": [
                ["Video ID", "Hate", "Explicit or Implicit", "Hate Segment", "Platform", "title", "desc", "Split"],
                ["v1", "1", "Implicit", "[(3, 9)]", "bit", "a leek", None, "train"],
                ["v2", "1", "Explicit", "(9,9)]", "bit", "a pea", None, "test"],
            ]
        },
        [("v1", "train", True, "a leek"), ("v2", "test", True, "a pea")],
        {("v1", "implicitness", "Implicit"), ("v1", "platform", "bit"), ("v2", "implicitness", "Explicit"), ("v2", "platform", "bit")},
        [("v1", 0, 3.0, 9.0, "hate")],
        [],
    ),
    "vhd11k-images": (
        {"harmful_image_10000_ann.csv": b"imagePath,decision,harmfulType\nx/a.jpg,yes,caf\xe9\nx/b.jpg,no,None\n"},
        [("a", "train", True, ""), ("b", "train", False, "")],
        {("a", "harm", "caf\u00e9")},
        [],
        [],
    ),
    "goat-bench": (
        {"test.jsonl": lines({"img": "pic_1.png", "org_sent": "a leek", "label": 1}, {"img": "pic_2.png", "org_sent": "a pea", "label": 0})},
        [("pic_1", "test", True, "a leek"), ("pic_2", "test", False, "a pea")],
        set(),
        [],
        [],
    ),
    "multi3hate": (
        {"final_annotations.csv": "Meme ID,US,DE,MX,CN,IN\nm1,1,0,1,1,0\nm2,0,0,1,0,0\n"},
        [("m1", "train", True, ""), ("m2", "train", False, "")],
        set(),
        [],
        [("m1", group, "hate" if group in {"US", "MX", "CN"} else "not hate") for group in ("CN", "DE", "IN", "MX", "US")]
        + [("m2", group, "hate" if group == "MX" else "not hate") for group in ("CN", "DE", "IN", "MX", "US")],
    ),
    "ethos": (
        {"Ethos_Dataset_Binary.csv": "comment;isHate\na leek;0.75\na pea;0.0\n"},
        [("2", "train", True, "a leek"), ("3", "train", False, "a pea")],
        set(),
        [],
        [],
    ),
    "mused": (
        {"MuSeD.csv": "id,video_name,text,sexist\n1,v1,un puerro,1\n2,v2,un guisante,0\n"},
        [("1", "train", True, "un puerro"), ("2", "train", False, "un guisante")],
        set(),
        [],
        [],
    ),
}  # fmt: skip


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
