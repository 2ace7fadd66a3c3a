"""The programs that decode a dataset's pictures and videos: any file gives a row, and nothing is done twice."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.entries.pretrained import Perceiver
from m2v.files.digests import file_sha256
from m2v.programs import progress, workers
from tests import encoders, films, vlms
from tests.killing import kill_when

WHISPER = Perceiver(name="tiny-whisper", title="Tiny", kind="whisper", built="whisper")


class Shelf:
    """A media folder with videos, and the program that looks at them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.media = folder, folder / "media"
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, *, video: str | None = None, audio: str | None = None, text: str = "a leek") -> None:
        self.rows.append({"video_id": name, "video": video, "audio": audio, "text": text})

    def command(self, out: str = "out", *, n: int = 4, hears: bool = False, version: str = "1") -> list[str]:
        videos = self.folder / "videos.parquet"
        schema = {"video_id": pl.String, "video": pl.String, "audio": pl.String, "text": pl.String}
        pl.DataFrame(self.rows, schema=schema).write_parquet(videos)
        spec = vlms.spec(
            self.folder / f"{out}.json",
            videos=videos,
            media=self.media,
            frames={"n": n, "rule": "even", "side": 64},
            home=self.folder,
            version=version,
            whisper=WHISPER if hears else None,
        )
        return encoders.command("m2v.media.videos", spec=spec, out=self.folder / out)

    def run(self, out: str = "out", **settings: Any) -> pl.DataFrame:
        result = encoders.run(self.command(out, **settings), self.folder)
        assert result.returncode == 0, result.stderr[-3000:]
        self.said = result.stderr
        found = pl.read_parquet(self.folder / out / "videos.parquet")
        schemas.VIDEO_FEATURES.validate(found)
        return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.usefixtures("cold")
def test_a_video_with_sound_and_one_with_a_file_of_its_own(shelf: Shelf) -> None:
    films.film(shelf.media / "a.mp4", n=20, with_sound=True)
    films.film(shelf.media / "b.mp4", n=20)
    films.tone(shelf.media / "b.wav", seconds=1.5)
    shelf.add("a", video="a.mp4")
    shelf.add("b", video="b.mp4", audio="b.wav", text=" ")
    found = shelf.run(hears=True)
    assert found["problem"].null_count() == 2
    assert found["audio_problem"].null_count() == 2
    assert found["frames"].list.len().to_list() == [4, 4]
    np.testing.assert_allclose(found["frame_times_s"][0].to_list(), [0.2, 0.7, 1.2, 1.7], atol=0.06)
    assert all((shelf.folder / path).is_file() for path in found["frames"][0])
    assert found["sound"].to_list() == ["a.mp4", "b.wav"]
    assert found["sound_sha256"].to_list() == [file_sha256(shelf.media / name) for name in ("a.mp4", "b.wav")]
    # The dataset's own words come first; the tiny Whisper is asked where there are none.
    assert found["transcript"][0] == "a leek"
    assert found["transcript_source"].to_list() == ["dataset", "whisper" if found["transcript"][1].strip() else "none"]
    assert "1 of 1 sounds transcribed" in shelf.said
    # What was seen and heard is asked of no model again.
    again = shelf.run("again", hears=True)
    assert "transcribed" not in shelf.said
    assert_frame_equal(again, found)


def test_whatever_a_file_is_it_gives_a_row_with_the_reason(shelf: Shelf) -> None:
    film = films.film(shelf.media / "good.mp4", n=12)
    (shelf.media / "empty.mp4").write_bytes(b"")
    (shelf.media / "text.mp4").write_text("no video", encoding="utf-8")
    (shelf.media / "torn.mp4").write_bytes(film.read_bytes()[: film.stat().st_size // 3])
    films.tone(shelf.media / "sound.wav")
    films.film(shelf.media / "tall.mp4", n=3, size=(64, 200))
    films.film(shelf.media / "ten-bit.mp4", n=3, pixels="yuv420p10le")
    films.film(shelf.media / "single.mp4", n=1)
    (shelf.media.parent / "secret.mp4").write_bytes(film.read_bytes())
    reasons = {
        "good": None,
        "tall": None,
        "ten-bit": None,
        "single": None,
        "empty": "unreadable",
        "text": "unreadable",
        "torn": "unreadable",
        "sound": "audio only",
        "absent": "missing",
        "outside": "outside",
        "long": "missing",
    }
    names = {"sound": "sound.wav", "outside": "../secret.mp4", "long": f"{'a' * 300}.mp4"}
    for name in reasons:
        shelf.add(name, video=names.get(name, f"{name}.mp4"))
    shelf.add("none")
    found = {row["video_id"]: row for row in shelf.run().iter_rows(named=True)}
    for name, reason in reasons.items():
        problem = found[name]["problem"]
        assert (problem is None) if reason is None else problem.startswith(reason), name
        assert len(found[name]["frames"]) == (4 if reason is None else 0)
    assert found["none"]["problem"] == "missing"
    assert found["sound"]["sound"] == "sound.wav"
    assert found["good"]["audio_problem"] == "no audio stream"
    assert found["tall"]["height"] == 200


def test_a_video_is_decoded_once_until_it_changes(shelf: Shelf) -> None:
    for name in "abc":
        films.film(shelf.media / f"{name}.mp4", n=5)
        shelf.add(name, video=f"{name}.mp4")
    before = shelf.run("one")
    places = {path: path.stat().st_mtime_ns for path in shelf.folder.glob("media/videos/*/result.json")}
    assert len(places) == 3
    films.film(shelf.media / "b.mp4", n=9, colour=lambda _: (200, 200, 40))
    after = shelf.run("two")
    now = {path: path.stat().st_mtime_ns for path in shelf.folder.glob("media/videos/*/result.json")}
    assert len(now) == 4
    assert places.items() <= now.items()
    assert after["frame_sha256"][0].to_list() == before["frame_sha256"][0].to_list()
    assert after["frame_sha256"][1].to_list() != before["frame_sha256"][1].to_list()
    # Another version of the program finds everything anew.
    shelf.run("three", version="2")
    assert len(list(shelf.folder.glob("media/videos/*/result.json"))) == 7


def test_a_killed_program_goes_on(shelf: Shelf) -> None:
    for place in range(12):
        films.film(shelf.media / f"{place}.mp4", n=60, size=(320, 240))
        shelf.add(f"{place:02d}", video=f"{place}.mp4")

    def done() -> list[Path]:
        return list(shelf.folder.glob("media/videos/*/result.json"))

    out, media = shelf.folder / "out", shelf.folder / "media" / "videos"
    kill_when(done, shelf.command("out"), encoders.environment(shelf.folder), made=(out, media))
    kept = {path: path.stat().st_mtime_ns for path in done()}
    assert shelf.run("out").height == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def dies(task: dict[str, Any], place: Path) -> dict[str, Any]:
    """Work that kills its process on one task, and runs out of memory on another."""
    if task["name"] == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    if task["name"] == "greedy":
        np.zeros(12 * 2**30, np.uint8)
    return {"name": task["name"]}


class Silent(progress.Send):
    """Nobody listens."""

    def __call__(self, message: dict) -> None:
        pass


def test_a_file_that_kills_its_worker_costs_only_itself(tmp_path: Path) -> None:
    tasks = {name: {"name": name} for name in ("a", "killer", "b", "greedy", "c")}
    found = workers.results(tasks, dies, folder=tmp_path, report=progress.Report(Silent()), unit="files")
    assert found["killer"] == {"problem": "crashed"}
    assert found["greedy"] == {"problem": "too_large"}
    assert [found[name] for name in "abc"] == [{"name": name} for name in "abc"]


def test_half_a_result_is_made_again(tmp_path: Path) -> None:
    report = progress.Report(Silent())
    tasks = {"a": {"name": "a"}}
    workers.results(tasks, dies, folder=tmp_path, report=report, unit="files")
    (result,) = tmp_path.glob("*/result.json")
    result.write_text(json.dumps({"name": "a"})[:5], encoding="utf-8")
    assert workers.results(tasks, dies, folder=tmp_path, report=report, unit="files") == {"a": {"name": "a"}}


@pytest.mark.usefixtures("cold")
def test_pictures_are_rows_with_hashes_or_reasons(tmp_path: Path) -> None:
    media = tmp_path / "media"
    for name, colour in (("a", (200, 30, 30)), ("b", (200, 30, 30)), ("c", (30, 30, 200))):
        vlms.picture(media, name, colour)
    (media / "torn.png").write_bytes((media / "a.png").read_bytes()[:40])
    Image.effect_noise((90, 90), 50).save(tmp_path / "whole.jpg")
    (media / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-900])
    memes = [("a", "a.png"), ("b", "b.png"), ("c", "c.png"), ("torn", "torn.png"), ("gone", "gone.png"), ("none", None)]
    memes += [("out", "../../x.png"), ("long", "a" * 300), ("nul", "a\0b"), ("cut", "cut.jpg")]
    schema = {"meme_id": pl.String, "image": pl.String}
    pl.DataFrame(memes, schema=schema, orient="row").write_parquet(tmp_path / "memes.parquet")
    for version, out in (("1", "out"), ("2", "newer")):
        spec = vlms.spec(
            tmp_path / f"{out}.json", memes=tmp_path / "memes.parquet", media=media, home=tmp_path, version=version
        )
        result = encoders.run(encoders.command("m2v.media.pictures", spec=spec, out=tmp_path / out), tmp_path)
        assert result.returncode == 0, result.stderr[-2000:]
    # Another version of the program finds everything anew.
    assert len(list(tmp_path.glob("media/pictures/*/result.json"))) == 2
    rows = pl.read_parquet(tmp_path / "out" / "pictures.parquet")
    schemas.MEME_IMAGES.validate(rows)
    found = {row["meme_id"]: row for row in rows.iter_rows(named=True)}
    assert {name: row["problem"] for name, row in found.items()} == {
        "a": None, "b": None, "c": None, "torn": "unreadable", "gone": "missing", "none": "missing", "out": "outside",
        "long": "missing", "nul": "missing", "cut": None,
    }  # fmt: skip
    assert rows.filter("is_torn")["meme_id"].to_list() == ["cut"]
    assert found["a"]["pixels_sha256"] == found["b"]["pixels_sha256"] != found["c"]["pixels_sha256"]
    # Equal pictures are one file.
    assert found["a"]["path"] == found["b"]["path"]
    assert (tmp_path / found["a"]["path"]).is_file()


def test_an_8k_video_and_one_of_three_hours_are_decoded_within_memory(shelf: Shelf) -> None:
    films.film(shelf.media / "8k.mp4", n=2, size=(7680, 4320))
    films.film(shelf.media / "long.mp4", n=3 * 3600, fps=1, size=(64, 48), gop=250)
    for name in ("8k", "long"):
        shelf.add(name, video=f"{name}.mp4")
    found = {row["video_id"]: row for row in shelf.run().iter_rows(named=True)}
    assert (found["8k"]["problem"], found["8k"]["width"]) == (None, 7680)
    assert found["long"]["problem"] is None
    assert found["long"]["duration_s"] == pytest.approx(3 * 3600, abs=2)
    assert found["long"]["frame_times_s"] == pytest.approx([1350, 4050, 6750, 9450], abs=1)
