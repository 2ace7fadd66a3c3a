"""What grows by the item, the file and the version: rates for docs/scale.md. Run by ``scale.py``."""

import hashlib
import multiprocessing
import time
from pathlib import Path
from typing import Any

import polars as pl
import scale_votes
from frames import film

from figure import peak_mib
from m2v import catalog, schemas
from m2v.annotation import routing, voting
from m2v.entries.study import FramePlan, VoteRule
from m2v.files import row_cache
from m2v.media import videos
from m2v.prediction import predict, prompts
from m2v.programs import workers
from m2v.programs.progress import Quiet, Report
from m2v_assets.media import media_version
from m2v_resources.store.versions import TableStore

WHATS = (
    "answers_kept",
    "items_asked",
    "files_walked",
    "results_known",
    "versions_written",
    "video_decoded",
    "voted_whole",
)
N_REQUESTS, N_ITEMS, N_FILES, N_TASKS, N_VERSIONS = 1_000_000, 100_000, 50_000, 10_000, 1_000


def measured(what: str, folder: Path) -> dict[str, Any]:
    """Seconds of what is prepared by the function of that name, and how much memory this process grew by at most."""
    call = globals()[what](folder)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # what preparing took is not counted
    before, began = peak_mib(), time.perf_counter()
    counts = call() or {}
    return {"seconds": time.perf_counter() - began, "grown_mib": peak_mib() - before, **counts}


def answers_kept(folder: Path):
    """A million kept answers of a model, read as every asking does first."""
    for start in range(0, N_REQUESTS, N_REQUESTS // 10):
        numbers = pl.int_range(start, start + N_REQUESTS // 10, eager=True)
        digests = pl.Series([hashlib.sha256(str(number).encode()).hexdigest() for number in numbers])
        rows = pl.DataFrame({"request_sha256": digests, "probability": numbers / N_REQUESTS})
        row_cache.append(folder, rows.with_columns(outcome=pl.lit("answered")), predict.ANSWERS)
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())

    def call() -> dict[str, Any]:
        assert len(row_cache.known(folder, predict.ANSWERS)) == N_REQUESTS
        return {"bytes": n_bytes}

    return call


def items_asked(folder: Path):
    """A hundred thousand memes with eight demonstrations, each given the hash of its request."""
    plan = catalog.open_study("sample")
    assert plan.asking
    task = predict.PredictionTask(
        model=plan.asking.model, prompt=plan.asking.prompt, label=plan.targets[0].label, mode="score",
        home=folder,
    )  # fmt: skip
    shown = [prompts.Demonstration(_shown(number), number % 2 > 0) for number in range(8)]

    def call() -> None:
        items = {f"{number:016}": _shown(number) for number in range(N_ITEMS)}
        assert len(predict.requested(items, task=task, demonstrations=shown, adapter=None)) == N_ITEMS

    return call


def _shown(number: int) -> prompts.Shown:
    place = f"{number:064}"
    return prompts.Shown(
        text=f"a text of the usual length, about leek number {number}", pictures=(f"media/pictures/{place}.png",),
        pictures_sha256=(place,), media="image", description=None,
    )  # fmt: skip


def files_walked(folder: Path):
    """Fifty thousand source files, looked at as every run does first."""
    for number in range(N_FILES):
        place = folder / f"{number // 1000:03}"
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").touch()
    return lambda: media_version(folder) and None


def results_known(folder: Path):
    """Ten thousand videos' results of an earlier run, looked up."""
    tasks = {str(number): {"video": f"{number}.mp4", "stamps": [number, number]} for number in range(N_TASKS)}
    for task in tasks.values():
        workers._worked(_found, task, folder / workers.key(task))
    return lambda: workers.results(tasks, _found, folder=folder, report=Report(Quiet()), unit="videos") and None


def _found(task: dict[str, Any], _: Path) -> dict[str, Any]:
    frames = [{"file": f"{n:09d}.jpg", "time_s": n, "sha256": "0" * 64, "variance": 0.5} for n in range(16)]
    return {"frames": frames, "video": task["video"]}


def video_decoded(folder: Path):
    """Sixteen frames of a video of 144 s, which HateMM's have on average, in 720p."""
    film(folder / "film.mp4", gop=250, seconds=144, size=(1280, 720))
    plan = FramePlan().model_dump(mode="json")
    task = {"video": "film.mp4", "audio": None, "media": str(folder), "frames": plan}
    place = folder / "frames"
    place.mkdir()

    def call() -> dict[str, Any]:
        assert "problem" not in videos.decoded(task, place)
        return {"files": len(list(place.iterdir()))}

    return call


def versions_written(folder: Path):
    """A thousand versions of a small table, one after the other."""
    store = TableStore(folder / "tables")
    row = {"meme_id": "leek", "annotator": "a", "round": "r", "reason": "unstated", "skipped_at": None}

    def call() -> dict[str, Any]:
        for number in range(N_VERSIONS):
            rows = pl.DataFrame([row], schema=dict(schemas.SKIPS.columns))
            stamp = pl.lit(number).cast(schemas.SKIPS.columns["skipped_at"])
            store.write(rows.with_columns(skipped_at=stamp), schemas.SKIPS, "carrots")
        return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}

    return call


def voted_whole(folder: Path):
    """What the asset of final labels does, over a million memes: conflicts, votes and checks of whole tables."""
    # In another process: what ours had held it would use again, uncounted.
    preparing = multiprocessing.get_context("spawn").Process(target=_write_alignment, args=(folder,))
    preparing.start()
    preparing.join()

    def call() -> None:
        rows, given = (pl.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "answers"))
        conflicts = routing.conflicts(rows, audit_share=0.02, seed=0)
        votes = voting.final_labels(rows, given, rule=VoteRule(min_answers=1))
        voting.voting_findings(votes, rows, given, variant="carrots", published=None)
        routing.agreed_error(conflicts, given, variant="carrots")

    return call


def _write_alignment(folder: Path) -> None:
    predictions, answers = scale_votes.alignment(0)
    digests = pl.Series([hashlib.sha256(meme_id.encode()).hexdigest() for meme_id in predictions["meme_id"]])
    answered = predictions.with_columns(
        probability=pl.lit(0.5), model=pl.lit("llama-3.2-11b-vision"), request_sha256=digests
    )
    answered.write_parquet(folder / "predictions.parquet")
    answers.write_parquet(folder / "answers.parquet")
