"""What large and odd loads cost: each part in a process of its own, with its seconds and its peak of memory.

There is no honest alternative to most of them: the question is whether memory is bounded and whether a row is lost.
Peaks are a fresh process's, imports (about 150 MB) among them. ``people`` and ``clock`` run a real Label Studio.

Usage: python benchmarks/load_limits.py [PART …]
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from figure import peak_mib, report, scratch_folder

N_ROWS, N_ASSETS, N_FILES, N_PEOPLE, PEOPLE_S, CLOCK_S = 1_000_000, 10_000, 100_000, 50, 300, 120
CELL_BYTES, FILM_H = 1 << 30, 10
PORT = 18082


def rows(folder: Path) -> dict[str, float]:
    """Read 1 M memes from a CSV and write them as a version, which must have them all."""
    from m2v import schemas
    from m2v.datasets import readers
    from m2v.entries.datasets import MemeDataset
    from m2v_resources.store.versions import TableStore

    path = folder / "memes.csv"
    draw = random.Random(0)  # noqa: S311 (no secret)
    words = ["leek", "pea", "beet", "kale", "swede", "onion"]
    head = "id,image,text,type,original_dataset_label,model_prediction,human_annotation,majority_voting\n"
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        for number in range(N_ROWS):
            text = " ".join(draw.choices(words, k=12))
            file.write(f"{number:07},img/{number}.png,{text},train,{number % 3 == 0:d},0,,0\n")
    dataset = MemeDataset(name="many", title="many", source="many", layout="published", files=("memes.csv",))
    began = time.perf_counter()
    memes = readers.memes(dataset, files={"memes.csv": path})
    version = TableStore(folder / "tables").write(memes, schemas.MEMES, "many")
    seconds = time.perf_counter() - began
    assert version.n_rows == memes["meme_id"].n_unique() == N_ROWS
    return {"s": seconds, "mib": peak_mib(), "over the file": peak_mib() * (1 << 20) / path.stat().st_size}


def assets(folder: Path) -> dict[str, float]:
    """Ask what is stale of a study of 10,000 assets, of which nothing is made yet."""
    seeds = list(range(N_ASSETS // (3 * 7)))
    study = folder / "study.yaml"
    study.write_text(
        f"title: Many\nmemes: [veggie]\ntargets: [garden]\ntraining:\n  - model: minilm-probe\n    seeds: {seeds}\n"
        "    strategies: [om_ft, rm_ft, vid_ft, vid_rm_ft]\n  - model: minilm-lora\n"
        f"    seeds: {seeds}\n    strategies: [om_ft, rm_ft, vid_ft]\n"
    )
    command = [sys.executable, "-c", "from m2v_cli.cli import main; main()", "status", "--study", str(study), "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        ["/usr/bin/env", f"M2V_HOME={folder / 'home'}", *command], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    import resource

    said = json.loads(done.stdout.splitlines()[-1])
    n = len(said["stale"] if isinstance(said, dict) else said)
    assert n >= N_ASSETS * 0.95, n
    return {"s": seconds, "mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "assets": n}


def cell(folder: Path) -> dict[str, float]:
    """Read a CSV with a cell of 1 GB, which must be refused by its row."""
    from m2v.datasets import csvfiles
    from m2v.errors import BadInput

    path = folder / "cell.csv"
    with path.open("wb") as file:
        file.write(b"id,text\n1,a leek\n2,")
        for _ in range(CELL_BYTES >> 20):
            file.write(b"leeks an" * (1 << 17))
        file.write(b"\n")
    began = time.perf_counter()
    try:
        csvfiles.read(path, columns=["id", "text"])
    except BadInput as error:
        if "line 3" not in str(error):
            raise
        return {"s": time.perf_counter() - began, "mib": peak_mib()}
    raise AssertionError("a cell of 1 GB was read")


def film(folder: Path) -> dict[str, float]:
    """Take sixteen frames out of a film of ten hours, and listen to its sound in pieces."""
    import av
    import numpy as np

    from m2v.media import audio, frames

    path = folder / "film.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "g": "250"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for number in range(3600 * FILM_H):
            shade = np.full((180, 320, 3), number // 60 % 200, dtype=np.uint8)
            for packet in video.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")):
                container.mux(packet)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 8000
            for packet in sound.encode(silence):
                container.mux(packet)
        for stream in (video, sound):
            for packet in stream.encode(None):
                container.mux(packet)
    began, before = time.perf_counter(), peak_mib()
    assert len(frames.sample(path, 16)) == 16
    frames_s = time.perf_counter() - began
    n = sum(len(piece) for piece in audio.pieces(path))
    assert abs(n / audio.RATE_HZ - 3600 * FILM_H) < 60
    return {
        "s": time.perf_counter() - began,
        "mib": peak_mib(),
        "of them frames, s": frames_s,
        "grown, MiB": peak_mib() - before,
    }


def files(folder: Path) -> dict[str, float]:
    """Look at a media folder of 100,000 files, as each observation does, and find every name in it."""
    from m2v.datasets.mediapaths import Listing
    from m2v_assets.media import media_version

    for number in range(N_FILES):
        place = folder / "media" / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").touch()
    began = time.perf_counter()
    assert media_version(folder / "media") == media_version(folder / "media")
    assert len(list(Listing(folder / "media"))) == N_FILES
    return {"s": time.perf_counter() - began, "mib": peak_mib()}


@contextmanager
def two_platforms(folder: Path, *, n_people: int) -> Iterator[tuple[list[Any], list[Any], int, list[Any]]]:
    """One Label Studio, two platforms, the round that both opened and the number of its project there, and people."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from rounds import question

    from m2v.entries.study import RoundPlan
    from m2v_resources.annotators import label_studio_server as local
    from m2v_resources.annotators.address import address
    from m2v_resources.annotators.label_studio import AnnotationServer
    from m2v_resources.annotators.rounds import Rounds
    from tests.people import join

    home, other = folder / "home", folder / "other"
    exposure = local.Exposure(items_per_day=10**6, minutes_per_day=10**6, minutes_before_break=10**6, accounts=100)
    process = local.start(home, port=PORT, exposure=exposure)
    try:
        server = address(home)
        persons = [join(home) for _ in range(n_people)]
        # The second platform knows the server by its address and token only.
        os.environ |= {"LABEL_STUDIO_URL": server.url, "LABEL_STUDIO_TOKEN": server.token}
        platforms = [Rounds(place, "many", AnnotationServer(address(place))) for place in (home, other)]
        plan = RoundPlan(n_annotators=3)
        opened = [platform.open(plan, question(4000))[0] for platform in platforms]
        yield platforms, opened, platforms[0].server.projects(opened[0].uid)[0].project_id, persons
    finally:
        local.stop(process)


def answer(persons: list[Any], project_id: int, *, seconds: float) -> tuple[dict[int, str], int]:
    """Have everybody answer, and every tenth time change it, for a while; give the last answers and failed requests."""
    said: dict[int, str] = {}
    failed: Counter = Counter()
    ends = time.monotonic() + seconds

    def work(number: int) -> None:
        person = persons[number]
        while time.monotonic() < ends:
            try:
                item = person.next_item(project_id)
                if item.status_code == 404:
                    return
                label, other = ("positive", "negative") if number % 3 else ("negative", "positive")
                done = person.answer(item.raise_for_status().json()["id"], label)
                kept = done.raise_for_status().json()["id"]
                said[kept] = label
                if kept % 10 == 0:
                    person.edit(kept, other).raise_for_status()
                    said[kept] = other
            except (httpx.HTTPError, ValueError) as error:
                failed[getattr(getattr(error, "response", None), "status_code", type(error).__name__)] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(persons))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"refused or failed requests by status: {dict(failed)}", file=sys.stderr)
    return said, failed.total()


def check_nothing_lost(platforms: list[Any], opened: list[Any], said: dict[int, str]) -> None:
    """Pull: both opened the same round, which is one project on the server, and each finds what all have said."""
    for platform, this in zip(platforms, opened, strict=True):
        platform.pull()
        rows = platform.ledger.annotations(this).select("annotation_id", "labels").rows()
        pulled = {number: labels[0] for number, labels in rows}
        assert pulled == said, (len(pulled), len(said), len(pulled.items() ^ said.items()))


def people(folder: Path) -> dict[str, float]:
    """Have 50 people answer two platforms' rounds on one server for five minutes; no answer may be lost."""
    with two_platforms(folder, n_people=N_PEOPLE) as (platforms, opened, project_id, persons):
        began = time.perf_counter()
        said, n_failed = answer(persons, project_id, seconds=PEOPLE_S)
        seconds = time.perf_counter() - began
        time.sleep(11)
        check_nothing_lost(platforms, opened, said)
        n = len(said)
        return {
            "s": seconds,
            "mib": peak_mib(),
            "answers": n,
            "answers a second": n / seconds,
            "failed requests": n_failed,
        }


def clock(folder: Path) -> dict[str, float]:
    """Put the server's clock back by an hour between answers, one platform pulling all the while; none may be lost."""
    import libfaketime

    from m2v_resources.annotators import label_studio_server as local

    offset = folder / "offset"
    offset.write_text("+0")
    environment = local.environment
    preloaded = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    faked = {"LD_PRELOAD": str(preloaded), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    local.environment = lambda *args, **about: {**environment(*args, **about), **faked}
    began = time.perf_counter()
    with two_platforms(folder, n_people=10) as (platforms, opened, project_id, persons):
        said, n_failed = {}, 0
        for each in ("+0", "-3600", "-3600"):
            offset.write_text(each)
            more, n_more = answer(persons, project_id, seconds=CLOCK_S / 3)
            said, n_failed = said | more, n_failed + n_more
            platforms[0].pull()
        # The second one hears of nothing until the clock is right again.
        offset.write_text("+0")
        check_nothing_lost(platforms, opened, said)
        return {"s": time.perf_counter() - began, "mib": peak_mib(), "answers": len(said), "failed requests": n_failed}


# What each is allowed: seconds, MiB.
PARTS = {
    "rows": (rows, 120, 2500),
    "assets": (assets, 60, 3000),
    "cell": (cell, 20, 400),
    "film": (film, 120, 600),
    "files": (files, 20, 400),
    "people": (people, 330, 1000),
    "clock": (clock, 240, 1000),
}
WORDS = {
    "rows": "1 M memes read and stored",
    "assets": "status of 10,000 assets",
    "cell": "a cell of 1 GB refused",
    "film": "16 frames and the sound of a film of 10 h",
    "files": "a media folder of 100,000 files looked at three times",
    "people": "50 people, two platforms, one server, five minutes",
    "clock": "the server's clock put back by an hour between answers of ten people",
}


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--part":
        with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
            print(json.dumps(PARTS[sys.argv[2]][0](Path(folder))))
        return
    for name in sys.argv[1:] or PARTS:
        _, max_s, max_mib = PARTS[name]
        done = subprocess.run([sys.executable, __file__, "--part", name], stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        what = f"limits: {WORDS[name]}"
        report(what, seconds := found.pop("s"), unit="s", target=f"≤ {max_s}", holds=seconds <= max_s)
        report(f"{what}, peak", mib := found.pop("mib"), unit="MiB", target=f"≤ {max_mib:,}", holds=mib <= max_mib)
        for more, value in found.items():
            report(f"{what}, {more}", value, unit="", target="–", holds=True)


if __name__ == "__main__":
    main()
