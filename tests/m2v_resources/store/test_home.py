"""Which M2V wrote a home: a newer one's is refused by name before anything is read, an older one's opens."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from m2v import schemas
from m2v.errors import M2VError, NewerHome
from m2v.files.checkout import CHECKOUT
from m2v_resources.store import home as homes
from m2v_resources.store.versions import TableStore, claim_digest, open_store
from tests import buckets

MEMES = schemas.MEMES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("M2V_HOME", str(folder))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "use",
    [homes.mark, lambda _: homes.home(), homes.use_dagster_home, lambda folder: homes.only_run(folder).__enter__()],
)
def test_a_newer_home_is_refused_by_its_versions_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (home / "m2v.json").write_text(json.dumps({"format": 2, "version": "0.9.1", "more": []}))
    before = tree(home)
    with pytest.raises(NewerHome, match=r"was written by M2V 0\.9\.1 \(format 2\).*Nothing was read or written"):
        use(home)
    assert tree(home) == before


def test_a_home_without_the_mark_is_older_and_opens(home: Path) -> None:
    assert homes.home() == home
    homes.mark(home)
    said = json.loads((home / "m2v.json").read_text())
    assert said["format"] == homes.FORMAT
    before = tree(home)
    homes.mark(homes.home())
    assert tree(home) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "2"}', "[" * 4000, '{"format": ' + "1" * 5000 + "}"])
def test_a_mark_that_says_nothing_is_one_line(home: Path, content: str) -> None:
    (home / "m2v.json").write_text(content)
    with pytest.raises(M2VError, match=r"m2v\.json"):
        homes.home()


def stored(home: Path) -> TableStore:
    store = open_store(home)
    store.write(MEMES.empty(), MEMES, "veggie")
    return store


def changed(home: Path, **more: Any) -> Path:
    path = home / "tables" / "memes" / "veggie" / "versions" / "1.json"
    claim = json.loads(path.read_text()) | more
    path.write_text(json.dumps({**claim, "claim_sha256": claim_digest(claim)}, indent=1, sort_keys=True))
    return path


def test_what_a_newer_m2v_wrote_into_object_storage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with buckets.Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = server.client()
        client.create_bucket(Bucket="garden")
        monkeypatch.setenv("M2V_STORAGE", "s3://garden/mine")
        homes.mark(tmp_path / "first")
        said = json.loads(client.get_object(Bucket="garden", Key="mine/m2v.json")["Body"].read())
        assert said["format"] == homes.FORMAT
        open_store(tmp_path / "first")
        newer = json.dumps({"format": homes.FORMAT + 1, "version": "9.9"}).encode()
        client.put_object(Bucket="garden", Key="mine/m2v.json", Body=newer)
        homes.stored_format.cache_clear()
        for work in (lambda: open_store(tmp_path / "second"), lambda: homes.mark(tmp_path / "second")):
            with pytest.raises(NewerHome, match=r"s3://garden/mine/m2v\.json was written by M2V 9\.9"):
                work()
        assert not (tmp_path / "second").exists()
        homes.stored_format.cache_clear()


@pytest.mark.parametrize(
    ("mark", "code", "words"),
    [
        ({"format": 1}, 0, ""),
        (None, 0, ""),
        ({"format": 2, "version": "9.9"}, 1, "was written by M2V 9.9 (format 2)"),
        ([], 1, "cannot be read (TypeError). Nothing was restored."),
    ],
)
def test_a_newer_backup_is_refused_before_anything_is_restored(
    tmp_path: Path, mark: object, code: int, words: str
) -> None:
    (tmp_path / "home").mkdir()
    if mark is not None:
        (tmp_path / "home" / "m2v.json").write_text(json.dumps(mark))
    (tmp_path / "home" / "leek.txt").write_text("a leek")
    with tarfile.open(tmp_path / "home.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "home", arcname=".")
    (tmp_path / "dagster.dump").write_text("x")
    script = [sys.executable, str(CHECKOUT / "docker" / "check_backup.py"), str(tmp_path), "1"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (code, True)
    if code:
        make = ["make", "--no-print-directory", "-C", str(CHECKOUT), "restore", f"TO={tmp_path}"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        stopped = subprocess.run(
            [*make, f"M2V_SECRETS_DIR={tmp_path / 'secrets'}"], capture_output=True, text=True, check=False, env=clean
        )
        assert stopped.returncode != 0
        assert words in stopped.stderr
        assert not (tmp_path / "secrets").exists()


def test_a_newer_claim_is_not_called_damaged(home: Path) -> None:
    store = stored(home)
    path = changed(home, compression="leek")
    with pytest.raises(NewerHome, match="says compression, which this M2V does not know") as error:
        store.read("memes", "veggie")
    assert str(path) in str(error.value)
    assert "Delete" not in str(error.value)


@pytest.mark.parametrize("read", [TableStore.read, TableStore.scan])
def test_a_table_with_a_column_more_is_refused(home: Path, read: Callable[..., object]) -> None:
    store = stored(home)
    wider = home / "wider.parquet"
    MEMES.empty().with_columns(pl.lit("leek").alias("colour")).write_parquet(wider)
    digest = hashlib.sha256(wider.read_bytes()).hexdigest()
    wider.rename(home / "tables" / "memes" / "veggie" / f"{digest}.parquet")
    changed(home, file_sha256=digest)
    with pytest.raises(NewerHome, match="memes/veggie has the columns colour"):
        read(store, "memes", "veggie")
