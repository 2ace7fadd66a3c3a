"""A folder that says it is a release, from anybody."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from m2v.errors import M2VError
from m2v_resources.hub.releases import folder_rows

ROWS = pl.DataFrame({"meme_id": ["leek"], "label": [True]})
PATH = "data/veggie/train.parquet"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    (folder / "data" / "veggie").mkdir(parents=True)
    ROWS.write_parquet(folder / PATH)
    ROWS.write_parquet(tmp_path / "outside.parquet")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record(place: Path, content: Any) -> None:
    (place / "release.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_release_is_read(place: Path) -> None:
    record(place, {"configs": ["veggie"], "files": {PATH: digest(place / PATH)}, "more": 1})
    assert folder_rows(place, config=None).equals(ROWS)


@pytest.mark.parametrize(
    "content",
    ["{", "", "[" * 100_000, [], {}, None, 1, {"configs": ["veggie"]}, {"configs": [], "files": {}},
     {"configs": "veggie", "files": {}}, {"configs": [1], "files": {}}, {"configs": ["veggie"], "files": [PATH]},
     {"configs": ["veggie"], "files": {PATH: None}}, {"configs": ["veggie"], "files": {}},
     {"configs": ["veggie"], "files": {PATH: "0"}}, {"configs": ["a", "b"], "files": {}},
     {"configs": ["veggie"], "files": {"data/veggie/gone.parquet": "0"}},
     {"configs": ["veggie"], "files": {"data/veggie/" + "x" * 300: "0"}},
     {"configs": ["veggie"], "files": {"data/veggie": "0"}}],
)  # fmt: skip
def test_a_record_that_is_none_is_one_line(place: Path, content: Any) -> None:
    record(place, content)
    with pytest.raises(M2VError) as error:
        folder_rows(place, config=None)
    assert str(place) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["data/veggie/../../../outside.parquet", "data/veggie//outside.parquet"])
def test_no_path_leads_out_of_the_folder(place: Path, path: str) -> None:
    record(place, {"configs": ["veggie"], "files": {path: digest(place.parent / "outside.parquet")}})
    with pytest.raises(M2VError, match=r"release\.json names .* Nothing was read"):
        folder_rows(place, config=None)


def test_no_config_and_no_link_leads_out_of_the_folder(place: Path) -> None:
    outside = place.parent / "outside.parquet"
    record(place, {"configs": [".."], "files": {"data/../../outside.parquet": digest(outside)}})
    with pytest.raises(M2VError, match="Nothing was read"):
        folder_rows(place, config=None)
    (place / PATH).unlink()
    (place / PATH).symlink_to(outside)
    record(place, {"configs": ["veggie"], "files": {PATH: digest(outside)}})
    with pytest.raises(M2VError, match="leads out of the release's folder"):
        folder_rows(place, config=None)


@pytest.mark.parametrize("content", [b"leek", b"", b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_named(place: Path, content: bytes) -> None:
    (place / PATH).write_bytes(content)
    record(place, {"configs": ["veggie"], "files": {PATH: digest(place / PATH)}})
    with pytest.raises(M2VError, match=r"train\.parquet is no parquet file"):
        folder_rows(place, config=None)


def test_a_table_without_ids_is_named(place: Path) -> None:
    pl.DataFrame({"id": ["leek"]}).write_parquet(place / PATH)
    record(place, {"configs": ["veggie"], "files": {PATH: digest(place / PATH)}})
    with pytest.raises(M2VError, match="has other columns"):
        folder_rows(place, config=None)
