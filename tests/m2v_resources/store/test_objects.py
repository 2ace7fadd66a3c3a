"""What audits, verifies and forgets, over tables and media in object storage."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from m2v import schemas
from m2v.files import storage
from m2v_resources.audit.forgetting import forget
from m2v_resources.audit.stories import Stories
from m2v_resources.audit.verification import verify
from m2v_resources.store.record import Record
from m2v_resources.store.versions import TableStore, open_store
from tests.buckets import Server
from tests.tables import frame, memes

PLACE = "media/pictures/0123"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def store(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableStore:
    """The store of a home whose tables and media are in a bucket: two memes, each with a picture, in two versions."""
    settings = {**server.environment, "M2V_STORAGE": server.new(), "M2V_CACHE": str(tmp_path / "cache")}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    store = open_store(tmp_path)
    store.write(memes({"meme_id": "7", "label": True}, {"meme_id": "8"}), schemas.MEMES, "veggie")
    read = store.write(memes({"meme_id": "7"}, {"meme_id": "8"}), schemas.MEMES, "veggie")
    parents = {"memes/veggie": {"version": read.number, "rows_hash": read.rows_hash}}
    rows = [{"meme_id": each, "path": f"{PLACE}/{each}.png", "pixels_sha256": each} for each in ("7", "8")]
    images = frame(schemas.MEME_IMAGES, rows, width=1, height=1, perceptual_hash="0")
    store.write(images, schemas.MEME_IMAGES, "veggie", provenance={"parents": parents})
    for each in ("7", "8"):
        storage.write(storage.place(tmp_path, f"{PLACE}/{each}.png"), each.encode())
        storage.local(storage.place(tmp_path, f"{PLACE}/{each}.png"))
    said = {"pictures": [{"meme_id": each, "file": f"{each}.png"} for each in ("7", "8")]}
    storage.write(storage.place(tmp_path, f"{PLACE}/result.json"), json.dumps(said).encode())
    return store


def test_nothing_of_the_tables_is_in_the_home(store: TableStore, tmp_path: Path) -> None:
    assert not (tmp_path / "tables").exists()
    assert str(store.root).startswith("s3://")
    assert pl.read_parquet(store.path(store.version("memes", "veggie"))).height == 2


def test_an_audit_tells_the_same_story(store: TableStore) -> None:
    story = Stories(Record(store)).meme("veggie/7")
    assert [each["version"] for each in story["rows"]] == ["memes/veggie@2", "meme_images/veggie@1"]


@pytest.mark.parametrize("what", ["file", "claim"])
def test_one_changed_byte_of_an_object_is_found_and_named(store: TableStore, tmp_path: Path, what: str) -> None:
    assert verify(tmp_path)[1] == []
    place = store.place(store.version("memes", "veggie")) if what == "file" else store.claim("memes", "veggie", 2)[0]
    content = bytearray(storage.read(place) or b"")
    at = content.index(b"created_at") + 20 if what == "claim" else len(content) // 2
    content[at] ^= 1
    storage.write(place, bytes(content))
    assert any(place in problem.where for problem in verify(tmp_path)[1])


def test_a_forgotten_meme_leaves_tables_pictures_and_this_hosts_cache(store: TableStore, tmp_path: Path) -> None:
    found = forget(tmp_path, "veggie/7", why="take-down request 12", purge=True)
    assert store.read("memes", "veggie")["meme_id"].to_list() == ["8"]
    assert storage.read(storage.place(tmp_path, f"{PLACE}/7.png")) is None
    assert storage.read(storage.place(tmp_path, f"{PLACE}/8.png")) == b"8"
    assert b'"7"' not in (storage.read(storage.place(tmp_path, f"{PLACE}/result.json")) or b"")
    assert f"{store.root}".replace("tables", f"{PLACE}/7.png") in found.purged
    assert {"memes/veggie@1", "memes/veggie@2", "meme_images/veggie@1"} <= set(found.purged)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name[0] != "."]
    for path in kept:
        assert path.suffix != ".png" or path.read_bytes() == b"8"
        assert (
            path.suffix != ".parquet" or "7" not in pl.read_parquet(path)["meme_id"] or "why" in pl.read_parquet(path)
        )
    assert any("other hosts' caches" in each for each in found.remains)
    assert verify(tmp_path)[1] == []


def test_a_purge_that_was_cut_in_two_is_found_and_finished(store: TableStore, tmp_path: Path) -> None:
    version = store.version("memes", "veggie", number=1)
    content = storage.read(store.place(version))
    assert content is not None
    forget(tmp_path, "veggie/7", why="take-down request 12", purge=True)
    storage.write(store.place(version), content)
    assert [problem.where for problem in verify(tmp_path)[1]] == [f"memes/veggie@1: {store.place(version)}"]
    assert forget(tmp_path, "veggie/7", why="take-down request 12").purged == [
        f"memes/veggie/{version.file_sha256}.parquet"
    ]
    assert storage.read(store.place(version)) is None
    assert verify(tmp_path)[1] == []
