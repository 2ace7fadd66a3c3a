# ruff: noqa: E501
"""A small dataset in each layout, in the exact form of its files, and what must come out of it."""

import json
from pathlib import Path
from typing import Any

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


# Files; items as id, split, label, text; facets; segments; votes.
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
