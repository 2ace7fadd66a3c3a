"""Program: frames of videos, the files of their sound, and where a model is named, what is said in them.

The spec says ``videos`` (parquet with ``video_id``, ``video``, ``audio`` and ``text``), ``media`` (the folder that
they lie below), ``frames`` (a frame plan), ``home`` (the platform's), ``whisper`` (a catalog entry, or null) and
``version`` (which, when it changes, has known results recomputed). The folder gets
``videos.parquet``: rows of ``video_features``, their paths relative to the home.

Each video is a task of its own: a program that was killed goes on, and one that cannot be decoded is a row with a
reason.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.entries.study import FramePlan
from m2v.files import storage
from m2v.files.digests import file_sha256
from m2v.media import audio, frames, speech
from m2v.media.images import NoPicture, below
from m2v.media.stamps import Stamps, stamps_below
from m2v.programs import contract, progress, workers

PLACE = "media/videos"


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    plan, media, home = FramePlan.model_validate(spec["frames"]), storage.given(spec["media"]), Path(spec["home"])
    whisper = speech.listener(spec["whisper"]) if spec["whisper"] else None
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
        results = workers.results(tasks, decoded, folder=storage.place(home, PLACE), report=report, unit="videos")
        for name, result in results.items():
            # Results of earlier code name the file only.
            if result.get("sound") in tasks[name] and "sound_sha256" not in result:
                result["sound_sha256"] = file_sha256(_file(tasks[name], result["sound"]))
        spoken: dict[str, speech.Heard] = {}
        if whisper:
            silent = {name: results[name] for name, task in tasks.items() if not task["has_text"]}
            sounds = {
                name: (result["sound_sha256"], _file(tasks[name], result["sound"]))
                for name, result in silent.items()
                if "sound" in result
            }
            heard = speech.transcribe(dict(sounds.values()), model=whisper, home=home, report=report)
            spoken = {name: heard[digest] for name, (digest, _) in sounds.items()}
    rows = [_row(row, results[name], place=places[name], heard=spoken.get(name)) for name, row in videos.items()]
    table = pl.DataFrame(rows, schema=dict(schemas.VIDEO_FEATURES.columns))
    table.write_parquet(out / "videos.parquet")
    contract.finish(
        out,
        files=["videos.parquet"],
        packages=["av", "pillow"],
        program="m2v.media.videos",
        n_videos=table.height,
        n_unusable=table["problem"].is_not_null().sum(),
        n_silent=table["audio_problem"].is_not_null().sum(),
        seconds=time.monotonic() - began,
    )


def decoded(task: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return one video's frames, written as JPEG into the task's folder, and which of its files holds its sound."""
    result: dict[str, Any] = {}
    plan = FramePlan.model_validate(task["frames"])
    try:
        path = _file(task, "video")
        info = frames.probe(path)
        result |= {"duration_s": info.duration_s, "width": info.width, "height": info.height}
        chosen = frames.sample(path, plan.n, rule=plan.rule, side=plan.side, variance=plan.variance)
    except (NoPicture, frames.NoFrames) as error:
        result["problem"] = error.reason
    else:
        result["frames"] = [_saved(frame, place) for frame in chosen]
    for name in ("audio", "video") if task["audio"] else ("video",):
        try:
            path = _file(task, name)
            duration_s = audio.duration_s(path)
        except (NoPicture, audio.NoSound) as error:
            # Of the two reasons the first one counts: where a file of its own is named, that is the sound.
            result.setdefault("audio_problem", error.reason)
        else:
            result |= {"sound": name, "sound_sha256": file_sha256(path)}
            result.setdefault("duration_s", duration_s)
            result.pop("audio_problem", None)
            break
    return result


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


def _row(row: dict[str, Any], result: dict[str, Any], *, place: str, heard: speech.Heard | None) -> dict[str, Any]:
    has_text = bool(row["text"].strip())
    text = row["text"] if has_text else heard.transcript if heard else ""
    made = {column: result.get(column) for column in schemas.VIDEO_FEATURES.columns}
    frames_found = result.get("frames", [])
    return made | {
        "video_id": row["video_id"],
        "frames": [f"{place}/{frame['file']}" for frame in frames_found],
        "frame_times_s": [frame["time_s"] for frame in frames_found],
        "frame_sha256": [frame["sha256"] for frame in frames_found],
        "frame_variance": [frame["variance"] for frame in frames_found],
        "sound": row[result["sound"]] if result.get("sound") in row else None,
        "transcript": text,
        "transcript_source": "dataset" if has_text else "whisper" if text else "none",
        "voice_s": heard.voice_s if heard else None,
    }


if __name__ == "__main__":
    main()
