"""Program: frames of videos, statistics of their sound, and where models are named, embeddings and transcripts.

The spec says ``videos`` (parquet with ``video_id``, ``video``, ``audio`` and ``text``), ``media`` (the folder that
they lie below), ``frames`` (a frame plan), ``home`` (the platform's), and ``clip`` and ``whisper`` (catalog entries,
or null). The folder gets ``features.parquet``: rows of ``video_features``.  Each video is a task of its own: a program
that was killed goes on, and one that cannot be decoded is a row with a reason.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v import programfiles, progress, schemas
from m2v.catalog.entries import FramePlan, Perceiver
from m2v.media import audio, frames, perception, work
from m2v.media.images import NoPicture, below

STATISTICS = ("mel_mean", "mel_std", "mfcc_mean", "mfcc_std")


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.complete(out):
        return
    began = time.monotonic()
    plan, media, home = FramePlan.model_validate(spec["frames"]), Path(spec["media"]), Path(spec["home"])
    clip, whisper = (Perceiver.model_validate(spec[kind]) if spec[kind] else None for kind in ("clip", "whisper"))
    videos = pl.read_parquet(spec["videos"]).unique("video_id").sort("video_id")
    tasks = {row["video_id"]: _task(row, plan=plan, media=media) for row in videos.iter_rows(named=True)}
    with progress.reporting() as report:
        found = work.results(tasks, features, folder=home / "media" / "videos", report=report, unit="videos")
        for name, each in found.items():
            # A home may have been moved since the frames were written.
            place = home / "media" / "videos" / work.key(tasks[name])
            for frame in each.get("frames", ()):
                frame["path"] = str(place / Path(frame["path"]).name)
        embedded = perception.embed(
            {name: [frame["path"] for frame in each.get("frames", ())] for name, each in found.items()},
            model=clip,
            home=home,
            report=report,
        )
        spoken = perception.transcribe(
            {name: each["sound"] for name, each in found.items() if each.get("sound") and not tasks[name]["has_text"]},
            model=whisper,
            home=home,
            report=report,
        )
    rows = [_row(row, found[row["video_id"]], embedded=embedded, spoken=spoken) for row in videos.iter_rows(named=True)]
    table = pl.DataFrame(rows, schema=dict(schemas.VIDEO_FEATURES.columns))
    table.write_parquet(out / "features.parquet")
    programfiles.finish(
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
    """One video's frames, written as JPEG, and the statistics of its sound."""
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
            found["sound"] = str(path)
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
    return {"path": str(path), "time_s": frame.time_s, "sha256": programfiles.sha256(path), "variance": variance}


def _file(task: dict[str, Any], name: str) -> Path:
    if task[name] is None:
        raise NoPicture("missing")
    return below(Path(task["media"]), task[name])


def _task(row: dict[str, Any], *, plan: FramePlan, media: Path) -> dict[str, Any]:
    task = {
        "video": row["video"],
        "audio": row["audio"],
        "media": str(media.resolve()),
        "frames": plan.model_dump(mode="json"),
        "has_text": bool(row["text"].strip()),
    }
    stamps = {}
    for name in ("video", "audio"):
        try:
            stamps[name] = work.stamp(_file(task, name))
        except NoPicture:
            stamps[name] = None
    return {**task, "stamps": stamps}


def _row(
    row: dict[str, Any], found: dict[str, Any], *, embedded: dict[str, list[list[float]]], spoken: dict[str, str]
) -> dict[str, Any]:
    name = row["video_id"]
    has_text = bool(row["text"].strip())
    text = row["text"] if has_text else spoken.get(name, "")
    made = {column: found.get(column) for column in schemas.VIDEO_FEATURES.columns}
    vectors, frames_found = embedded.get(name), found.get("frames", [])
    return made | {
        "video_id": name,
        "frames": [frame["path"] for frame in frames_found],
        "frame_times_s": [frame["time_s"] for frame in frames_found],
        "frame_sha256": [frame["sha256"] for frame in frames_found],
        "frame_variance": [frame["variance"] for frame in frames_found],
        "frame_embeddings": vectors,
        "embedding": perception.pooled(vectors) if vectors else None,
        "transcript": text,
        "transcript_source": "dataset" if has_text else "whisper" if text else "none",
    }


if __name__ == "__main__":
    main()
