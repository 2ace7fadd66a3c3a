"""Take-down: where an item may lie, what is deleted, what is named, and what is not stored any more."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from m2v import schemas
from m2v.errors import TakenDown
from m2v.programs import kept
from m2v_resources.audit.forgetting import Forgotten, forget
from m2v_resources.audit.verification import verify
from m2v_resources.launching.programs import only_one
from m2v_resources.store.tables import Tables
from m2v_resources.store.tombstones import read
from m2v_resources.store.versions import TableStore, Version
from tests.tables import frame, memes, sha256

WHY = "take-down request 12"
TEXT = "a leek & an onion say “grüß Gott” to <every> carrot in the garden of my grandmother, 4711"
RUN = "minilm_lora_vid_rm_ft_veggie_garden_s0"
SET = "vid_rm_ft_veggie_garden"


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return garden(tmp_path)


def garden(home: Path) -> TableStore:
    """The store of a home with two memes, and a training set with one of them beside a video of the same id."""
    store = TableStore(home / "tables")
    read = store.write(memes({"meme_id": "7", "text": TEXT}, {"meme_id": "8"}), schemas.MEMES, "veggie")
    rows = [
        {"dataset": "garden", "item_id": "7", "label_source": "video"},
        {"dataset": "veggie", "item_id": "7", "label_source": "video", "text": TEXT},
    ]
    examples = frame(schemas.TRAINING_EXAMPLES, rows, split="train", text="a leek", label=True)
    store.write(examples, schemas.TRAINING_EXAMPLES, SET, provenance=read_by(read))
    return store


def read_by(*versions: Version) -> dict:
    parents = {f"{each.table}/{each.variant}": each for each in versions}
    return {"parents": {name: {"version": each.number, "rows_hash": each.rows_hash} for name, each in parents.items()}}


def checkpoint(store: TableStore, home: Path) -> Version:
    """A version of a checkpoint that was trained on the first training set, and its folder."""
    examples = store.version("training_examples", SET, number=1)
    folder = home / "programs" / "checkpoints" / RUN / "f00d"
    folder.mkdir(parents=True)
    content = {"content": {"training_examples": examples.rows_hash}, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    row = {"run": RUN, "folder": str(folder.relative_to(home)), "threshold": 0.5, "selection": "{}", "n_train": 2}
    rows = frame(schemas.CHECKPOINTS, [row])
    return store.write(rows, schemas.CHECKPOINTS, RUN, provenance=read_by(examples))


def test_an_item_of_another_dataset_with_the_same_id_stays(store: TableStore, tmp_path: Path) -> None:
    forget(tmp_path, "veggie/7", why=WHY)
    assert store.read("memes", "veggie")["meme_id"].to_list() == ["8"]
    assert store.read("training_examples", SET)["dataset"].to_list() == ["garden"]


@pytest.mark.parametrize("purge", [False, True])
def test_what_rests_on_a_version_that_held_the_item_is_not_stored(
    store: TableStore, tmp_path: Path, purge: bool
) -> None:
    before = store.version("training_examples", SET)
    forget(tmp_path, "veggie/7", why=WHY, purge=purge)
    rejects = schemas.REJECTS.empty()
    with pytest.raises(TakenDown, match=r"rejects/veggie is not stored: veggie/7 was taken down.*Run again"):
        store.write(rejects, schemas.REJECTS, "veggie", provenance=read_by(before))
    assert store.latest("rejects", "veggie") is None
    now = store.version("training_examples", SET)
    assert store.write(rejects, schemas.REJECTS, "veggie", provenance=read_by(now)).number == 1


def test_rows_that_hold_the_item_are_not_stored_wherever_they_were_read(store: TableStore, tmp_path: Path) -> None:
    forget(tmp_path, "veggie/7", why=WHY)
    rows = memes({"meme_id": "7", "text": TEXT}, {"meme_id": "8"})
    with pytest.raises(TakenDown, match="veggie/7"):
        store.write(rows, schemas.MEMES, "veggie")
    with pytest.raises(TakenDown, match="veggie/7"):
        store.write_parts([rows], schemas.MEMES, "veggie")
    examples = frame(
        schemas.TRAINING_EXAMPLES,
        [{"dataset": "veggie", "item_id": "7", "label_source": "video"}],
        split="train",
        text=TEXT,
        label=True,
    )
    with pytest.raises(TakenDown, match="veggie/7"):
        store.write(examples, schemas.TRAINING_EXAMPLES, SET)
    assert store.numbers("memes", "veggie") == [1, 2]
    assert [store.unclaimed("memes", "veggie"), store.unclaimed("training_examples", SET)] == [[], []]
    assert store.write(rows, schemas.MEMES, "other_veggie").number == 1


def test_a_run_of_dagster_that_goes_on_meanwhile_stores_nothing_and_the_next_one_does(
    store: TableStore, tmp_path: Path
) -> None:
    takes_down = iter([True])

    @dg.asset(key=["memes", "veggie"])
    def veggie() -> None:
        """Stored already."""

    @dg.asset(key=["rejects", "veggie"], deps=[veggie])
    def rejects(tables: Tables) -> dg.MaterializeResult:
        tables.read(schemas.MEMES, "veggie")
        if next(takes_down, False):
            forget(tmp_path, "veggie/7", why=WHY, purge=True)
        return tables.write(schemas.REJECTS.empty(), schemas.REJECTS, "veggie")

    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"tables": Tables(home=str(tmp_path))}
        with pytest.raises(TakenDown, match="veggie/7"):
            dg.materialize([veggie, rejects], selection=[rejects], instance=instance, resources=resources)
        assert store.latest("rejects", "veggie") is None
        done = dg.materialize([veggie, rejects], selection=[rejects], instance=instance, resources=resources)
    assert done.success
    assert store.version("rejects", "veggie").provenance["parents"]["memes/veggie"]["version"] == 2


def test_a_checkpoint_stored_from_a_purged_training_set_is_found_the_second_time(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    garden(home)
    made = checkpoint(garden(other), other)
    assert forget(home, "veggie/7", why=WHY, purge=True).tainted == []
    # As code that looked at no tombstone left it.
    shutil.copytree(other / "tables" / "checkpoints", home / "tables" / "checkpoints")
    shutil.copytree(other / "programs", home / "programs")
    again = forget(home, "veggie/7", why=WHY, purge=True)
    assert again.tainted == [made.name]
    assert not (home / "programs" / "checkpoints" / RUN / "f00d").exists()


def test_a_tombstone_of_older_code_finds_them_as_well(tmp_path: Path) -> None:
    store = garden(tmp_path)
    made = checkpoint(store, tmp_path)
    forget(tmp_path, "veggie/7", why=WHY, purge=True)
    old = read(store, "veggie").drop("held_by", "sha256", "named").with_columns(tainted=pl.lit([], pl.List(pl.String)))
    table = schemas.Table(
        "forgotten", "", {name: schemas.FORGOTTEN.columns[name] for name in old.columns}, ("meme_id",)
    )
    store.write(old, table, "veggie")
    assert forget(tmp_path, "veggie/7", why=WHY, purge=True).tainted == [made.name]


def test_a_purge_that_was_cut_in_two_is_found_and_finished(store: TableStore, tmp_path: Path) -> None:
    version = store.version("memes", "veggie", number=1)
    content = store.path(version).read_bytes()
    forget(tmp_path, "veggie/7", why=WHY, purge=True)
    assert verify(tmp_path)[1] == []
    store.path(version).write_bytes(content)
    [problem] = verify(tmp_path)[1]
    assert "memes/veggie@1" in problem.where
    assert "it was purged, but its rows are still there" in problem.what
    assert forget(tmp_path, "veggie/7", why=WHY, purge=True).purged == [f"memes/veggie/{version.file_sha256}.parquet"]
    assert not store.path(version).exists()
    assert verify(tmp_path)[1] == []


def test_rows_that_a_killed_writer_left_are_deleted(store: TableStore, tmp_path: Path) -> None:
    left = tmp_path / "tables" / "memes" / "veggie" / f"{'0' * 64}.parquet"
    memes({"meme_id": "7", "text": TEXT}).write_parquet(left)
    forget(tmp_path, "veggie/7", why=WHY)
    assert not left.exists()


def test_a_folder_in_which_a_program_works_is_named_and_goes_the_next_time(store: TableStore, tmp_path: Path) -> None:
    folder = tmp_path / "programs" / "predict" / SET / "f00d"
    folder.mkdir(parents=True)
    pl.DataFrame({"item_id": ["7"], "text": [TEXT]}).write_parquet(folder / "items.parquet")
    with only_one(folder):
        remains = forget(tmp_path, "veggie/7", why=WHY, purge=True).remains
        assert any(str(folder) in each and "stop it or wait for it" in each for each in remains)
        assert not (folder / "items.parquet").exists()
        pl.DataFrame({"item_id": ["7"]}).write_parquet(folder / "answers.parquet")
    again = forget(tmp_path, "veggie/7", why=WHY, purge=True)
    assert str(folder) in again.purged
    assert not folder.exists()


def plant(home: Path, store: TableStore) -> None:
    """Put the item's text wherever a run, a killed run or a person may have put it."""
    examples, table = store.version("training_examples", SET), store.version("memes", "veggie")
    for kind, name, rows in (
        ("encode/minilm_veggie", "texts", {"text_sha256": [sha256(TEXT)], "text": [TEXT]}),
        (f"predict/{RUN}_validation", "items", {"item_id": ["x"], "text": [TEXT]}),
        ("features/garden", "videos", {"video_id": ["x"], "text": [TEXT]}),
        (f"checkpoints/{RUN}", "train_items", {"text": [TEXT], "label": [True]}),
    ):
        folder = home / "programs" / kind / "f00d"
        folder.mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
    (home / "programs" / "checkpoints" / RUN / "f00d" / "state").mkdir()
    (home / "programs" / "checkpoints" / RUN / "f00d" / "state" / "optimizer.pt").write_bytes(TEXT.encode())
    spec = {"content": {"training_examples": examples.rows_hash}}
    (home / "programs" / "checkpoints" / RUN / "f00d" / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    dry = home / "releases" / "datasets" / "gardener" / "dry" / "v1"
    (dry / "data").mkdir(parents=True)
    pl.DataFrame({"meme_id": ["7"], "text": [TEXT]}).write_parquet(dry / "data" / "train.parquet")
    record = {"inputs": {"memes/veggie": {"version": 1, "rows_hash": table.rows_hash}}}
    (dry / "release.json").write_text(json.dumps(record), encoding="utf-8")
    (home / "reports" / "sample").mkdir(parents=True)
    page = "<code>7</code> " + TEXT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for name in ("report.html", "old.html"):
        (home / "reports" / "sample" / name).write_text(page, encoding="utf-8")
    (home / "exports").mkdir()
    (home / "exports" / "memes.csv").write_text(f"7,{TEXT}\n", encoding="utf-8")
    (home / "exports" / "memes.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    (home / "exports" / "memes.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    pl.DataFrame({"texts": [["a leek", TEXT]]}).write_parquet(home / "exports" / "lists.parquet")
    for name in ("dagster", "label_studio"):
        (home / name).mkdir()
        with sqlite3.connect(home / name / "events.db") as database:
            database.execute("CREATE TABLE events (said TEXT)")
            database.executemany("INSERT INTO events VALUES (?)", [("onion" * 300,), (f"{'x' * 9000} {TEXT}",)])
        database.close()
    # As a database cuts it, at the end of a page.
    (home / "dagster" / "cut.bin").write_bytes(TEXT.encode()[:40] + bytes(8) + TEXT.encode()[40:])
    (home / "cache" / "objects").mkdir(parents=True)
    (home / "cache" / "objects" / "copy").write_text(TEXT, encoding="utf-8")


def searched(home: Path) -> Iterator[str]:
    """Files below the home that have the text: parquet and gzip unpacked, databases asked."""
    for path in (each for each in home.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = json.dumps(pl.read_parquet(path).to_dicts(), default=str, ensure_ascii=False).encode()
        elif path.suffix == ".gz":
            content = gzip.decompress(content)
        elif path.suffix == ".db":
            with sqlite3.connect(path) as database:
                content = str(database.execute("SELECT said FROM events").fetchall()).encode()
            database.close()
        if b"grandmother, 4711" in content:
            yield str(path)


def test_what_a_run_wrote_after_the_purge_is_known_by_its_hash(store: TableStore, tmp_path: Path) -> None:
    forget(tmp_path, "veggie/7", why=WHY, purge=True)
    folder = tmp_path / "programs" / "extract" / "minilm_veggie" / "f00d"
    folder.mkdir(parents=True)
    pl.DataFrame({"text_sha256": [sha256(TEXT)], "text": [TEXT]}).write_parquet(folder / "texts.parquet")
    # What an extractor made of it has its hash alone.
    vectors = folder.with_name("beef")
    vectors.mkdir()
    pl.DataFrame({"sha256": [sha256(TEXT)], "vector": [[0.5]]}).write_parquet(vectors / "vectors.parquet")
    assert forget(tmp_path, "veggie/7", why=WHY, purge=True).purged == [str(vectors), str(folder)]


def test_a_planted_text_is_nowhere_after_a_purge_or_named(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2V_HOME", str(tmp_path))
    plant(tmp_path, store)
    assert len(list(searched(tmp_path))) == 18
    remains = named(forget(tmp_path, "veggie/7", why=WHY, purge=True))
    left = set(searched(tmp_path))
    assert left <= remains
    theirs = {"memes.csv", "memes.jsonl", "memes.csv.gz", "lists.parquet", "events.db", "cut.bin", "copy"}
    assert {Path(path).name for path in left} == theirs
    # What is known by its bytes alone is named until it is gone.
    assert left <= named(forget(tmp_path, "veggie/7", why=WHY, purge=True))
    shutil.rmtree(tmp_path / "exports")
    assert left - named(forget(tmp_path, "veggie/7", why=WHY, purge=True)) == {
        path for path in left if "/exports/" in path
    }
    assert TEXT not in str(read(store, "veggie").to_dicts())


def named(found: Forgotten) -> set[str]:
    return {each.partition(" has its text")[0] for each in found.remains}


def test_without_a_purge_what_stays_is_named(store: TableStore, tmp_path: Path) -> None:
    plant(tmp_path, store)
    remains = " ".join(forget(tmp_path, "veggie/7", why=WHY).remains)
    assert f"checkpoints/{RUN}/f00d holds a training that did not end" in remains
    assert "gardener/dry/v1 was made of versions that held it" in remains
    assert "2 earlier versions of tables hold it" in remains
    assert not list((tmp_path / "reports").rglob("*.html"))


def test_a_folder_that_nobody_registered_is_named(store: TableStore, tmp_path: Path) -> None:
    (tmp_path / "programs" / "compost" / "veggie" / "f00d").mkdir(parents=True)
    assert kept.unregistered(tmp_path) == [tmp_path / "programs" / "compost"]
    remains = forget(tmp_path, "veggie/7", why=WHY).remains
    assert any(f"{tmp_path}/programs/compost, if it keeps items" in each for each in remains)


def test_what_cannot_be_read_is_named_or_made_anew(store: TableStore, tmp_path: Path) -> None:
    torn = tmp_path / "exports" / "torn.parquet"
    torn.parent.mkdir()
    torn.write_bytes(b"PAR1")
    half = tmp_path / "programs" / "extract" / "minilm_veggie" / "f00d"
    half.mkdir(parents=True)
    (half / "texts.parquet").write_bytes(b"PAR1")
    found = forget(tmp_path, "veggie/7", why=WHY, purge=True)
    assert str(torn) in named(found)
    assert not half.exists()
