import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from m2v import schemas
from m2v.errors import InvalidRows, StoreError, UnknownName
from m2v.files import storage
from m2v.files.checkout import CHECKOUT
from m2v.files.storage import Place
from m2v_resources.store.disks import LocalDisk
from m2v_resources.store.versions import TableStore
from tests import tables


def change(place: str, how: Callable[[bytes], bytes | None]) -> None:
    """Do something to a file or an object behind the store's back."""
    content = storage.read(storage.given(place))
    assert content is not None
    changed = how(content)
    if changed is None:
        storage.delete(storage.given(place))
    else:
        storage.write(storage.given(place), changed)


def memes(*labels: bool) -> pl.DataFrame:
    return tables.memes(*({"meme_id": f"{n:03}", "label": label} for n, label in enumerate(labels)))


def test_what_is_written_is_read_back(store: TableStore) -> None:
    frame = memes(True, False)
    version = store.write(frame, schemas.MEMES, "fhm", provenance={"run_id": "r"})
    assert store.read("memes", "fhm").equals(frame)
    assert (version.name, version.n_rows, version.provenance) == ("memes/fhm@1", 2, {"run_id": "r"})
    assert store.version("memes", "fhm") == version


def test_equal_rows_are_the_same_version_and_changed_rows_the_next(store: TableStore) -> None:
    first = store.write(memes(True, False), schemas.MEMES, "fhm")
    assert store.write(memes(True, False), schemas.MEMES, "fhm") == first
    second = store.write(memes(True, True), schemas.MEMES, "fhm")
    assert second.number == 2
    assert second.rows_hash != first.rows_hash
    assert store.read("memes", "fhm", number=1).equals(memes(True, False))
    assert store.read("memes", "fhm").equals(memes(True, True))


def test_going_back_to_earlier_rows_is_a_new_version_of_the_same_file(store: TableStore) -> None:
    first = store.write(memes(True), schemas.MEMES, "fhm")
    store.write(memes(False), schemas.MEMES, "fhm")
    third = store.write(memes(True), schemas.MEMES, "fhm")
    assert (third.number, third.file_sha256, third.rows_hash) == (3, first.file_sha256, first.rows_hash)


def test_invalid_rows_leave_the_last_version_in_place(store: TableStore) -> None:
    store.write(memes(True), schemas.MEMES, "fhm")
    with pytest.raises(InvalidRows, match="meme_id"):
        store.write(pl.concat([memes(True), memes(True)]), schemas.MEMES, "fhm")
    assert store.numbers("memes", "fhm") == [1]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = {"flip": flipped, "truncate": lambda content: content[:-9], "delete": lambda content: None}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_writing_the_rows_again_mends_it(store: TableStore, damage: str) -> None:
    version = store.write(memes(True), schemas.MEMES, "fhm")
    change(store.place(version), DAMAGE[damage])
    with pytest.raises(StoreError, match=r"memes/fhm@1: .*m2v run --force --select memes/fhm"):
        store.read("memes", "fhm")
    assert store.write(memes(True), schemas.MEMES, "fhm") == version
    assert store.read("memes", "fhm").equals(memes(True))


def test_a_damaged_claim_is_named_with_the_way_out(store: TableStore) -> None:
    store.write(memes(True), schemas.MEMES, "fhm")
    change(store.claim("memes", "fhm", 1)[0], lambda content: content[:20])
    with pytest.raises(StoreError, match=r"1\.json is damaged.*Delete it"):
        store.read("memes", "fhm")


def test_unknown_names_offer_the_nearest(store: TableStore) -> None:
    store.write(memes(True), schemas.MEMES, "fhm")
    with pytest.raises(UnknownName, match="Did you mean memes/fhm"):
        store.read("memes", "fhn")
    with pytest.raises(UnknownName, match="Known: 1"):
        store.read("memes", "fhm", number=7)


@pytest.mark.parametrize("variant", ["../memes", "a/b", "", "a b", "."])
def test_a_variant_never_leaves_the_root(store: TableStore, variant: str) -> None:
    with pytest.raises(StoreError, match="cannot name a table or variant"):
        store.write(memes(True), schemas.MEMES, variant)


def test_a_purged_version_says_why_and_later_ones_stay(store: TableStore) -> None:
    first = store.write(memes(True), schemas.MEMES, "fhm")
    with pytest.raises(StoreError, match="only earlier ones are purged"):
        store.purge(first, why="take-down")
    store.write(memes(False), schemas.MEMES, "fhm")
    store.purge(first, why="take-down")
    with pytest.raises(StoreError, match="memes/fhm@1 was purged: take-down"):
        store.read("memes", "fhm", number=1)
    assert storage.read(storage.given(store.place(first))) is None
    assert (store.numbers("memes", "fhm"), store.read("memes", "fhm").height) == ([1, 2], 1)


def test_every_table_and_its_versions_are_listed(store: TableStore) -> None:
    for variant, labels in (("fhm", (True,)), ("fhm", (False,)), ("mami", (True, False))):
        store.write(memes(*labels), schemas.MEMES, variant)
    assert store.all_numbers() == {("memes", "fhm"): [1, 2], ("memes", "mami"): [1]}
    assert [each.name for each in store.all_latest()] == ["memes/fhm@2", "memes/mami@1"]


def write_versions(root: Place, writer: int, n: int) -> None:
    for number in range(n):
        rows = tables.memes({"meme_id": f"w{writer}n{number}"})
        TableStore(root).write(rows, schemas.MEMES, "fhm")


def test_four_writers_at_once_lose_nothing(store: TableStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_versions, args=(store.root, writer, 15)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    numbers = store.numbers("memes", "fhm")
    assert numbers == list(range(1, 61))
    ids = {store.read("memes", "fhm", number=number)["meme_id"].item() for number in numbers}
    assert ids == {f"w{writer}n{number}" for writer in range(4) for number in range(15)}


WRITER = """
    import sys
    from pathlib import Path
    import polars as pl
    from m2v import schemas
    from m2v.files import storage
    from m2v_resources.store.versions import TableStore

    rows = {name: [None] * 20_000 for name in schemas.MEMES.columns}
    frame = pl.DataFrame(rows, schema=dict(schemas.MEMES.columns)).with_columns(
        meme_id=pl.int_range(pl.len()).cast(pl.String), split=pl.lit("train", schemas.SPLITS), label=True,
        text_sha256=pl.lit("0"),
    )
    store = TableStore(storage.given(sys.argv[1]))
    print("ready", flush=True)
    for number in range(10_000):
        print(store.write(frame.with_columns(text=pl.lit(f"leek {number}")), schemas.MEMES, "fhm").name, flush=True)
"""


def killed(program: str, store: TableStore, *, moment: random.Random) -> None:
    """Start a writer that says when it is ready, and each version that it wrote; kill it while it writes another."""
    command = [sys.executable, "-c", textwrap.dedent(program), str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(moment.randint(1, 3)):
            assert writer.stdout.readline()
        time.sleep(moment.uniform(0.0, 0.06))
        writer.send_signal(signal.SIGKILL)


def test_kill_9_at_any_moment_leaves_every_version_whole(store: TableStore, tmp_path: Path) -> None:
    moment = random.Random(7)  # noqa: S311
    for _ in range(12):
        killed(WRITER, store, moment=moment)
        for number in store.numbers("memes", "fhm"):
            assert store.read("memes", "fhm", number=number).height == 20_000
    assert store.numbers("memes", "fhm")
    store.write(memes(True), schemas.MEMES, "fhm")
    assert not list(tmp_path.rglob("*.tmp")), "the next writer sweeps what the killed ones left"


def test_a_sweep_spares_a_writer_that_is_alive(store: TableStore) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        for n in range(40):
            store.write(tables.memes({"meme_id": f"mine {n}"}), schemas.MEMES, "fhm")
        assert writer.poll() is None, "the other writer lost its scratch file"
        writer.kill()


ON_A_SMALL_DISK = """
    set -e
    mount -t tmpfs -o size={size} none "$1"
    {before}
    {python} - "$1" <<'EOF'
    import json, sys
    from pathlib import Path
    import polars as pl
    from m2v import schemas
    from m2v.errors import StoreError
    from m2v_resources.store.versions import TableStore
    from tests import tables

    store = TableStore(Path(sys.argv[1]) / "tables")
    small = tables.memes({{"meme_id": "1"}})
    big = tables.memes(*({{"meme_id": f"{{n:06}}", "text": f"{{n * 7919 % 100003}} leeks"}} for n in range(30_000)))
    found = {{}}
    for name, frame in (("small", small), ("big", big), ("parts", big)):
        try:
            if name == "parts":
                found[name] = store.write_parts(frame.iter_slices(5_000), schemas.MEMES, "fhm").name
            else:
                found[name] = store.write(frame, schemas.MEMES, "fhm").name
        except StoreError as error:
            found[name] = str(error)
    found["left"] = [path.name for path in Path(sys.argv[1]).rglob("*.tmp")]
    if store.numbers("memes", "fhm"):
        found["read"] = store.read("memes", "fhm").height
    print(json.dumps(found))
    EOF
"""


def on_a_small_disk(folder: Path, *, size: str, before: str = "") -> dict:
    """Write a small and a big table on a file system of its own, made in namespaces of its own."""
    script = textwrap.dedent(ON_A_SMALL_DISK).format(size=size, before=before, python=sys.executable)
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder)]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", *command[4:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk_is_an_error_that_leaves_the_last_version(tmp_path: Path) -> None:
    found = on_a_small_disk(tmp_path, size="200k")
    assert found["small"] == "memes/fhm@1"
    assert "No space left on device" in found["big"]
    assert "memes/fhm@1 stands" in found["big"]
    assert found["parts"] == found["big"]
    assert (found["read"], found["left"]) == (1, [])


TOO_LARGE = """
    import resource, sys
    from pathlib import Path
    from m2v_resources.store.disks import LocalDisk
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
    LocalDisk(Path(sys.argv[1])).put("note", b"a bigger leek")
"""


def test_a_small_file_that_cannot_be_written_whole_leaves_the_one_before(tmp_path: Path) -> None:
    LocalDisk(tmp_path).put("note", b"leek")
    command = [sys.executable, "-c", textwrap.dedent(TOO_LARGE), str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert LocalDisk(tmp_path).get("note") == b"leek"
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_read_only_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    found = on_a_small_disk(tmp_path, size="1m", before='mount -o remount,ro "$1"')
    assert "Read-only file system" in found["small"]
    assert str(tmp_path) in found["small"]
