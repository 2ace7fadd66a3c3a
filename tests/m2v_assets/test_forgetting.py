"""A take-down request: where the item was, and where it is no more.

One home is taken from one test to the next, in order: forgotten, forgotten twice, purged, run again.
"""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from m2v.programs import kept
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import Run, as_json, command

WHY = "take-down request 12"
LORA, VIDEOS_ALONE = "minilm_lora_rm_ft_veggie_garden_s0", "minilm_probe_vid_ft_garden_s0"


@pytest.fixture(scope="module")
def home(finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of the tests of this file, in which the sample study was run to its end."""
    return shutil.copytree(finished_home, tmp_path_factory.mktemp("taken_down") / "home")


@pytest.fixture(scope="module")
def sample(home: Path) -> Run:
    return command(home)


@pytest.fixture(scope="module")
def meme(finished_home: Path) -> str:
    """A meme that the report shows, on which people decided and on which a checkpoint was trained."""
    store = TableStore(finished_home / "tables")
    trained = store.read("training_examples", "rm_ft_veggie_garden")
    asked = store.read("human_labels", "veggie_garden")
    found = trained.filter(dataset="veggie").join(asked, left_on="item_id", right_on="meme_id", how="semi")
    page = (finished_home / "reports" / "sample_recorded" / "report.html").read_text(encoding="utf-8")
    return next(each for each in found["item_id"].sort() if f"<code>{each}</code>" in page)


@pytest.fixture(scope="module")
def text(finished_home: Path, meme: str) -> str:
    return TableStore(finished_home / "tables").read("memes", "veggie").filter(meme_id=meme)["text"][0]


def forget(sample: Run, meme: str, *more: str) -> dict:
    return as_json(sample("forget", "meme", f"veggie/{meme}", "--why", WHY, *more, "--json"))


def holding(home: Path, meme: str, *, text: str) -> set[str]:
    """Return every file below the home that has the text, and every parquet file that names the meme as well."""
    found = set()
    for path in (each for each in home.rglob("*") if each.is_file() and each.suffix != ".safetensors"):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path)
            ids = [name for name in ("meme_id", "item_id") if name in rows.columns]
            if path.parent.parent.name != "forgotten" and any(rows[name].is_in([meme]).any() for name in ids):
                found.add(str(path))
            content = json.dumps(rows.to_dicts(), default=str, ensure_ascii=False).encode()
        elif path.suffix == ".gz":
            content = gzip.decompress(content)
        elif content.startswith(b"SQLite format 3"):
            with sqlite3.connect(path) as database:
                content = "\n".join(database.iterdump()).encode()
            database.close()
        if text.encode() in content:
            found.add(str(path))
    return found


def test_every_folder_of_a_finished_home_is_registered(finished_home: Path) -> None:
    assert kept.unregistered(finished_home) == []


@pytest.mark.parametrize(
    ("item", "message"),
    [("veggie/none", "No meme of veggie is called 'none'"), ("vegie/1", "Did you mean veggie")],
)
def test_an_unknown_item_changes_nothing(sample: Run, home: Path, item: str, message: str) -> None:
    done = sample("forget", "meme", item, "--why", WHY, code=1)
    assert message in " ".join(done.stderr.split())
    assert not (home / "tables/forgotten").exists()


def test_purging_asks_first(sample: Run, home: Path, meme: str) -> None:
    sample("forget", "meme", f"veggie/{meme}", "--why", WHY, "--purge", code=1)
    assert not (home / "tables/forgotten").exists()


def test_a_forgotten_meme_is_in_no_latest_version(sample: Run, home: Path, meme: str) -> None:
    before = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    said = forget(sample, meme)
    tables = {each["version"].partition("@")[0] for each in before["rows"]}
    assert {each.partition("@")[0] for each in said["rewritten"]} == tables
    assert f"checkpoints/{LORA}@1" in said["tainted"]
    assert f"checkpoints/{VIDEOS_ALONE}@1" not in said["tainted"]
    store = TableStore(home / "tables")
    for each in store.all_latest():
        rows = store.read(each.table, each.variant)
        names = [name for name in ("meme_id", "item_id") if name in rows.columns]
        assert each.table == "forgotten" or not any(rows[name].is_in([meme]).any() for name in names), each.name
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
    cause = as_json(sample("audit", "diff", "voted_labels/veggie_garden@1", "@2", "--json"))["causes"]
    assert [each["kind"] for each in cause] == ["forgotten"]


def test_a_tombstone_without_content_remains(sample: Run, home: Path, meme: str, text: str) -> None:
    story = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    assert story["forgotten"]["why"] == WHY
    assert text not in str(story)
    again = forget(sample, meme)
    assert (again["rewritten"], again["tainted"]) == ([], story["forgotten"]["tainted"])
    assert TableStore(home / "tables").read("forgotten", "veggie").height == 1


def test_two_requests_are_two_tombstones(sample: Run, home: Path, meme: str) -> None:
    other = TableStore(home / "tables").read("memes", "veggie")["meme_id"][0]
    forget(sample, other)
    assert set(TableStore(home / "tables").read("forgotten", "veggie")["meme_id"]) == {meme, other}
    assert not TableStore(home / "tables").read("memes", "veggie")["meme_id"].is_in([meme, other]).any()


def test_purging_leaves_the_meme_in_no_file_but_those_it_names_and_the_record_whole(
    sample: Run, home: Path, meme: str, text: str
) -> None:
    assert len(holding(home, meme, text=text)) > 5
    said = forget(sample, meme, "--purge", "--yes")
    remains = {each.partition(" has its text")[0] for each in said["remains"]}
    left = holding(home, meme, text=text)
    assert left <= remains
    # The videos' dataset has a text in which the meme's stands, and the sources are the user's.
    assert {Path(each).relative_to(home).parts[:2] for each in left} <= {
        ("sources", "sample-1b15bec0f565"),
        ("programs", "extract"),
    }
    assert "memes/veggie@1" in said["purged"]
    assert not list((home / "programs/checkpoints" / LORA).iterdir())
    assert list((home / "programs/checkpoints" / VIDEOS_ALONE).iterdir())
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
    done = sample("tables", "show", "memes/veggie@1", code=1)
    assert f"memes/veggie@1 was purged: {WHY}" in " ".join(done.stderr.split())


def test_no_run_brings_a_purged_meme_back(sample: Run, home: Path, meme: str) -> None:
    done = as_json(sample("run", "--study", "sample-recorded", "--json"))
    assert done["failed"] == 0
    assert {f"checkpoints/{LORA}", "memes/veggie", "reports/sample_recorded"} <= set(done["assets"])
    assert f"checkpoints/{VIDEOS_ALONE}" not in done["assets"]
    store = TableStore(home / "tables")
    gone = store.read("forgotten", "veggie")["meme_id"].to_list()
    for table in ("memes/veggie", "predictions/veggie_garden", "voted_labels/veggie_garden"):
        assert not store.read(*table.split("/"))["meme_id"].is_in(gone).any()
    assert as_json(sample("run", "--study", "sample-recorded", "--json"))["materialised"] == 0
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
