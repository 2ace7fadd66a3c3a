"""Objects as local files, and what goes wrong with a bucket: each is one sentence with the way out."""

import multiprocessing
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from m2v import schemas
from m2v.errors import StorageError
from m2v.files import buckets, storage
from m2v_resources.store.versions import TableStore
from tests import tables
from tests.buckets import KEYS, Server
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def root(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, with a cache of the test's own."""
    use(monkeypatch, {**server.environment, "M2V_CACHE": str(tmp_path / "cache")})
    return server.new()


def use(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_an_object_is_downloaded_once_and_again_when_it_changed(root: str) -> None:
    place = f"{root}/leek.png"
    storage.write(place, b"a leek")
    path = storage.local(place)
    assert (path.read_bytes(), path.suffix) == (b"a leek", ".png")
    path.write_bytes(b"our copy")
    assert storage.local(place).read_bytes() == storage.local(place, changes=True).read_bytes() == b"our copy"
    storage.write(place, b"two leeks")
    assert storage.local(place).read_bytes() == b"our copy"
    assert storage.local(place, changes=True).read_bytes() == b"two leeks"
    assert storage.local(place).read_bytes() == b"two leeks"
    assert not path.exists()
    assert storage.delete(place)
    with pytest.raises(FileNotFoundError):
        storage.local(place)


def read_all(root: str, n: int) -> None:
    for number in range(n):
        assert storage.local(f"{root}/{number}").read_bytes() == bytes(1_000_000)


def test_processes_that_want_the_same_objects_at_once_each_get_them_whole(root: str, tmp_path: Path) -> None:
    for number in range(6):
        storage.write(f"{root}/{number}", bytes(1_000_000))
    context = multiprocessing.get_context("spawn")
    readers = [context.Process(target=read_all, args=(root, 6)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [reader.exitcode for reader in readers] == [0, 0, 0]
    assert len([path for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."]) == 6
    assert not list(tmp_path.rglob("*.tmp"))


def test_many_are_fetched_at_once_and_what_is_missing_waits_for_its_reader(root: str) -> None:
    storage.write(f"{root}/leek", b"1")
    storage.fetch([f"{root}/leek", f"{root}/beet"])
    storage.write(f"{root}/leek", b"2")
    assert storage.local(f"{root}/leek").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("img/1.png", "s3://garden/a/img/1.png"),
        ("./img//1.png", "s3://garden/a/img/1.png"),
        ("img/../1.png", "s3://garden/a/1.png"),
        ("../1.png", None),
        ("img/../../1.png", None),
        ("/1.png", None),
        ("..", None),
        (".", None),
        ("", None),
    ],
)
def test_a_name_from_data_never_leaves_its_root(name: str, address: str | None) -> None:
    assert buckets.inside("s3://garden/a/", name) == address


@pytest.mark.parametrize("name", ["a leek.png", "ü/größe 100%.png", "a#b?c=[d]*~.png", "leek+beet&.png"])
def test_names_may_have_any_letters(root: str, name: str) -> None:
    place = buckets.inside(root, name)
    assert place is not None
    storage.write(place, b"a leek")
    assert storage.local(place, changes=True).read_bytes() == b"a leek"
    assert list(storage.files(root)) == [name]


FORKED = """
    import os, sys
    from m2v.files.buckets import bucket
    from m2v.errors import StorageError
    bucket(sys.argv[1])
    if os.fork() == 0:
        try:
            bucket(sys.argv[1] + sys.argv[2]).get("leek")
        except StorageError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("more", ["", "/more"])
def test_a_forked_process_is_told_instead_of_waiting_for_ever(root: str, more: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FORKED), root, more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert "cannot be used in a process that was forked" in done.stdout


def test_no_object_is_named_out_of_its_bucket(root: str) -> None:
    with pytest.raises(StorageError, match="cannot name an object"):
        buckets.bucket(root).put("../leek", b"")


def test_a_claim_whose_answer_was_lost_is_not_claimed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server("loses an answer") as server:
        use(monkeypatch, {**server.environment, "M2V_CACHE": str(tmp_path)})
        store = TableStore(f"{server.new()}/tables")
        for number in range(2):
            assert store.write(tables.memes({"meme_id": f"{number}"}), schemas.MEMES, "fhm").number == number + 1
        assert store.numbers("memes", "fhm") == [1, 2]


def said(address: str) -> str:
    """Why a store cannot be written."""
    with pytest.raises(StorageError) as caught:
        TableStore(f"{address}/tables").ready()
    message = str(caught.value)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in message
    assert "\n" not in message
    return message


def test_a_bucket_that_is_not_there_is_named(root: str) -> None:
    assert "there is no bucket 'beetles' at http://127.0.0.1" in said("s3://beetles/a")


@pytest.mark.parametrize("address", ["s3://", "s3://Leek", "s3://leek/../a", "s3://leek//a"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert "Write s3://bucket or s3://bucket/prefix" in said(address)


def test_a_setting_that_is_no_address_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2V_STORAGE", "/mnt/leeks")
    with pytest.raises(StorageError, match=r"M2V_STORAGE is /mnt/leeks, which is no s3://bucket/prefix"):
        storage.place(Path("home"), "tables")


@pytest.mark.parametrize(
    ("actions", "refused"),
    [
        (["s3:GetObject", "s3:PutObject"], "could not be listed: the server refuses (403 AccessDenied)"),
        (["s3:ListBucket", "s3:PutObject"], ".creates-once could not be read: the server refuses (403 AccessDenied)"),
        (["s3:ListBucket", "s3:GetObject"], ".creates-once could not be written: the server refuses (403"),
        ([], "could not be listed: the server refuses (403 InvalidAccessKeyId)"),
    ],
)
def test_a_bucket_without_rights_says_which_are_needed(
    actions: list[str], refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as server:
        address = server.new()
        use(monkeypatch, {**(server.user("gardener", *actions) if actions else server.environment)})
        server.ask_for_rights()
        message = said(address)
    assert refused in message
    assert "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject" in message


def test_a_server_that_overwrites_what_it_should_create_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server("ignores conditions") as server:
        use(monkeypatch, {**server.environment, "M2V_CACHE": str(tmp_path)})
        address = server.new()
        assert "ignores `If-None-Match: *`" in said(address)
        with pytest.raises(StorageError, match="ignores"):
            TableStore(f"{address}/tables").write(tables.memes({"meme_id": "1"}), schemas.MEMES, "fhm")
        assert TableStore(f"{address}/tables").all_numbers() == {}


def test_an_endpoint_that_does_not_answer_is_given_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (silent.getsockname()[1], 9):
            use(monkeypatch, {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
            assert f"http://127.0.0.1:{port} does not answer. Check AWS_ENDPOINT_URL" in said("s3://garden/a")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_missing_key_is_named(root: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    assert "there are no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said(root)


WITHOUT = """
    import sys
    sys.modules["obstore"] = None  # what Python keeps of a package that is not there
    from m2v.files.buckets import bucket
    from m2v.errors import StorageError
    try:
        bucket("s3://garden/a")
    except StorageError as error:
        print(error)
"""


def test_without_the_extra_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(WITHOUT)], capture_output=True, text=True, check=True)
    assert "which needs obstore: run `make cluster`" in done.stdout


def test_a_server_that_dies_in_the_middle_of_a_write_leaves_an_error_and_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as server:
        use(monkeypatch, {**server.environment, "M2V_CACHE": str(tmp_path)})
        store = TableStore(f"{server.new()}/tables")
        store.write(tables.memes({"meme_id": "1"}), schemas.MEMES, "fhm")
        with store.disk.scratch("memes/fhm") as written:
            tables.memes({"meme_id": "2"}).write_parquet(written[0])
            server.kill()
            with pytest.raises(StorageError, match=r"could not be written: .* does not answer"):
                store.disk.keep(written, "memes/fhm")
        with pytest.raises(StorageError, match="does not answer"):
            store.write(tables.memes({"meme_id": "2"}), schemas.MEMES, "fhm")
    assert not list(tmp_path.rglob("*.tmp"))
