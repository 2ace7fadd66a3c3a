"""What a study's assets wait for that this machine does not have: media, weights, an accelerator."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.datasets import mediapaths, sources
from m2v.entries.datasets import MemeDataset
from m2v.entries.variants import variant
from m2v.errors import MissingSource
from m2v.models import snapshots
from m2v_resources.launching import accelerators
from m2v_resources.store.versions import open_store

# Above this a model is of no use on a CPU.
CPU_GIB = 4.0


def missing(plan: StudyPlan, *, home: Path) -> dict[str, list[str]]:
    """Return the assets that wait for something, by what is missing and how to get it."""
    waiting: dict[str, list[str]] = {}
    for asset, problem in _missing(plan, home=home):
        waiting.setdefault(problem, []).append(asset)
    return waiting


def lost(plan: StudyPlan, *, home: Path) -> list[str]:
    """Return a line for each dataset of whose pictures or videos some could not be used, out of its latest version."""
    store, lines = open_store(home), []
    for dataset in (*plan.memes, *plan.targets) if plan.shows_pictures else ():
        table, what = (
            (schemas.MEME_IMAGES, "pictures")
            if isinstance(dataset, MemeDataset)
            else (schemas.VIDEO_FEATURES, "videos")
        )
        if not store.latest(table.name, variant(dataset.name)):
            continue
        rows = store.scan(table.name, variant(dataset.name)).select("problem").collect()
        if reasons := mediapaths.lost(rows):
            counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
            n_lost = sum(reasons.values())
            lines.append(f"{n_lost:,} of {rows.height:,} {what} of {dataset.name} cannot be used: {counts}.")
    return lines


def _missing(plan: StudyPlan, *, home: Path) -> Iterator[tuple[str, str]]:
    for dataset in (*plan.memes, *plan.targets) if plan.shows_pictures else ():
        table = schemas.MEME_IMAGES if isinstance(dataset, MemeDataset) else schemas.VIDEO_FEATURES
        try:
            sources.media(dataset, plan.source(dataset), home=home)
        except MissingSource as error:
            yield f"{table.name}/{variant(dataset.name)}", str(error)
    models = list(_models(plan))
    gpu_gib = max(accelerators.memories_gib(), default=0.0) if models else 0.0
    for asset, model, wanted in models:
        if how := snapshots.missing(model):
            yield asset, how
        if wanted > max(gpu_gib, CPU_GIB):
            has = f"its largest GPU has {gpu_gib:.0f} GB" if gpu_gib else "it has no NVIDIA GPU"
            yield (
                asset,
                f"{model.name}'s weights alone take {wanted:.0f} GB of an accelerator here; this machine: {has}.",
            )


def _models(plan: StudyPlan) -> Iterator[tuple[str, Any, float]]:
    """Every asset that loads a model, the model, and about how many GiB its weights take there."""
    if plan.asking and not plan.asking.plan.server:
        for alignment in plan.alignments:
            yield f"predictions/{alignment.name}", plan.asking.model, plan.asking.model.loaded_gib
    if (whisper := plan.whisper) and whisper.is_downloaded:
        yield from ((f"video_features/{variant(target.name)}", whisper, whisper.loaded_gib) for target in plan.targets)
    for extractor, dataset in plan.extractions:
        if extractor.is_downloaded:
            yield f"features/{variant(extractor.name, dataset.name)}", extractor, extractor.loaded_gib
    for run in plan.runs:
        if run.base and run.base.is_downloaded:
            yield f"checkpoints/{run.name}", run.base, run.model.memory_gib(run.base)
