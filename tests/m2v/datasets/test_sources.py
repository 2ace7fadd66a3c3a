import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from m2v import catalog
from m2v.datasets import sources
from m2v.entries.datasets import Source
from m2v.errors import BadInput, ChecksumMismatch, MissingSource, StoreError

LEEKS = b"id\nleek\n"
PEAS = b"id\npea\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Source]:
    """A source of two files, of which one is pinned, as if its YAML stood in the test's folder."""

    def make(**given: object) -> Source:
        files = {"leeks.csv": {"sha256": sha256(LEEKS), "path": "deep/leeks.csv"}, "peas.csv": {}}
        made = Source.model_validate(
            {"name": "bed", "title": "Bed", "licence": {"name": "CC0-1.0"}, "files": files, **given}
        )
        made._folder = tmp_path
        return made

    return make


def fill(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (contents or {"leeks": LEEKS, "peas": PEAS}).items():
        (folder / f"{name}.csv").write_bytes(content)
    return folder


class Site(http.server.ThreadingHTTPServer):
    """A web server on this machine with the given pages; ``length`` promises more bytes than come."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {"/deep/leeks.csv": LEEKS, "/peas.csv": PEAS}
        self.length: int | None = None
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        site.asked.append(self.path)
        body = site.pages.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(site.length or len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_folder_in_the_environment_comes_first(
    source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = fill(tmp_path / "named")
    fill(tmp_path / "beside")
    monkeypatch.setenv("BED_DIR", str(named))
    found = sources.find(source(environment="BED_DIR", folders=("beside",)), home=tmp_path / "home")
    assert found == {"leeks.csv": named / "leeks.csv", "peas.csv": named / "peas.csv"}


def test_where_the_environment_names_a_folder_no_other_counts(
    source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "beside")
    monkeypatch.setenv("BED_DIR", str(fill(tmp_path / "named", leeks=LEEKS)))
    with pytest.raises(MissingSource, match=r"The folder in BED_DIR has no peas\.csv.*unset it") as error:
        sources.find(source(environment="BED_DIR", folders=("beside",)), home=tmp_path / "home")
    assert str(tmp_path) not in str(error.value), "a study may name a variable that holds a secret"


def test_an_empty_variable_is_not_set(
    source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = fill(tmp_path / "beside")
    monkeypatch.setenv("BED_DIR", "")
    found = sources.find(source(environment="BED_DIR", folders=("beside",)), home=tmp_path / "home")
    assert found["peas.csv"] == beside / "peas.csv"


def test_a_folder_name_that_no_system_allows_is_a_missing_folder(
    source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BED_DIR", "leek" * 2000)
    with pytest.raises(MissingSource, match=r"has no leeks\.csv, peas\.csv"):
        sources.find(source(environment="BED_DIR"), home=tmp_path / "home")


def test_the_first_folder_that_has_all_files_wins(source: Callable[..., Source], tmp_path: Path) -> None:
    fill(tmp_path / "partial", leeks=LEEKS)
    whole = fill(tmp_path / "whole")
    fill(tmp_path / "later")
    found = sources.find(source(folders=("partial", "whole", "later")), home=tmp_path / "home")
    assert found["leeks.csv"] == whole / "leeks.csv"


def test_what_is_found_nowhere_names_the_places_and_the_ways_out(source: Callable[..., Source], tmp_path: Path) -> None:
    fill(tmp_path / "partial", leeks=LEEKS)
    with pytest.raises(MissingSource) as error:
        sources.find(source(environment="BED_DIR", folders=("partial", "absent")), home=tmp_path / "home")
    message = str(error.value)
    for part in (
        "'Bed'",
        "the folder in BED_DIR (not set)",
        "partial (has no peas.csv)",
        "absent (does not exist)",
        "Put all of them (leeks.csv, peas.csv) into one of these folders",
        "set BED_DIR",
    ):
        assert part in message


def test_a_file_that_is_not_the_pinned_one_is_refused(source: Callable[..., Source], tmp_path: Path) -> None:
    fill(tmp_path / "beside", leeks=b"id\nturnip\n", peas=PEAS)
    with pytest.raises(ChecksumMismatch, match=rf"beside/leeks\.csv: sha256 is .*pins {sha256(LEEKS)[:12]}"):
        sources.find(source(folders=("beside",)), home=tmp_path / "home")


def test_a_folder_in_a_files_place_is_bad_input(source: Callable[..., Source], tmp_path: Path) -> None:
    (fill(tmp_path / "beside", peas=PEAS) / "leeks.csv").mkdir()
    with pytest.raises(BadInput, match=r"leeks\.csv: cannot be read: Is a directory"):
        sources.find(source(folders=("beside",)), home=tmp_path / "home")


def test_a_download_is_kept(source: Callable[..., Source], tmp_path: Path, site: Site) -> None:
    bed = source(download=site.address)
    first = sources.find(bed, home=tmp_path / "home")
    assert {name: path.read_bytes() for name, path in first.items()} == {"leeks.csv": LEEKS, "peas.csv": PEAS}
    assert sources.find(bed, home=tmp_path / "home") == first
    assert site.asked == ["/deep/leeks.csv", "/peas.csv"]


def test_another_pin_is_downloaded_anew(source: Callable[..., Source], tmp_path: Path, site: Site) -> None:
    bed = source(download=site.address)
    moved = bed.model_copy(update={"download": f"{site.address}/moved"})
    site.pages |= {"/moved/deep/leeks.csv": LEEKS, "/moved/peas.csv": b"id\nnew\n"}
    old = sources.find(bed, home=tmp_path / "home")
    new = sources.find(moved, home=tmp_path / "home")
    assert (old["peas.csv"].read_bytes(), new["peas.csv"].read_bytes()) == (PEAS, b"id\nnew\n")


def test_a_wrong_download_is_refused_and_not_kept(source: Callable[..., Source], tmp_path: Path, site: Site) -> None:
    site.pages["/deep/leeks.csv"] = b"<html>Please log in</html>"
    bed = source(download=site.address)
    with pytest.raises(ChecksumMismatch, match=r"/deep/leeks\.csv: sha256 is"):
        sources.find(bed, home=tmp_path / "home")
    assert list((tmp_path / "home" / "sources").iterdir()) == []
    site.pages["/deep/leeks.csv"] = LEEKS
    assert sources.find(bed, home=tmp_path / "home")["leeks.csv"].read_bytes() == LEEKS


def test_a_download_that_breaks_off_is_refused(source: Callable[..., Source], tmp_path: Path, site: Site) -> None:
    site.length = 100
    with pytest.raises(MissingSource, match=r"Downloading .*leeks\.csv failed: IncompleteRead"):
        sources.find(source(download=site.address), home=tmp_path / "home")
    assert list((tmp_path / "home" / "sources").iterdir()) == []


def test_a_page_that_is_not_there_is_a_missing_source(
    source: Callable[..., Source], tmp_path: Path, site: Site
) -> None:
    del site.pages["/peas.csv"]
    with pytest.raises(MissingSource, match=r"Downloading .*/peas\.csv failed: HTTP Error 404.*supply the files"):
        sources.find(source(download=site.address, environment="BED_DIR"), home=tmp_path / "home")


def test_without_a_network_the_message_says_how_to_go_on(source: Callable[..., Source], tmp_path: Path) -> None:
    with Site() as closed:
        address = closed.address
    with pytest.raises(MissingSource) as error:
        sources.find(source(download=address, environment="BED_DIR", folders=("beside",)), home=tmp_path / "home")
    message = str(error.value)
    assert "Connection refused" in message
    assert "set BED_DIR" in message
    assert "beside (does not exist)" in message


@pytest.mark.parametrize("address", ["turnip", "file:///etc", "ftp://garden.example"])
def test_an_address_that_is_no_http_is_refused_by_the_catalog(source: Callable[..., Source], address: str) -> None:
    with pytest.raises(ValidationError, match="download"):
        source(download=address)


def test_an_address_that_cannot_be_one_is_a_missing_source(source: Callable[..., Source], tmp_path: Path) -> None:
    with pytest.raises(MissingSource, match=r"Downloading http://\[turnip/deep/leeks\.csv failed: "):
        sources.find(source(download="http://[turnip"), home=tmp_path / "home")


def test_a_home_that_cannot_be_written_says_so(source: Callable[..., Source], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, where a folder is needed")
    with pytest.raises(StoreError, match=r"sources/bed-.* cannot be written: .*point M2V_HOME"):
        sources.find(source(generator="sample"), home=tmp_path / "home")


def test_a_kept_folder_that_lost_a_file_says_what_to_remove(
    source: Callable[..., Source], tmp_path: Path, site: Site
) -> None:
    bed = source(download=site.address)
    found = sources.find(bed, home=tmp_path / "home")
    found["peas.csv"].unlink()
    with pytest.raises(StoreError, match=r"bed-\w+ has lost peas\.csv. Remove that folder"):
        sources.find(bed, home=tmp_path / "home")


def test_the_sample_is_generated_as_pinned(tmp_path: Path) -> None:
    sample = catalog.load().sources["sample"]
    found = sources.find(sample, home=tmp_path)
    assert sources.digests(found) == {name: file.sha256 for name, file in sorted(sample.files.items())}


def test_processes_may_generate_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from m2v import catalog; from m2v.datasets import sources\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "found = sources.find(catalog.load().sources['sample'], home=Path(sys.argv[1]))\n"
        "print(sources.digests(found)['garden.csv'])"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(4)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
    printed = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(printed) == 1
    assert len(list((tmp_path / "sources").iterdir())) == 1  # and no scratch folder is left


def test_digests_are_sorted_by_name(tmp_path: Path) -> None:
    fill(tmp_path)
    digests = sources.digests({"peas": tmp_path / "peas.csv", "leeks": tmp_path / "leeks.csv"})
    assert list(digests.items()) == [("leeks", sha256(LEEKS)), ("peas", sha256(PEAS))]
