"""What a run's detector says of items that were made to test it, and that no dataset has."""

from dataclasses import dataclass
from typing import cast

import dagster as dg
import polars as pl

from m2v.catalog.plan import Run, StudyPlan
from m2v.detectors import program
from m2v.entries.features import Extractor
from m2v.entries.pretrained import Vlm
from m2v.features import rows
from m2v.prediction import demonstrations
from m2v_assets import detectors, tasks
from m2v_assets.describe import fingerprint
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables


@dataclass(frozen=True)
class Doors:
    """What an asset works with."""

    context: dg.AssetExecutionContext
    tables: Tables
    sources: Sources
    programs: Programs


def unseen(run: Run) -> str | None:
    """Return why nothing new can be shown to a run's detector; None where it can."""
    recorded = [extractor.name for extractor in run.inputs.extractors if extractor.is_recorded]
    if recorded:
        return f"it looks at {', '.join(recorded)}, recorded elsewhere, which nobody here can compute for new items"
    return None


def scored(
    doors: Doors, run: Run, plan: StudyPlan, *, videos: pl.DataFrame, media: pl.DataFrame | None
) -> pl.DataFrame:
    """Return the run's probability of each item, columns ``item_id`` and ``probability``, sorted by the first.

    Args:
        videos: Rows of ``videos``, whose ids are those of made items.
        media: Rows of ``video_features``: what they show; None: they are texts only.
    """
    items = tasks.items(videos, run.target)
    if run.inputs.shows_media:
        named = items.rename({"item_id": "video_id"})
        seen = demonstrations.of_videos(named, media, model=cast(Vlm, run.base)).drop("item_id")
        items = pl.concat([items.drop("text"), seen], how="horizontal")
    features = {
        extractor.name: {run.target.name: _features(doors, extractor, run, plan, videos=videos, media=media)}
        for extractor in run.inputs.extractors
    }
    looked_at = [extractor.identity for extractor in run.inputs.extractors]
    shown = videos.drop("text").rows() + (media.drop("frames").rows() if media is not None else [])
    made_by = [{"extractors": looked_at, "shown": fingerprint(shown)}]
    out = detectors.scored(
        doors.context, doors.tables, doors.programs, run, items=items, features=features, made_by=made_by
    )
    return pl.read_parquet(out / program.PROBABILITIES).sort("item_id")


def _features(
    doors: Doors,
    extractor: Extractor,
    run: Run,
    plan: StudyPlan,
    *,
    videos: pl.DataFrame,
    media: pl.DataFrame | None,
) -> pl.DataFrame:
    """Return the extractor's rows of ``features`` of made items; what it saw before is not looked at again."""
    modalities = [name for name in extractor.modalities(of_videos=True) if name == "text" or media is not None]
    shown = media if media is not None else pl.DataFrame()
    parts = rows.of_modalities(modalities, items=videos, media=shown, label=None)
    wanted = rows.wanted(parts)
    seen = [list(extractor.identity.values()), wanted.select("modality", "sha256").rows()]
    out = doors.programs.folder("extract", f"{extractor.name}_made_{run.target.name}", fingerprint(*seen))
    place = doors.sources.media(run.target, plan.source(run.target)) if "sound" in modalities else None
    doors.programs.run(
        doors.context,
        module="m2v.features.program",
        spec={
            "extractor": extractor.model_dump(mode="json"),
            "parts": str(doors.programs.input(wanted, out / "parts.parquet")),
            "media": str(place) if place else None,
            "home": doors.programs.home,
        },
        out=out,
        gpus=extractor.gpus,
        spreads=True,
    )
    return rows.joined(parts, pl.read_parquet(out / rows.FILE))
