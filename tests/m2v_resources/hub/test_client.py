"""The real client against a real server that fails in every way that was met, and what is there afterwards."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from m2v.errors import DamagedUpload, HubError, NotAllowed, NotSignedIn, RefusedName, VersionConflict
from m2v.files.checkout import CHECKOUT
from m2v_resources.hub.client import Hub, Settings
from m2v_resources.hub.uploads import Published, Upload, publish
from tests.hub_server import READER, WRITER, Fault, HubServer, serving

REPO = "gardener/leeks"
CARD = "---\nlicense: other\n---\nLeeks.\n"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serving() as state:
        yield state


@pytest.fixture
def hub(server: HubServer) -> Hub:
    return client(server)


def client(server: HubServer, *, token: str = WRITER, timeout_s: float = 20) -> Hub:
    return Hub(endpoint=server.endpoint, token=token, timeout_s=timeout_s, wait_s=0.01)


def content(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def upload(
    folder: Path,
    word: str,
    *,
    repo: str = REPO,
    configs: tuple[str, ...] = ("leeks",),
    settings: Settings | None = None,
    split: str = "train",
) -> Upload:
    """A release whose content is one word."""

    def build(version: int, card: str | None) -> Path:
        out = folder / f"{word}-v{version}"
        (out / "data").mkdir(parents=True, exist_ok=True)
        (out / f"data/{split}.parquet").write_bytes(word.encode() * 1000)
        (out / "README.md").write_text((card or CARD) + f"v{version}\n")
        names = (f"data/{split}.parquet", "README.md")
        files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
        record = {"version": version, "content_sha256": content(word), "configs": list(configs), "files": files}
        (out / "release.json").write_text(json.dumps(record))
        return out

    return Upload(repo, "dataset", content(word), build, settings or Settings())


Say = Callable[[str], Published]


@pytest.fixture
def say(hub: Hub, tmp_path: Path) -> Say:
    """Publish a word."""
    return lambda word: publish(hub, upload(tmp_path, word))


def assert_one_right_version(server: HubServer, word: str = "leek", *, version: int = 1) -> None:
    """The tag is on a commit that holds the word, and no version was committed twice."""
    repo = server.dataset(REPO)
    assert list(repo.tags) == [f"v{number}" for number in range(1, version + 1)]
    tagged = repo.at(f"v{version}")
    assert tagged
    assert tagged.files["data/train.parquet"] == word.encode() * 1000
    assert json.loads(tagged.files["release.json"])["version"] == version
    titles = [commit.title for commit in repo.commits]
    assert titles.count(f"Release v{version}") == 1


def test_a_release_is_one_commit_and_one_tag_in_a_private_gated_repository(server: HubServer, say: Say) -> None:
    published = say("leek")
    assert (published.tag, published.is_new, published.commit) == ("v1", True, server.dataset(REPO).head.id)
    assert published.files["data/train.parquet"] == hashlib.sha256(b"leek" * 1000).hexdigest()
    assert (server.dataset(REPO).private, server.dataset(REPO).gated) == (True, "manual")
    assert_one_right_version(server)


def test_unchanged_content_makes_no_commit(server: HubServer, say: Say) -> None:
    first = say("leek")
    again = say("leek")
    assert (again.tag, again.commit, again.published_at, again.is_new) == (
        "v1",
        first.commit,
        first.published_at,
        False,
    )
    assert len(server.dataset(REPO).commits) == 2
    assert server.calls["commit"] == 1


def test_changed_content_is_the_next_version_and_the_one_before_stands(server: HubServer, say: Say) -> None:
    say("leek")
    assert say("chard").tag == "v2"
    assert_one_right_version(server, "chard", version=2)
    before = server.dataset(REPO).at("v1")
    assert before
    assert before.files["data/train.parquet"] == b"leek" * 1000
    # Back to what v1 held is a change from v2, so a version of its own.
    assert say("leek").tag == "v3"


@pytest.mark.parametrize(
    "faults",
    [
        {"commit": Fault(status=500, applied=True)},
        {"commit": Fault(status=500)},
        {"commit": Fault(status=429, headers={"Retry-After": "1"})},
        {"commit": Fault(status=412)},
        {"tag": Fault(status=500, applied=True)},
        {"tag": Fault(status=503)},
        {"info": Fault(status=502)},
        {"create": Fault(status=500, applied=True)},
        {"refs": Fault(status=429)},
        {"settings": Fault(status=500)},
        {"commits": Fault(status=500)},
        {"preupload": Fault(status=503)},
        {"put": Fault(status=500)},
        {"commit": Fault(status=500, applied=True), "tag": Fault(status=500, applied=True)},
    ],
    ids=lambda faults: "+".join(f"{call} {fault.status}{' applied' * fault.applied}" for call, fault in faults.items()),
)
def test_a_failure_that_passes_ends_in_one_right_version(server: HubServer, say: Say, faults: dict[str, Fault]) -> None:
    for call, fault in faults.items():
        server.faults[call].append(Fault(**vars(fault)))
    assert say("leek").tag == "v1"
    assert_one_right_version(server)
    assert not any(server.faults.values())


def test_a_server_that_asks_for_time_is_given_it(server: HubServer, say: Say) -> None:
    server.faults["commit"].append(Fault(status=429, headers={"Retry-After": "2"}))
    began = time.monotonic()
    say("leek")
    assert time.monotonic() - began >= 2


def test_a_file_that_the_next_version_lacks_is_gone_from_it(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    publish(hub, upload(tmp_path, "leek"))
    server.edit(server.dataset(REPO), "NOTES.md", "A maintainer's own.")
    publish(hub, upload(tmp_path, "chard", split="test"))
    held = server.dataset(REPO).at("v2")
    assert held
    assert {"data/test.parquet", "NOTES.md"} <= held.files.keys()
    assert "data/train.parquet" not in held.files


@pytest.mark.parametrize("call", ["info", "commit", "tag"])
def test_a_server_that_hangs_is_given_up_on_and_asked_again(server: HubServer, tmp_path: Path, call: str) -> None:
    server.faults[call].append(Fault(hang_s=3))
    began = time.monotonic()
    publish(client(server, timeout_s=0.5), upload(tmp_path, "leek"))
    assert time.monotonic() - began < 3
    time.sleep(max(0, 3.2 - (time.monotonic() - began)))  # what hung may still be applied
    assert_one_right_version(server)


def test_a_server_that_never_recovers_is_one_clear_error_and_no_tag(server: HubServer, say: Say) -> None:
    server.faults["commit"].append(Fault(status=503, times=100))
    with pytest.raises(
        HubError, match=r"6 attempts failed, the last with: the Hub answered 503.*Nothing new was tagged"
    ):
        say("leek")
    assert server.dataset(REPO).tags == {}


def test_an_unreachable_hub_is_said_to_be_so(tmp_path: Path) -> None:
    hub = Hub(endpoint="http://127.0.0.1:9", token=WRITER, timeout_s=1, wait_s=0.01)
    with pytest.raises(HubError, match="could not be reached"):
        publish(hub, upload(tmp_path, "leek"))


def test_somebody_who_commits_meanwhile_is_not_overwritten(server: HubServer, say: Say) -> None:
    say("leek")

    def edit() -> None:
        server.edit(server.dataset(REPO), "README.md", CARD + "A maintainer was here.\n")

    server.faults["commit"].append(Fault(then=edit))
    say("chard")
    assert_one_right_version(server, "chard", version=2)
    assert b"A maintainer was here." in server.dataset(REPO).head.files["README.md"]


def test_a_tag_that_somebody_else_was_faster_to_set_is_kept(server: HubServer, say: Say) -> None:
    def set_tag() -> None:
        repo = server.dataset(REPO)
        repo.tags["v1"] = repo.head.id

    server.faults["tag"].append(Fault(then=set_tag))
    assert say("leek").tag == "v1"
    assert_one_right_version(server)


@pytest.mark.parametrize("words", [("leek", "leek"), ("leek", "chard")])
def test_two_publishers_at_once_leave_whole_versions_only(
    server: HubServer, tmp_path: Path, words: tuple[str, str]
) -> None:
    found: list[Published] = []

    def publisher(number: int, word: str) -> None:
        found.append(publish(client(server), upload(tmp_path / str(number), word)))

    threads = [threading.Thread(target=publisher, args=each) for each in enumerate(words)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    repo = server.dataset(REPO)
    assert len(found) == 2
    assert sorted(repo.tags) == [f"v{number}" for number in range(1, len(set(words)) + 1)]
    held = {tag: repo.at(tag).files["data/train.parquet"][:5].decode().strip() for tag in repo.tags}  # pyright: ignore
    assert {word[:4] for word in words} == {word[:4] for word in held.values()}
    # Equal content is one commit. Of different ones, who came second may have found the first without its tag yet,
    # which is also what a killed publisher leaves: its commit is then built upon, and not the version's.
    n_first = [commit.title for commit in repo.commits].count("Release v1")
    assert n_first == 1 or (n_first == 2 and words[0] != words[1])


PUBLISHER = """
import sys
from pathlib import Path
from tests.m2v_resources.hub.test_client import upload
from m2v_resources.hub.client import Hub
from m2v_resources.hub.uploads import publish
publish(Hub(endpoint=sys.argv[1], token=sys.argv[2], wait_s=0.01), upload(Path(sys.argv[3]), "leek"))
"""


@pytest.mark.parametrize("call", ["put", "commit", "tag"])
def test_a_publisher_killed_on_the_way_leaves_no_half_version(
    server: HubServer, say: Say, tmp_path: Path, call: str
) -> None:
    server.faults[call].append(Fault(hang_s=1.5))
    command = [sys.executable, "-c", PUBLISHER, server.endpoint, WRITER, str(tmp_path / "other")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    while not server.calls[call]:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    tags = dict(server.dataset(REPO).tags)
    assert tags in ({}, {"v1": server.dataset(REPO).head.id})
    time.sleep(1.6)  # what the server had begun, it ends
    assert say("leek").tag == "v1"
    assert_one_right_version(server)


def test_bytes_that_came_out_other_than_they_went_in_get_no_tag(server: HubServer, say: Say) -> None:
    server.corrupts = True
    with pytest.raises(DamagedUpload, match=r"data/train\.parquet has sha256 .* No tag was set"):
        say("leek")
    assert server.dataset(REPO).tags == {}


def test_a_tagged_version_whose_bytes_changed_is_named(server: HubServer, say: Say) -> None:
    say("leek")
    server.dataset(REPO).head.files["data/train.parquet"] = b"rotten"
    with pytest.raises(DamagedUpload, match=r"data/train\.parquet"):
        say("leek")


def test_a_tag_of_somebody_elses_is_a_conflict(server: HubServer, say: Say) -> None:
    say("leek")
    repo = server.dataset(REPO)
    server.commit(repo, {"README.md": CARD.encode()}, "By hand")
    repo.tags["v2"] = repo.head.id
    with pytest.raises(VersionConflict, match="tag v2 is on something that M2V did not publish"):
        say("chard")


def test_a_release_that_would_take_others_out_is_refused(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    publish(hub, upload(tmp_path, "leek", configs=("leeks", "chards")))
    with pytest.raises(VersionConflict, match="holds chards, which this release"):
        publish(hub, upload(tmp_path, "chard"))
    assert list(server.dataset(REPO).tags) == ["v1"]


def test_a_repository_is_closed_before_anything_is_in_it_and_opened_after_the_tag(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    seen: list[tuple[bool, object]] = []

    def look() -> None:
        seen.append((server.dataset(REPO).private, server.dataset(REPO).gated))

    for call in ("put", "tag"):
        server.faults[call].append(Fault(then=look))
    publish(hub, upload(tmp_path, "leek", settings=Settings(private=False, gated="auto")))
    assert seen == [(True, "auto")] * 2
    assert (server.dataset(REPO).private, server.dataset(REPO).gated) == (False, "auto")
    server.faults["put"].append(Fault(then=look))
    publish(hub, upload(tmp_path, "chard"))
    assert seen[-1] == (True, "manual")


@pytest.mark.parametrize(
    ("repo", "token", "refusal"),
    [
        (REPO, "hf_unknown", (NotSignedIn, "does not accept the token")),
        (REPO, READER, (NotAllowed, "may not write there")),
        ("gardener/le eks", WRITER, (RefusedName, "cannot name a repository")),
        ("gardener/rotten", WRITER, (RefusedName, "This name is reserved")),
        ("gardener/a/b", WRITER, (RefusedName, "cannot name a repository")),
    ],
)
def test_a_refusal_says_what_to_do_and_never_shows_the_token(
    server: HubServer, tmp_path: Path, repo: str, token: str, refusal: tuple[type[Exception], str]
) -> None:
    with pytest.raises(refusal[0], match=refusal[1]) as caught:
        publish(client(server, token=token), upload(tmp_path, "leek", repo=repo))
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None
    assert server.repos == {}
