"""Media in object storage: the same rows as from folders, decoded once for all hosts."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from m2v.files import storage
from m2v.media import pictures, videos
from m2v.programs import workers
from tests import encoders, films, vlms
from tests.buckets import Server

MEMES = [
    ("leek", "img/leek.png"),
    ("beet", "img/beet.png"),
    ("gone", "img/gone.png"),
    ("outside", "../secret.png"),
    ("absolute", "/etc/hostname"),
    ("none", None),
]
VIDEOS = [("leek", "leek.mp4"), ("gone", "gone.mp4"), ("outside", "../secret.mp4"), ("none", None)]


class Cloud:
    """A server, and which of its buckets and which cache this process and its programs use."""

    def __init__(self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.folder, self.monkeypatch = server, folder, monkeypatch

    def use(self, cache: str, *, storage: bool = False) -> str:
        """As a host with a cache of its own; give M2V_STORAGE, a new bucket's address if ``storage``."""
        settings = {**self.server.environment, "M2V_CACHE": str(self.folder / cache)}
        for name, value in (settings | ({"M2V_STORAGE": self.server.new()} if storage else {})).items():
            self.monkeypatch.setenv(name, value)
        return os.environ["M2V_STORAGE"]

    def uploaded(self, media: Path) -> str:
        """A new bucket's address with the files of a folder."""
        source = self.server.new()
        for path in media.rglob("*.*"):
            storage.write(f"{source}/{path.relative_to(media)}", path.read_bytes())
        return source


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def cloud(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(server, tmp_path, monkeypatch)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    vlms.picture(folder / "img", "leek", (30, 200, 30))
    vlms.picture(folder / "img", "beet", (200, 30, 60))
    vlms.picture(tmp_path, "secret", (0, 0, 0))
    films.film(folder / "leek.mp4", with_sound=True)
    return folder


Program = Callable[..., pl.DataFrame]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs a program in a home, a folder of its own, with media from there; gives its rows."""

    def run(module: str, table: str, *, home: str, media: storage.Place) -> pl.DataFrame:
        folder = tmp_path / home
        folder.mkdir(exist_ok=True)
        out = folder / f"out-{len(list(folder.iterdir()))}"
        pl.DataFrame(MEMES, schema=["meme_id", "image"], orient="row").write_parquet(folder / "memes.parquet")
        videos = pl.DataFrame(VIDEOS, schema=["video_id", "video"], orient="row")
        videos.with_columns(audio=pl.lit(None, pl.String), text=pl.lit("a leek")).write_parquet(
            folder / "videos.parquet"
        )
        spec = vlms.spec(
            folder / "spec.json",
            memes=folder / "memes.parquet",
            videos=folder / "videos.parquet",
            media=media,
            frames={"n": 3, "rule": "even", "side": 64},
            home=folder,
            version="1",
            whisper=None,
        )
        done = encoders.run(encoders.command(module, spec=spec, out=out), folder)
        assert done.returncode == 0, done.stderr[-3000:]
        return pl.read_parquet(out / table)

    return run


CASES = [
    ("m2v.media.pictures", "pictures.parquet", pictures.PLACE, "path"),
    ("m2v.media.videos", "videos.parquet", videos.PLACE, "frames"),
]


@pytest.mark.parametrize("case", CASES, ids=["pictures", "videos"])
def test_rows_are_the_same_and_another_host_decodes_nothing_again(
    case: tuple[str, str, str, str], media: Path, program: Program, cloud: Cloud, tmp_path: Path
) -> None:
    module, table, place, paths = case
    wanted = program(module, table, home="local", media=media)
    root = cloud.use("a", storage=True)
    # Only decoded media are moved: what says where they lie is the same too.
    assert program(module, table, home="moved", media=media).equals(wanted)

    source = cloud.uploaded(media)
    storage.write(f"{source.rpartition('/')[0]}/secret.png", b"a secret")
    cloud.use("b")
    found = program(module, table, home="first", media=source)
    assert found.drop(paths).equals(wanted.drop(paths))
    assert not (tmp_path / "first/media").exists()
    for name in found[paths].explode().drop_nulls() if place == videos.PLACE else found[paths].drop_nulls():
        with Image.open(storage.local(storage.place(tmp_path, name))) as image:
            assert image.width > 0

    # What has a result is complete: a host that has neither home nor cache of the first reads no source.
    before = storage.files(f"{root}/{place}")
    cloud.use("c")
    assert program(module, table, home="second", media=source).equals(found)
    assert storage.files(f"{root}/{place}") == before
    assert not list((tmp_path / "c").rglob("*.*"))


def test_a_changed_object_is_decoded_anew(media: Path, program: Program, cloud: Cloud) -> None:
    cloud.use("a", storage=True)
    source = cloud.uploaded(media)
    case = ("m2v.media.pictures", "pictures.parquet")
    first = program(*case, home="home", media=source).filter(meme_id="leek")
    storage.write(f"{source}/img/leek.png", (media / "img/beet.png").read_bytes())
    second = program(*case, home="home", media=source).filter(meme_id="leek")
    assert first["pixels_sha256"].item() != second["pixels_sha256"].item()


def test_what_has_no_result_is_not_taken_for_complete(cloud: Cloud, tmp_path: Path) -> None:
    folder = f"{cloud.use('a', storage=True)}/media/pictures"
    vlms.picture(tmp_path / "media", "leek", (1, 2, 3))
    task = {"pictures": [["1", "leek.png", None]], "media": str(tmp_path / "media")}
    storage.write(f"{folder}/{workers.key(task)}/half.png", b"half a picture")
    (found,) = _results(task, folder)["pictures"]
    shutil.rmtree(tmp_path / "media")
    assert _results(task, folder)["pictures"] == [found]
    assert {name.rpartition("/")[2] for name in storage.files(folder)} == {"half.png", found["file"], "result.json"}


class Silent:
    def step(self, done: int, total: int, *, unit: str, **figures: float) -> None:
        """Nothing."""


def _results(task: dict[str, Any], folder: str) -> dict[str, Any]:
    report: Any = Silent()
    return workers.results({"one": task}, pictures.pictures, folder=folder, report=report, unit="batches")["one"]
