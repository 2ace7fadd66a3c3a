"""What the previous version left behind opens in this one; make.sh in this folder makes the fixture."""

import tarfile
from pathlib import Path

import polars as pl
import pytest

from m2v import schemas
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

FIXTURE = Path(__file__).with_name("home.tar.xz")


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(home, filter="data")
    return home


def test_its_store_and_instance_open_and_only_what_changed_is_made_anew(previous: Path) -> None:
    before = {version.name: version.rows_hash for version in TableStore(previous / "tables").all_latest()}
    assert len(before) == 7
    m2v = command(previous)
    stale = as_json(m2v("status", "--study", "sample-recorded", "--select", "voted_labels", "--json"))["stale"]
    # Its instance is read, not begun anew: nothing counts as missing.
    assert not [each for each in stale if each["reason"] == "not made yet"]
    done = as_json(m2v("run", "--study", "sample-recorded", "--select", "voted_labels", "--json"))
    assert done["failed"] == 0
    assert set(done["assets"]) <= {each["asset"] for each in stale}
    # Equal rows are the versions that they were; what checks found in them is on record now.
    store = TableStore(previous / "tables")
    latest = store.all_latest()
    now = {each.name: each.rows_hash for each in latest if each.table != "findings"}
    changed = {name.replace("@2", "@1") for name in now.keys() - before.keys()}
    assert changed == {"voted_labels/veggie_garden@1"}
    assert {name: before[name] for name in before.keys() - changed}.items() <= now.items()
    old, new = (store.read("voted_labels", "veggie_garden", number=number) for number in (1, 2))
    assert new.drop("posterior").equals(old), "a column more, and the same labels"
    checked = {f"{each.table}_{each.variant}" for each in latest if schemas.table(each.table).is_checked}
    assert {each.variant for each in latest if each.table == "findings"} == checked
    assert as_json(m2v("audit", "verify", "--json"))["problems"] == []


def test_its_versions_stand_beside_new_ones(previous: Path) -> None:
    store = TableStore(previous / "tables")
    old = store.read("memes", "veggie", number=1)
    answers = next((previous / "sources").rglob("veggie_answers.csv"))
    study = previous.parent / "study"
    m2v = command(previous)
    m2v("study", "copy", "sample-recorded", str(study))
    text = next(study.rglob(answers.name))
    rows = pl.read_csv(text, infer_schema=False).with_columns(pl.col("label").replace({"0": "1", "1": "0"}))
    rows.write_csv(text)
    m2v("run", "--study", str(study / "study.yaml"), "--select", "voted_labels")
    assert store.numbers("human_labels", "veggie_garden") == [1, 2]
    assert store.read("memes", "veggie", number=1).equals(old)
