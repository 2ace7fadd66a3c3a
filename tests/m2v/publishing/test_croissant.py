"""``croissant.json`` as a stranger reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from m2v.errors import M2VError
from m2v.publishing import croissant, folder
from m2v.publishing.release import DatasetRelease
from tests.m2v.publishing.parts import PUBLISHED_AT, part


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A release of two configs, one of them in two splits, written out."""
    rows = pl.DataFrame(
        {"meme_id": ["1", "2"], "split": ["test", "train"], "label": [True, None], "probability": [0.5, None]}
    )
    release = DatasetRelease(
        "me/leeks",
        (part("leeks"), part("kales", columns=("meme_id", "label"))),
        (rows, rows.select("meme_id", "label")),
        {},
    )
    return folder.write_dataset(
        release, tmp_path / "v1", version=1, content_sha256="0" * 64, existing_card=None, published_at=PUBLISHED_AT
    )


def test_it_says_who_annotated_what_and_how(place: Path) -> None:
    said = json.loads((place / croissant.NAME).read_text())
    assert {"rai:dataAnnotationProtocol", "rai:annotationsPerItem", "rai:machineAnnotationTools"} <= said.keys()
    assert [each["name"] for each in said["recordSet"]] == ["leeks_test", "leeks_train", "kales_train"]
    assert said["version"] == "1.0.0"


@pytest.mark.parametrize(
    "damage",
    [
        lambda said: said["distribution"][0].update(sha256="0" * 64),
        lambda said: said["recordSet"][0]["field"][0]["source"]["fileObject"].update({"@id": "gone.parquet"}),
        lambda said: said["recordSet"][0]["field"][0]["source"]["extract"].update(column="gone"),
    ],
    ids=["wrong sha256", "dangling reference", "no such column"],
)
def test_what_is_not_so_is_refused(place: Path, damage: Callable[[Any], None]) -> None:
    croissant.validate(place)
    path = place / croissant.NAME
    said = json.loads(path.read_text())
    damage(said)
    path.write_text(json.dumps(said))
    with pytest.raises(M2VError, match=r"croissant\.json is not valid Croissant"):
        croissant.validate(place)
