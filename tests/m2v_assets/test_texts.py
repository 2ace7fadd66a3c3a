"""What a dataset leaves unsaid is read in its pictures and heard in its videos, and detectors learn from it."""

import csv
from pathlib import Path

import polars as pl
import yaml

from m2v.robustness import films
from m2v_resources.store.versions import TableStore
from tests.m2v.media.test_readers import picture
from tests.m2v_assets.conftest import Run, as_json

READ, SAID = "THE LEEKS ARE ROTTEN", "The carrots went to the market this morning."


def silenced(path: Path, ids: set[str]) -> dict[str, dict[str, str]]:
    """Take the texts of items out of a table; return their rows."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([{**row, "text": ""} if row["id"] in ids else row for row in rows])
    return {row["id"]: row for row in rows if row["id"] in ids}


def test_texts_that_nobody_wrote_down(m2v: Run, home: Path, tmp_path: Path) -> None:
    m2v("study", "copy", "sample", str(tmp_path / "mine"))
    root = tmp_path / "mine"
    media = root / "media" / "sample"
    memes = silenced(root / "tables" / "sample" / "veggie_aligned_with_garden.csv", {"001", "002"})
    # One picture says something, one is bare.
    picture(media / memes["001"]["image"], READ)
    picture(media / memes["002"]["image"])
    garden = root / "tables" / "sample" / "garden.csv"
    with garden.open(newline="", encoding="utf-8") as file:
        [spoken, *_] = [row for row in csv.DictReader(file) if row["type"] == "train" and row["audio"]]
    silenced(garden, {spoken["id"]})
    films.spoken(SAID, media / spoken["audio"])
    study = yaml.safe_load((root / "study.yaml").read_text())
    study |= {
        "predictions": "recorded",
        "clip": None,
        "frames": {"n": 1},
        "whisper": "whisper-tiny-en",
        "ocr": "rapidocr",
        "training": [{"model": "minilm-probe", "strategies": ["om_ft", "vid_ft"]}],
    }
    (root / "study.yaml").write_text(yaml.safe_dump(study))
    path = str(root / "study.yaml")
    assert as_json(m2v("run", "--study", path, "--json"))["failed"] == 0

    store = TableStore(home / "tables")
    texts = store.read("texts", "veggie").filter(pl.col("text_source") != "dataset")
    assert texts.select("item_id", "text", "text_source").rows() == [("001", READ, "picture"), ("002", "", "none")]
    trained = store.read("training_examples", "om_ft_veggie_garden")
    assert trained.filter(item_id="001")["text"].to_list() == [READ]
    heard = store.read("training_examples", "vid_ft_garden").filter(item_id=spoken["id"])["text"].item()
    assert "carrots went to the market" in heard.lower()
    assert store.read("texts", "garden").filter(item_id=spoken["id"])["text_source"].item() == "speech"
    features = store.read("features", "minilm_veggie").filter(role="item", item_id="001")
    assert features["sha256"].to_list() == texts.filter(item_id="001")["text_sha256"].to_list()
    shown = m2v("tables", "show", "texts/veggie").stdout
    assert READ not in shown
    found = as_json(m2v("tables", "show", "findings/texts_veggie", "--json"))["rows"][0]
    assert "1 were read in pictures, 1 items have none" in found["summary"]

    # What was read of a meme goes with it.
    done = as_json(m2v("forget", "meme", "veggie/001", "--purge", "--why", "asked to", "--yes", "--json"))
    assert done
    for file in home.rglob("*"):
        if file.is_file() and file.suffix != ".parquet":
            assert READ.encode() not in file.read_bytes(), file
        elif file.suffix == ".parquet":
            assert READ not in str(pl.read_parquet(file).to_dicts()), file
