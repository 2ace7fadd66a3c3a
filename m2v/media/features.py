"""Program: frames of videos, statistics of their sound, and where models are named, embeddings and transcripts.

The spec says ``videos`` (parquet with ``video_id``, ``video``, ``audio`` and ``text``), ``media`` (the folder that
they lie below), ``frames`` (a frame plan), ``home`` (the platform's), ``clip`` and ``whisper`` (catalog entries, or
null) and ``version`` (which, when it changes, makes known results be found anew). The folder gets
``features.parquet``: rows of ``video_features``, their paths relative to the home.

Each video is a task of its own: a program that was killed goes on, and one that cannot be decoded is a row with a
reason.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.pretrained import Perceiver
from m2v.entries.study import FramePlan
from m2v.files import storage
from m2v.files.digests import file_sha256
from m2v.media import audio, frames, perception
from m2v.media.images import NoPicture, below
from m2v.media.stamps import Stamps, stamps_below
from m2v.programs import contract, progress, workers

PLACE = "media/videos"
STATISTICS = ("mel_mean", "mel_std", "mfcc_mean", "mfcc_std")


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    plan, media, home = FramePlan.model_validate(spec["frames"]), storage.given(spec["media"]), Path(spec["home"])
    clip, whisper = (Perceiver.model_validate(spec[kind]) if spec[kind] else None for kind in ("clip", "whisper"))
    videos = {
        row["video_id"]: row
        for row in pl.read_parquet(spec["videos"]).unique("video_id").sort("video_id").iter_rows(named=True)
    }
    stamps = stamps_below(media)
    tasks = {
        name: _task(row, plan=plan, media=media, stamps=stamps, version=spec["version"]) for name, row in videos.items()
    }
    places = {name: f"{PLACE}/{workers.key(task)}" for name, task in tasks.items()}
    with progress.reporting() as report:
        found = workers.results(tasks, features, folder=storage.place(home, PLACE), report=report, unit="videos")
        embedded, spoken = {}, {}
        if clip:
            files = {
                frame["sha256"]: storage.place(home, f"{places[name]}/{frame['file']}")
                for name, each in found.items()
                for frame in each.get("frames", ())
            }
            embedded = perception.embed(files, model=clip, home=home, report=report)
        if whisper:
            silent = [name for name, task in tasks.items() if not task["has_text"]]
            sounds = {name: _sound(tasks[name], found[name]) for name in silent if "sound" in found[name]}
            digests = {name: file_sha256(path) for name, path in sounds.items()}
            heard = perception.transcribe(
                {digest: sounds[name] for name, digest in digests.items()}, model=whisper, home=home, report=report
            )
            spoken = {name: heard[digest] for name, digest in digests.items()}
    rows = [
        _row(row, found[name], place=places[name], embedded=embedded, said=spoken.get(name, ""))
        for name, row in videos.items()
    ]
    table = pl.DataFrame(rows, schema=dict(schemas.VIDEO_FEATURES.columns))
    table.write_parquet(out / "features.parquet")
    contract.finish(
        out,
        files=["features.parquet"],
        packages=["av", "pillow"],
        program="m2v.media.features",
        n_videos=table.height,
        n_unusable=table["problem"].is_not_null().sum(),
        n_silent=table["audio_problem"].is_not_null().sum(),
        seconds=time.monotonic() - began,
    )


def features(task: dict[str, Any], place: Path) -> dict[str, Any]:
    """One video's frames, written as JPEG into the task's folder, and the statistics of its sound."""
    found: dict[str, Any] = {}
    plan = FramePlan.model_validate(task["frames"])
    try:
        path = _file(task, "video")
        info = frames.probe(path)
        found |= {"duration_s": info.duration_s, "width": info.width, "height": info.height}
        chosen = frames.sample(path, plan.n, rule=plan.rule, side=plan.side, variance=plan.variance)
    except (NoPicture, frames.NoFrames) as error:
        found["problem"] = error.reason
    else:
        found["frames"] = [_saved(frame, place) for frame in chosen]
    for name in ("audio", "video") if task["audio"] else ("video",):
        try:
            path = _file(task, name)
            sound = audio.statistics(path)
        except (NoPicture, audio.NoSound) as error:
            # Of the two reasons the first one counts: where a file of its own is named, that is the sound.
            found.setdefault("audio_problem", error.reason)
        else:
            found |= {each: list(sound[each]) for each in STATISTICS}  # pyright: ignore[reportArgumentType]
            found["sound"] = name
            found.setdefault("duration_s", sound["duration_s"])
            found.pop("audio_problem", None)
            break
    return found


def _saved(frame: frames.Frame, place: Path) -> dict[str, Any]:
    # A frame that stands for several times is one file.
    path = place / f"{round(1000 * frame.time_s):09d}.jpg"
    if not path.exists():
        frame.image.save(path, quality=95, subsampling=0)
    variance = float(np.asarray(frame.image.convert("L"), dtype=np.float32).var())
    return {"file": path.name, "time_s": frame.time_s, "sha256": file_sha256(path), "variance": variance}


def _file(task: dict[str, Any], name: str) -> Path:
    if task[name] is None:
        raise NoPicture("missing")
    return below(storage.given(task["media"]), task[name])


def _sound(task: dict[str, Any], found: dict[str, Any]) -> Path:
    # Older code wrote down the file itself.
    return _file(task, found["sound"]) if found["sound"] in task else Path(found["sound"])


def _task(
    row: dict[str, Any], *, plan: FramePlan, media: storage.Place, stamps: Stamps, version: str
) -> dict[str, Any]:
    task = {
        "video": row["video"],
        "audio": row["audio"],
        "media": storage.absolute(media),
        "frames": plan.model_dump(mode="json"),
        "has_text": bool(row["text"].strip()),
        "version": version,
    }
    stamped = {name: stamps(task[name]) if task[name] is not None else None for name in ("video", "audio")}
    return {**task, "stamps": stamped}


def _row(
    row: dict[str, Any], found: dict[str, Any], *, place: str, embedded: dict[str, list[float]], said: str
) -> dict[str, Any]:
    has_text = bool(row["text"].strip())
    text = row["text"] if has_text else said
    made = {column: found.get(column) for column in schemas.VIDEO_FEATURES.columns}
    frames_found = found.get("frames", [])
    vectors = [embedded[frame["sha256"]] for frame in frames_found] if embedded else []
    return made | {
        "video_id": row["video_id"],
        "frames": [f"{place}/{frame['file']}" for frame in frames_found],
        "frame_times_s": [frame["time_s"] for frame in frames_found],
        "frame_sha256": [frame["sha256"] for frame in frames_found],
        "frame_variance": [frame["variance"] for frame in frames_found],
        "frame_embeddings": vectors or None,
        "embedding": perception.pooled(vectors) if vectors else None,
        "transcript": text,
        "transcript_source": "dataset" if has_text else "whisper" if text else "none",
    }


if __name__ == "__main__":
    main()
