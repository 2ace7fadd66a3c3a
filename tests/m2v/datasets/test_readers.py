import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v.datasets import readers
from m2v.entries.datasets import MemeDataset, SplitShares, VideoDataset
from m2v.errors import BadInput, InvalidCatalog, UnknownName
from tests import tables

LABEL = {"positive": "mushy", "negative": "firm", "positive_definition": "It is.", "negative_definition": "It is not."}
PUBLISHED_MEMES = (
    "id,image,text,type,original_dataset_label,model_prediction,human_annotation,majority_voting\n"
    "2,img/2.png,a pea,validation,1,0,1,1\n"
    "1,,a leek,train,0,0,,0\n"
)
PUBLISHED_VIDEOS = (
    "id,video,frames,image,audio,text,type,label\n"
    "v2,v2.mp4,f,i,,a pea,test,1\n"
    "v1,v1.mp4,f,i,v1.mp3,,test,0\n"
    "v1,v1.mp4,f,i,v1.mp3,,train,0\n"
)
TSV = "Video_ID\tMajority_Voting\tLabel\tTarget_Victim\tComponent\tDuration\n"
HATEMM = "video_file_name,label,hate_snippet,target\n"
MAMI = "file_name\tmisogynous\tshaming\tstereotype\tobjectification\tviolence\tText Transcription\n"

Read = Callable[..., pl.DataFrame]


def written(tmp_path: Path, contents: dict[str, str]) -> dict[str, Path]:
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {name: tmp_path / name for name in contents}


@pytest.fixture
def memes(tmp_path: Path) -> Read:
    def read(layout: str, contents: dict[str, str]) -> pl.DataFrame:
        files = written(tmp_path, contents)
        dataset = MemeDataset(name="bed", title="Bed", source="bed", layout=layout, files=tuple(files))
        return readers.memes(dataset, files=files)

    return read


@pytest.fixture
def videos(tmp_path: Path) -> Read:
    def read(layout: str, contents: dict[str, str], *, shares: dict[str, Any] | None = None) -> pl.DataFrame:
        files = written(tmp_path, contents)
        given = {"layout": layout, "files": tuple(files), "label": LABEL, "split_shares": shares}
        dataset = VideoDataset.model_validate({"name": "bed", "title": "Bed", "source": "bed", **given})
        return readers.videos(dataset, files=files)

    return read


def test_published_memes(memes: Read) -> None:
    expected = tables.memes(
        {"meme_id": "1", "text": "a leek"},
        {"meme_id": "2", "text": "a pea", "label": True, "split": "validation", "image": "img/2.png"},
    )
    assert_frame_equal(memes("published", {"bed.csv": PUBLISHED_MEMES}), expected)


def test_published_videos_may_stand_in_two_splits(videos: Read) -> None:
    v1 = {"video_id": "v1", "text": "", "video": "v1.mp4", "audio": "v1.mp3"}
    expected = tables.videos(
        {**v1, "split": "train"},
        {**v1, "split": "test"},
        {"video_id": "v2", "text": "a pea", "video": "v2.mp4", "split": "test", "label": True},
    )
    assert_frame_equal(videos("published", {"bed.csv": PUBLISHED_VIDEOS}), expected)


def test_hateful_memes_splits_are_the_files_names(memes: Read) -> None:
    def line(**given: object) -> str:
        return json.dumps({"img": "img/1.png", "text": "a leek", **given}) + "\n"

    frame = memes(
        "hateful-memes",
        {
            "train.jsonl": line(id=42, label=1) + line(id="00007", label=0),
            "dev_seen.jsonl": line(id=8, label=0),
            "test_unseen.jsonl": line(id=9, label=0),
        },
    )
    expected = tables.memes(
        {"meme_id": "00007", "image": "img/1.png"},
        {"meme_id": "42", "image": "img/1.png", "label": True},
        {"meme_id": "8", "image": "img/1.png", "split": "validation"},
        {"meme_id": "9", "image": "img/1.png", "split": "test"},
    )
    assert_frame_equal(frame, expected)


def test_mami(memes: Read) -> None:
    expected = tables.memes(
        {"meme_id": "1", "label": True, "image": "1.jpg", "text": 'a "leek"'}, {"meme_id": "2", "image": "2.jpg"}
    )
    table = MAMI + '2.jpg\t0\t0\t0\t0\t0\ta leek\n1.jpg\t1\t0\t1\t0\t0\t"a ""leek"""\n'
    assert_frame_equal(memes("mami", {"training.csv": table}), expected)


@pytest.mark.parametrize(
    "transcripts",
    [
        {"transcripts.csv": "video_file_name,text,seconds\nhate_1.mp4,a leek,3\nnon_hate_1,,2\n"},
        {"transcripts.json": '{"hate_1": "a leek", "non_hate_1.mp4": ""}'},
    ],
    ids=["csv", "json"],
)
def test_hatemm_with_transcripts(videos: Read, transcripts: dict[str, str]) -> None:
    table = HATEMM + "non_hate_1.mp4,Non Hate,,\nhate_1.mp4,Hate,\"[['0:01', '0:02']]\",Roots\n"
    expected = tables.videos(
        {"video_id": "hate_1", "label": True, "text": "a leek", "video": "hate_1.mp4"},
        {"video_id": "non_hate_1", "text": "", "video": "non_hate_1.mp4"},
    )
    shares = {"train": 1, "validation": 0, "test": 0}
    assert_frame_equal(videos("hatemm", {"HateMM_annotation.csv": table, **transcripts}, shares=shares), expected)


def hatemm_rows(n: int) -> list[str]:
    return [f"v{number:03d}.mp4,{'Hate' if number % 4 == 0 else 'Non Hate'},,\n" for number in range(n)]


def test_hatemm_splits_are_drawn_by_label_and_seed_and_not_by_order(videos: Read) -> None:
    rows = hatemm_rows(80)
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    frame = videos("hatemm", {"a.csv": HATEMM + "".join(rows)}, shares=shares)
    assert frame.group_by("split", "label").len().sort("split", "label").rows() == [
        ("train", False, 42),
        ("train", True, 14),
        ("validation", False, 6),
        ("validation", True, 2),
        ("test", False, 12),
        ("test", True, 4),
    ]
    assert set(frame["text"]) == {""}
    assert_frame_equal(videos("hatemm", {"a.csv": HATEMM + "".join(reversed(rows))}, shares=shares), frame)
    reseeded = videos("hatemm", {"a.csv": HATEMM + "".join(rows)}, shares={**shares, "seed": 1})
    assert reseeded["split"].to_list() != frame["split"].to_list()


def test_a_split_without_a_share_gets_nothing(videos: Read) -> None:
    frame = videos(
        "hatemm", {"a.csv": HATEMM + "".join(hatemm_rows(7))}, shares={"train": 0, "validation": 0.5, "test": 0.5}
    )
    assert set(frame["split"]) == {"validation", "test"}


def test_shares_sum_to_one() -> None:
    with pytest.raises(ValueError, match="train, validation and test must sum to 1"):
        SplitShares(train=0.7, validation=0.2, test=0.2)


@pytest.mark.parametrize("id_", ["abc123", "BV1xx411c7mD"], ids=["English", "Chinese"])
def test_multihateclip(videos: Read, id_: str) -> None:
    texts = {
        f"{id_}1": {"title": "大葱", "description": "a leek", "transcript": "and a pea", "label": "x"},
        f"{id_}2": {"title": "a leek", "transcript": ""},
        f"{id_}3": {"title": "", "transcript": ""},
        "unused": {"title": "a beet", "transcript": ""},
    }
    frame = videos(
        "multihateclip",
        {
            "train.tsv": f"{TSV}{id_}1\tHateful\t['Hateful']\t\t\t31\n",
            "valid.tsv": f"{TSV}{id_}2\tOffensive\t['Offensive']\t\t\t31\n",
            "test.tsv": f"{TSV}{id_}3\tNormal\t['Normal']\t\t\t31\n",
            "text.json": json.dumps(texts),
        },
    )
    expected = tables.videos(
        {"video_id": f"{id_}1", "label": True, "text": "大葱\na leek\nand a pea", "video": f"{id_}1.mp4"},
        {"video_id": f"{id_}2", "label": True, "video": f"{id_}2.mp4", "split": "validation"},
        {"video_id": f"{id_}3", "label": False, "text": "", "video": f"{id_}3.mp4", "split": "test"},
    )
    assert_frame_equal(frame, expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1,,a leek,train", "2,,a leek,train", "bed.csv, row 3: '2' stands in row 2 too."),
        ("1,,a leek,train", " ,,a leek,train", "bed.csv, row 3, column 'id': is empty"),
        ("a leek,train,0", "a leek,train,2", "row 3, column 'original_dataset_label': '2' is not one of '0', '1'."),
        ("a leek,train,0", "a leek,train,", "row 3, column 'original_dataset_label': '' is not one of"),
        (
            "a leek,train,0",
            "a leek,tarin,0",
            "row 3, column 'type': 'tarin' is not one of 'train', 'validation', 'test'.",
        ),
        (",majority_voting\n", ",vote\n", "bed.csv, row 1: lacks column majority_voting"),
    ],
)
def test_a_bad_published_row_is_named(memes: Read, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        memes("published", {"bed.csv": PUBLISHED_MEMES.replace(old, new)})


@pytest.mark.parametrize(
    ("layout", "contents", "message"),
    [
        ("published", {"a.csv": PUBLISHED_MEMES.splitlines()[0]}, "a.csv: has no rows, so bed would be empty."),
        (
            "hateful-memes",
            {"test_seen.jsonl": '{"id": 1, "img": "a.png", "text": "a leek"}'},
            "test_seen.jsonl, row 1, column 'label': has no label; the challenge's test files have none.",
        ),
        (
            "hateful-memes",
            {"all.jsonl": "{}"},
            "all.jsonl: is called like none of the files of layout 'hateful-memes'",
        ),
        ("hateful-memes", {"train.jsonl": "\n"}, "train.jsonl: has no rows"),
        (
            "hateful-memes",
            {"train.jsonl": '{"id": 1, "img": "", "text": "a leek", "label": true}'},
            "train.jsonl, row 1, column 'label': must be a text, not bool.",
        ),
        (
            "hateful-memes",
            {
                "train.jsonl": '{"id": 1, "img": "", "text": "", "label": 1}',
                "dev.jsonl": '{"id": "1", "img": "", "text": "", "label": 1}',
            },
            "dev.jsonl, row 1: '1' stands in row 1 of ",
        ),
        (
            "mami",
            {"training.csv": "file_name,misogynous,Text Transcription\n"},
            "row 1: lacks column file_name, Text Transcription, misogynous",
        ),
    ],
)
def test_bad_memes_of_other_layouts_are_named(memes: Read, layout: str, contents: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        memes(layout, contents)


@pytest.mark.parametrize(
    ("layout", "contents", "message"),
    [
        (
            "published",
            {"a.csv": PUBLISHED_VIDEOS.replace("train", "test")},
            "a.csv, row 4: 'v1', 'test' stands in row 3 too.",
        ),
        (
            "hatemm",
            {"a.csv": HATEMM + "v.mp4,hate,,\n"},
            "a.csv, row 2, column 'label': 'hate' is not one of 'Hate', ",
        ),
        ("hatemm", {"a.csv": HATEMM + "v.mp4,Hate,,\nv.mp4,Non Hate,,\n"}, "a.csv, row 3: 'v' stands in row 2 too."),
        (
            "hatemm",
            {"a.csv": HATEMM + "v.mp4,Hate,,\n", "t.json": '{"w": "a leek"}'},
            "a.csv, row 2, column 'video_file_name': 'v' has no text in t.json; add one, an empty one if nothing is",
        ),
        (
            "hatemm",
            {"a.csv": HATEMM + "v.mp4,Hate,,\n", "t.csv": "video_file_name,text\nv,a leek\nv,a pea\n"},
            "t.csv, row 3: 'v' stands in row 2 too.",
        ),
        (
            "multihateclip",
            {"all.tsv": TSV, "text.json": "{}"},
            "all.tsv: is called like none of the files of layout 'multihateclip': train.tsv or valid.tsv or test",
        ),
        (
            "multihateclip",
            {"train.tsv": TSV + "v\tMushy\t\t\t\t\n", "text.json": '{"v": "a leek"}'},
            "train.tsv, row 2, column 'Majority_Voting': 'Mushy' is not one of 'Hateful', 'Offensive', 'Normal'.",
        ),
        (
            "multihateclip",
            {"train.tsv": TSV + "v\tNormal\t\t\t\t\n", "text.json": "{}"},
            "train.tsv, row 2, column 'Video_ID': 'v' has no text in text.json",
        ),
    ],
)
def test_bad_videos_are_named(videos: Read, layout: str, contents: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        videos(layout, contents, shares={"train": 1, "validation": 0, "test": 0})


def test_what_a_yaml_must_add_is_named(memes: Read, videos: Read) -> None:
    with pytest.raises(InvalidCatalog, match=r"bed: layout 'hatemm' has no splits; add `split_shares"):
        videos("hatemm", {"a.csv": HATEMM})
    with pytest.raises(InvalidCatalog, match=r"bed: layout 'multihateclip' needs train\.tsv or valid\.tsv"):
        videos("multihateclip", {"text.json": "{}"})
    with pytest.raises(UnknownName, match=r"No layout \(of bed\) is called 'publshed'. Did you mean published"):
        memes("publshed", {"bed.csv": PUBLISHED_MEMES})
    with pytest.raises(UnknownName, match="No layout"):
        videos("mami", {"a.csv": MAMI})  # a layout, but of memes


def test_no_error_shows_a_long_text(memes: Read) -> None:
    long = "a long story about a leek and a pea"
    for column in range(3):  # a text in a column where it does not belong: id, label, split
        cells = ["1", "", "a leek", "train", "0", "0", "", "0"]
        cells[(0, 4, 3)[column]] = long
        with pytest.raises(BadInput) as error:
            memes("published", {"bed.csv": PUBLISHED_MEMES.splitlines()[0] + "\n" + 2 * (",".join(cells) + "\n")})
        assert long not in str(error.value)
        assert long[:20] in str(error.value)
