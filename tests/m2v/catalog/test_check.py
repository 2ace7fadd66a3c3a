"""What lies in a folder is said: its layout, its release, what is wrong with it, and the YAML of a study."""

import json
import re
import shutil
from pathlib import Path

import pytest

from m2v import catalog
from m2v.catalog.check import FolderReport, check
from m2v.datasets import folders, layouts, plain, releases, sources
from m2v.errors import M2VError, UnknownName

MAMI = "file_name\tmisogynous\tshaming\tstereotype\tobjectification\tviolence\tText Transcription\n"
HATEMM = "video_file_name,label,hate_snippet,target\r\n"
MHC = "Video_ID\tMajority_Voting\tLabel\tTarget_Victim\tComponent\tDuration\r\n"
MEMES = "id,image,text,type,original_dataset_label,model_prediction,human_annotation,majority_voting\n"
NEAREST = "No known release has these counts. The nearest is "
VIDEOS = "id,video,frames,image,audio,text,type,label\n"


def meme(number: int, label: int) -> str:
    return json.dumps({"id": number, "img": f"img/{number:05}.png", "label": label, "text": f"leek {number}"}) + "\n"


def meme_lines(start: int, n_fine: int, n_positive: int) -> str:
    n = n_fine + n_positive
    return "".join(meme(start + number, int(number >= n_fine)) for number in range(n))


def hatemm_rows(n: int) -> str:
    return "".join(
        f"{'' if row % 2 else 'non_'}hate_video_{row}.mp4,{'Hate' if row % 2 else 'Non Hate'},,\r\n" for row in range(n)
    )


# Each layout as its authors distribute it, and how many of its media lie there.
MADE: dict[str, tuple[dict[str, str], int]] = {
    "hateful-memes": (
        {
            "LICENSE.txt": "vegetables",
            "train.jsonl": meme_lines(1, 2, 1),
            "dev_seen.jsonl": meme_lines(11, 1, 1),
            "dev_unseen.jsonl": meme_lines(12, 1, 1),
            "test_seen.jsonl": json.dumps({"id": 31, "img": "img/00031.png", "text": "a leek"}) + "\n",
            "img/00001.png": "",
            "img/00011.png": "",
        },
        2,
    ),
    "mami": (
        {
            "TRAINING/training.csv": MAMI + '1.jpg\t0\t0\t0\t0\t0\ta leek\n2.jpg\t1\t1\t0\t0\t0\t"a ""pea"""\n',
            "TRAINING/1.jpg": "",
            "test/Test.csv": "file_name\tText Transcription\n15001.jpg\ta beet\n",
            "test/test_labels.txt": "15001.jpg\t0\t0\t0\t0\t0\n",
        },
        1,
    ),
    "hatemm": (
        {"HateMM_annotation.csv": HATEMM + hatemm_rows(40), "hate_videos/hate_video_1.mp4": "", "ids.csv": "v1\n"},
        1,
    ),
    "multihateclip": (
        {
            "English_data/annotation/train.tsv": f"{MHC}a1\tHateful\t[]\t[]\t[]\t[]\r\na2\tNormal\t[]\t[]\t[]\t[]\r\n",
            "English_data/annotation/valid.tsv": f"{MHC}b1\tOffensive\t[]\t[]\t[]\t[]\r\n",
            "English_data/annotation/test.tsv": f"{MHC}a1\tHateful\t[]\t[]\t[]\t[]\r\n",
            "English_data/text.json": json.dumps(
                {each: {"title": each, "description": "", "transcript": "a leek"} for each in ("a1", "a2", "b1")}
            ),
            "a1/video.mp4": "",
        },
        2,
    ),
    "published": (
        {
            "veg_aligned_with_garden.csv": f"{MEMES}1,../VEG/img/1.png,a leek,train,0,0,,0\n2,,a pea,train,1,0,1,1\n",
            "veg_aligned_with_field.csv": f"{MEMES}1,../VEG/img/1.png,a leek,train,0,1,0,0\n2,,a pea,train,1,1,,1\n",
            "garden.csv": f"{VIDEOS}v1,v1.mp4,f,i,,a leek,train,1\nv2,v2.mp4,f,i,,a pea,test,0\n",
            "garden_demo_description.csv": "id,label,description,text\nv1,insulting,,a leek\nv9,neighbourly,,a pea\n",
            "VEG/img/1.png": "",
        },
        1,
    ),
}  # fmt: skip


def written(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode())
    return root


@pytest.fixture(autouse=True)
def no_media_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M2V_MEDIA", raising=False)


def said(report: FolderReport, name: str) -> list[str]:
    return [finding.summary for each in report.datasets for finding in each.findings if finding.check == name]


def test_every_layout_can_be_found() -> None:
    known = {
        name.removesuffix("-memes").removesuffix("-videos") if "published" in name else name for name in layouts.known()
    }
    # What is plain has no layout of ours: one is written for the very table.
    assert set(folders.finders()) == {*known, plain.NAME}
    assert known >= set(MADE)


@pytest.mark.parametrize(
    ("layout", "counts"),
    [
        ("hateful-memes", {"train": {"0": 2, "1": 1}, "validation": {"0": 1, "1": 1}}),
        ("mami", {"train": {"0": 1, "1": 1}, "test": {"0": 1, "1": 0}}),
        ("hatemm", {"train": {"0": 14, "1": 14}, "validation": {"0": 2, "1": 2}, "test": {"0": 4, "1": 4}}),
        ("multihateclip", {"train": {"0": 1, "1": 1}, "validation": {"0": 0, "1": 1}, "test": {"0": 0, "1": 1}}),
        ("published", {"train": {"0": 1, "1": 2}, "test": {"0": 1, "1": 0}}),
    ],
)
def test_a_dataset_as_it_is_distributed_is_recognised(
    tmp_path: Path, layout: str, counts: dict[str, dict[str, int]]
) -> None:
    contents, n_found = MADE[layout]
    report = check(written(tmp_path, contents))
    n_items = sum(sum(each.values()) for each in counts.values())
    summary = report.summary()
    findings = summary.pop("findings")
    assert summary == {
        "layout": layout,
        "release": None,
        "n_items": n_items,
        "n_by_split_label": counts,
        "n_media_found": n_found,
        "n_media_missing": n_items - n_found,
        "n_facets": sum(len(each.parts.facets) for each in report.datasets),
        "n_segments": 0,
    }
    assert {"release_known", "texts_present", "media_found"} <= {each["check"] for each in findings}
    assert check(tmp_path, layout=layout).summary()["n_items"] == n_items
    told = json.dumps([findings, dict(report.documents)])
    assert not re.search("leek [0-9]|a leek|a pea|a beet", told)


@pytest.mark.parametrize("layout", MADE)
def test_the_yaml_makes_a_study_of_the_folder(tmp_path: Path, layout: str) -> None:
    root = written(tmp_path, MADE[layout][0])
    report = check(root)
    plan = catalog.open_study(str(written(root, dict(report.documents)) / "study.yaml"))
    datasets = {each.name: each for each in (*plan.memes, *plan.targets)}
    for each in report.datasets:
        written_one = datasets[each.dataset.name]
        assert (written_one.layout, written_one.files) == (layout, each.dataset.files)
        assert (written_one.folder / (written_one.media or "")).is_dir()
        # In the folder, and not made or downloaded.
        files = sources.find(plan.source(written_one), home=tmp_path / "home")
        assert {name: root / name for name in written_one.files}.items() <= files.items()
    # What was written beside the data does not change what is found there.
    assert check(root).summary() == report.summary()


def test_files_that_are_not_used_are_named(tmp_path: Path) -> None:
    [summary] = said(check(written(tmp_path / "memes", MADE["hateful-memes"][0])), "files_used")
    assert summary == (
        "Left out: dev_unseen.jsonl: 1 of its 2 memes stand in dev_seen.jsonl too; test_seen.jsonl: it has no labels."
    )
    report = check(written(tmp_path / "tables", MADE["published"][0]))
    [summary] = said(report, "files_used")
    assert summary.startswith("Left out: veg_aligned_with_field.csv: its predictions and answers, because")
    plan = catalog.open_study(str(written(tmp_path / "tables", dict(report.documents)) / "study.yaml"))
    assert [each.name for each in plan.alignments] == ["veg_garden"]


def test_tables_of_the_same_memes_must_agree(tmp_path: Path) -> None:
    contents = dict(MADE["published"][0])
    contents["field.csv"] = contents["garden.csv"]
    root = written(tmp_path, contents)
    agreeing = "veg_aligned_with_field.csv, veg_aligned_with_garden.csv hold the same memes."
    assert said(check(root), "tables_agree") == [agreeing]
    changed = contents["veg_aligned_with_field.csv"].replace("a pea", "a beet")
    written(root, {"veg_aligned_with_field.csv": changed})
    [summary] = said(check(root), "tables_agree")
    assert summary.startswith("Memes, texts or labels differ between veg_aligned_with_field.csv and")


def test_demonstrations_in_other_words_are_left_out_and_named(tmp_path: Path) -> None:
    root = written(tmp_path, MADE["published"][0])
    assert len(said(check(root), "demonstrations_held_out")) == 1
    demonstrations = MADE["published"][0]["garden_demo_description.csv"].replace("insulting", "mushy")
    report = check(written(root, {"garden_demo_description.csv": demonstrations}))
    assert said(report, "demonstrations_read") == [
        "Its demonstrations are left out: garden_demo_description.csv, row 2, column 'label': 'mushy' is not one of "
        "'insulting', 'neighbourly'."
    ]
    plan = catalog.open_study(str(written(root, dict(report.documents)) / "study.yaml"))
    assert (plan.targets[0].name, plan.targets[0].demonstrations) == ("garden", None)


def test_media_may_lie_beside_the_table(tmp_path: Path) -> None:
    contents = {f"memes/{name}": content for name, content in MADE["hateful-memes"][0].items()}
    report = check(written(tmp_path, contents))
    assert (report.summary()["n_media_found"], report.datasets[0].dataset.media) == (2, "memes")


def test_media_elsewhere_are_counted_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = dict(MADE["mami"][0])
    del contents["TRAINING/1.jpg"]
    root = written(tmp_path / "tables", contents)
    assert check(root).summary()["n_media_found"] == 0
    monkeypatch.setenv("M2V_MEDIA", str(written(tmp_path / "media", {"1.jpg": "", "2.jpg": ""})))
    assert check(root).summary()["n_media_found"] == 2


def test_hateful_memes_with_files_that_overlap_is_recognised(tmp_path: Path) -> None:
    contents = {
        "train.jsonl": meme_lines(1, 5481, 3019),
        "dev_seen.jsonl": meme_lines(10_001, 253, 247),
        "test_seen.jsonl": meme_lines(20_001, 510, 490),
        "test_unseen.jsonl": meme_lines(30_001, 1250, 750),
        # 400 of its memes are in dev_seen.
        "dev_unseen.jsonl": meme_lines(10_101, 341, 199),
    }
    report = check(written(tmp_path, contents))
    assert (report.release, report.summary()["n_items"]) == ("fhm-phase-2", 12_000)
    [release] = said(report, "release_known")
    assert release.startswith(
        "It is Hateful Memes, phase 2, without dev_unseen. 823 of its 8,500 training labels differ"
    )


@pytest.mark.parametrize(
    ("layout", "counts", "release", "sentence"),
    [
        ("hatemm", {"all": (652, 431)}, "hatemm", "It is HateMM."),
        (
            "hatemm",
            {"all": (652, 430)},
            None,
            f"{NEAREST}HateMM: all has 652 rows with label 0 and 431 with label 1 "
            "there, 652 rows with label 0 and 430 with label 1 here.",
        ),
        (
            "hateful-memes",
            {"train": (5481, 3020), "dev_seen": (253, 247), "test_seen": (510, 490), "test_unseen": (1250, 750)},
            None,
            f"{NEAREST}Hateful Memes, phase 2: train has 5,481 rows with label 0 and "
            "3,019 with label 1 there, 5,481 rows with label 0 and 3,020 with label 1 here; dev_unseen has 341 rows "
            "with label 0 and 199 with label 1 there, no rows here.",
        ),
        ("hateful-memes", {"train": (5450, 3050), "dev": (250, 250)}, "fhm-phase-1", None),
        ("hateful-memes", {"train": (5450, 3050), "dev_seen": (253, 247)}, None, None),  # labels of phase 1
        ("hateful-memes", {"dev_seen": (253, 247)}, None, None),  # without the part that is never absent
        (
            "multihateclip",
            {"train": (300, 399), "validation": (50, 51), "test": (100, 100)},
            "multihateclip-zh",
            "It is MultiHateClip, Chinese.",
        ),
        (
            "multihateclip",
            {"train": (300, 398), "validation": (50, 51), "test": (100, 100)},
            None,
            f"{NEAREST}MultiHateClip, Chinese: train has 699 rows there, 300 rows "
            "with label 0 and 398 with label 1 here.",
        ),
        ("published", {"train": (464, 237), "validation": (65, 35), "test": (133, 67)}, "m2v-mhc", None),
        ("bhm", {"train": (1, 1)}, None, "No release of layout bhm is known."),
    ],
)  # fmt: skip
def test_a_release_is_known_by_its_counts(
    layout: str, counts: releases.Counts, release: str | None, sentence: str | None
) -> None:
    found, told = releases.recognised(counts, layout=layout)
    assert (found and found.name) == release
    assert sentence in (None, told)


@pytest.mark.parametrize(
    ("layout", "contents", "message"),
    [
        ("hatemm", {"HateMM_annotation.csv": HATEMM + "v.mp4,Hat,,\n"}, "annotation.csv, row 2, column 'label': 'Hat'"),
        ("hatemm", {"a.csv": HATEMM.replace("target", "aim")}, "a.csv, row 1: lacks column target"),
        ("hatemm", {"HateMM_annotation.csv": HATEMM.replace(",", ";")}, "It is separated by semicolons"),
        ("hatemm", {"a.csv": HATEMM, "b.csv": HATEMM}, "several files look like its table (a.csv, b.csv)"),
        ("hateful-memes", {"train.jsonl": '{"id": 1, "image": ""}'}, "train.jsonl, row 1, column 'text': is missing."),
        ("hateful-memes", {"train.jsonl": '{"id": 1, "img": "", "text": ""}'}, "row 1, column 'label': has no label"),
        ("hateful-memes", {"a/train.jsonl": meme(1, 0), "b/dev.jsonl": meme(2, 0)}, "lie in several folders (a, b)"),
        ("hateful-memes", {"test.jsonl": '{"id": 1}'}, "no labels in test.jsonl."),
        ("mami", {"training.csv": MAMI + "1.jpg\t2\t0\t0\t0\t0\ta leek\n"}, "row 2, column 'misogynous': '2'"),
        ("multihateclip", {"train.tsv": MHC}, "no text.json"),
        ("multihateclip", {"train.tsv": MHC + "v\tMushy\t\t\t\t\n", "text.json": '{"v": ""}'}, "row 2, column 'Maj"),
        ("published", {"a.csv": MEMES.replace(",majority_voting", "")}, "a.csv, row 1: lacks column majority_voting"),
        ("published", {"a.csv": MEMES + "1,,a leek,tarin,0,0,,0\n"}, "a.csv, row 2, column 'type': 'tarin'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_named_layout_is_named(
    tmp_path: Path, layout: str, contents: dict[str, str], message: str
) -> None:
    root = written(tmp_path, contents)
    with pytest.raises(M2VError, match=re.escape(f"{root} is not in layout {layout}: ")) as error:
        check(root, layout=layout)
    assert message in str(error.value)
    with pytest.raises(M2VError, match="No layout fits") as error:
        check(root)
    assert message in str(error.value)


def test_where_nothing_fits_every_layout_says_why(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            "labels.csv": "leek,pea\n1,2\n",
            "latin.csv": "caf\udce9".encode("utf-8", "surrogateescape").decode("latin-1"),
        },
    )
    with pytest.raises(M2VError) as error:
        check(root)
    assert str(error.value) == (
        f"No layout fits {root}, where 2 files lie. plain: several tables lie there (labels.csv, latin.csv). "
        "Check a folder with one of them. Nothing there is called as the files of another layout are. "
        f"Layouts are {', '.join(folders.finders())}; docs/datasets.md says what their files are called."
    )


def test_what_cannot_be_checked_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"No layout is called 'hatem'\. Did you mean hatemm"):
        check(tmp_path, layout="hatem")
    with pytest.raises(M2VError, match="is no folder"):
        check(tmp_path / "nowhere")
    mami = {name: content for name, content in MADE["mami"][0].items() if not name.startswith("test/")}
    both = {**MADE["hatemm"][0], **mami}
    with pytest.raises(M2VError, match=r"Several layouts fit .*: hatemm, mami\. Choose one with --layout\."):
        check(written(tmp_path, both))
    assert check(tmp_path, layout="mami").layout == "mami"


def test_the_papers_tables_are_recognised(published: dict[str, Path]) -> None:
    report = check(published["hatemm.csv"].parent)
    assert report.release == "m2v-hatemm + m2v-mhc + m2v-fhm + m2v-mami"
    assert report.summary()["n_items"] == 1079 + 1001 + 3000 + 3000
    assert len(said(report, "tables_agree")) == len(said(report, "demonstrations_held_out")) == 2


def test_hatemm_as_its_authors_distribute_it_is_recognised(wild: Path) -> None:
    report = check(wild / "hatemm")
    assert (report.layout, report.release, report.summary()["n_items"]) == ("hatemm", "hatemm", 1083)


def test_multihateclip_as_its_authors_distribute_it_is_recognised(wild: Path, tmp_path: Path) -> None:
    root = shutil.copytree(wild / "multihateclip_en", tmp_path / "data")
    # The texts are not among the files here.
    ids = [line.split("\t")[0] for path in root.glob("*.tsv") for line in path.read_text("utf-8").splitlines()[1:]]
    written(root, {"text.json": json.dumps(dict.fromkeys(ids, "a leek"))})
    report = check(root)
    assert (report.layout, report.release, report.summary()["n_items"]) == ("multihateclip", "multihateclip-en", 1001)
    [repeated] = [each for each in report.datasets[0].findings if each.check == "ids_in_one_split"]
    assert repeated.ids == ("k9OtaMbK0Ac",)
