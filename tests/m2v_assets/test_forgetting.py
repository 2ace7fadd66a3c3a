"""A take-down request: where the item was, and where it is no more."""

from pathlib import Path

import polars as pl
import pytest

from m2v_resources.store import TableStore
from tests.m2v_assets.conftest import Run, as_json

WHY = "take-down request 12"


@pytest.fixture
def meme(sample: Run, home: Path) -> str:
    """A meme on which people decided and on which a checkpoint was trained."""
    store = TableStore(home / "tables")
    trained = store.read("training_examples", "rm_ft_veggie_garden")
    asked = store.read("human_labels", "veggie_garden")
    found = trained.filter(dataset="veggie").join(asked, left_on="item_id", right_on="meme_id", how="semi")
    return found["item_id"].sort()[0]


def forget(sample: Run, meme: str, *more: str) -> dict:
    return as_json(sample("forget", "meme", f"veggie/{meme}", "--why", WHY, *more, "--json"))


def holding(home: Path, meme: str, *, text: str) -> set[str]:
    """Every parquet file below the home that names the meme or holds its text."""
    found = set()
    for path in home.rglob("*.parquet"):
        rows = pl.read_parquet(path)
        columns = [name for name in ("meme_id", "item_id", "text", "text_sha256") if name in rows.columns]
        if path.parent.parent.name != "forgotten" and any(
            rows[name].cast(pl.String).is_in([meme, text]).any() for name in columns
        ):
            found.add(str(path.relative_to(home)))
    return found


def test_a_forgotten_meme_is_in_no_latest_version_and_comes_back_by_no_run(sample: Run, home: Path, meme: str) -> None:
    before = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    said = forget(sample, meme)
    tables = {each["version"].partition("@")[0] for each in before["rows"]}
    assert {each.partition("@")[0] for each in said["rewritten"]} == tables
    assert "checkpoints/minilm_lora_rm_ft_veggie_garden_s0@1" in said["tainted"]
    assert "checkpoints/minilm_probe_vid_ft_garden_s0@1" not in said["tainted"]
    store = TableStore(home / "tables")
    for each in store.all_latest():
        rows = store.read(each.table, each.variant)
        names = [name for name in ("meme_id", "item_id") if name in rows.columns]
        assert each.table == "forgotten" or not any(rows[name].is_in([meme]).any() for name in names), each.name
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []

    done = as_json(sample("run", "--study", "sample-recorded", "--json"))
    assert done["failed"] == 0
    assert {"checkpoints/minilm_lora_rm_ft_veggie_garden_s0", "memes/veggie"} <= set(done["assets"])
    assert "checkpoints/minilm_probe_vid_ft_garden_s0" not in done["assets"]
    for table in ("memes/veggie", "predictions/veggie_garden", "voted_labels/veggie_garden"):
        assert not store.read(*table.split("/"))["meme_id"].is_in([meme]).any()
    assert as_json(sample("run", "--study", "sample-recorded", "--json"))["materialised"] == 0
    cause = as_json(sample("audit", "diff", "voted_labels/veggie_garden@1", "@2", "--json"))["causes"]
    assert [each["kind"] for each in cause] == ["forgotten"]


def test_a_tombstone_without_content_remains(sample: Run, home: Path, meme: str) -> None:
    text = TableStore(home / "tables").read("memes", "veggie").filter(meme_id=meme)["text"][0]
    said = forget(sample, meme)
    story = as_json(sample("audit", "meme", f"veggie/{meme}", "--json"))
    assert story["forgotten"]["why"] == WHY
    assert story["forgotten"]["tainted"] == said["tainted"]
    assert text not in str(story)
    again = forget(sample, meme)
    assert (again["rewritten"], again["tainted"]) == ([], said["tainted"])
    assert TableStore(home / "tables").read("forgotten", "veggie").height == 1


def test_purging_leaves_the_meme_in_no_file_and_the_record_whole(sample: Run, home: Path, meme: str) -> None:
    text = TableStore(home / "tables").read("memes", "veggie").filter(meme_id=meme)["text"][0]
    assert holding(home, meme, text=text)
    said = forget(sample, meme, "--purge", "--yes")
    assert holding(home, meme, text=text) == set()
    assert "memes/veggie@1" in said["purged"]
    assert not list((home / "programs/checkpoints/minilm_lora_rm_ft_veggie_garden_s0").iterdir())
    assert list((home / "programs/checkpoints/minilm_probe_vid_ft_garden_s0").iterdir())
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []
    done = sample("tables", "show", "memes/veggie@1", code=1)
    assert f"memes/veggie@1 was purged: {WHY}" in " ".join(done.stderr.split())
    assert as_json(sample("run", "--study", "sample-recorded", "--json"))["failed"] == 0
    assert as_json(sample("audit", "verify", "--json"))["problems"] == []


def test_two_requests_are_two_tombstones(sample: Run, home: Path, meme: str) -> None:
    other = TableStore(home / "tables").read("memes", "veggie").filter(pl.col("meme_id") != meme)["meme_id"][0]
    forget(sample, meme)
    forget(sample, other)
    assert set(TableStore(home / "tables").read("forgotten", "veggie")["meme_id"]) == {meme, other}
    assert as_json(sample("run", "--study", "sample-recorded", "--json"))["failed"] == 0
    assert not TableStore(home / "tables").read("memes", "veggie")["meme_id"].is_in([meme, other]).any()


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
