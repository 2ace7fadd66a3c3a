"""Memes' pictures, and videos' frames and sound: decoded once."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.datasets import integrity, layouts, mediapaths
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.variants import variant
from m2v.files import storage
from m2v.files.digests import data_sha256
from m2v_assets.describe import ACCELERATOR, OWNERS, code_version, fingerprint, key, observed, table_asset, tags_of
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables

# Raised when what the programs find in the same files changes.
PICTURES, VIDEOS = "3", "3"
# Raised when the table changes but what is found in the files does not.
VIDEOS_TABLE = "5"


def files(dataset: MemeDataset | VideoDataset, source: Source) -> dg.AssetsDefinition:
    """Return the dataset's pictures or videos, which nobody here makes; a version is names, sizes and times."""
    about = dg.AssetSpec(
        media_key(dataset),
        group_name="media",
        description=f"Pictures or videos of {dataset.title}. Licence: {source.licence.name}.",
        owners=OWNERS,
        kinds={"file"},
        tags=tags_of("media", "files"),
    )

    @observed(f"files__{variant(dataset.name)}_media", [about])
    def asset(sources: Sources) -> Iterator[dg.ObserveResult]:
        version = media_version(sources.media(dataset, source))
        yield dg.ObserveResult(asset_key=about.key, data_version=dg.DataVersion(version))

    return asset


def media_key(dataset: MemeDataset | VideoDataset) -> dg.AssetKey:
    """For example ``files/fhm_media``."""
    return key("files", variant(dataset.name, "media"))


def media_version(folder: storage.Place) -> str:
    """Return what changes when a file below the media's place does: names, sizes, times of change, of nothing hidden.

    Of objects their tags stand for the times.
    """
    facts_by_name = [[name, *facts] for name, facts in storage.files(folder).items()] if isinstance(folder, str) else []
    for place, folders, names in os.walk(folder) if isinstance(folder, Path) else ():
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place, name)
            with suppress(OSError):
                about = path.stat()
                facts_by_name.append([str(path.relative_to(folder)), about.st_size, about.st_mtime_ns])
    return data_sha256(facts_by_name)


def meme_images(dataset: MemeDataset, plan: StudyPlan) -> dg.AssetsDefinition:
    name, source, share = variant(dataset.name), plan.source(dataset), plan.study.usable_media_share

    @table_asset(
        schemas.MEME_IMAGES,
        name,
        stage="media",
        of=dataset.title,
        code=code_version(PICTURES, layouts.places(dataset), mediapaths.VERSION, share),
        checks=("pictures_usable", "pictures_whole", "pictures_unique"),
        deps=[key(schemas.MEMES, name), media_key(dataset)],
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, programs: Programs
    ) -> dg.MaterializeResult:
        """Memes' pictures, decoded once: upright, RGB, known by hashes."""
        folder = sources.media(dataset, source)
        listing = mediapaths.Listing(folder)
        memes = mediapaths.resolved(
            tables.read(schemas.MEMES, name), dataset, listing, item_id="meme_id", media="image"
        ).select("meme_id", "image", "split")
        stamped = media_version(folder)
        out = programs.folder("pictures", name, fingerprint(memes.rows(), stamped, PICTURES))
        programs.run(
            context,
            module="m2v.media.pictures",
            spec={
                "memes": str(programs.input(memes.select("meme_id", "image"), out / "memes.parquet")),
                "media": str(folder),
                "home": programs.home,
                "version": PICTURES,
            },
            out=out,
        )
        rows = pl.read_parquet(out / "pictures.parquet")
        mediapaths.check_usable(
            rows, title=dataset.title, what="pictures", names=memes["image"], listing=listing, share=share
        )
        findings = integrity.picture_findings(rows, memes, variant=name)
        return tables.write(rows, schemas.MEME_IMAGES, name, findings=findings)

    return asset


def video_features(dataset: VideoDataset, plan: StudyPlan) -> dg.AssetsDefinition:
    name, source, frames = variant(dataset.name), plan.source(dataset), plan.study.frames
    share = plan.study.usable_media_share
    whisper = plan.whisper
    identity = whisper.identity if whisper else None

    @table_asset(
        schemas.VIDEO_FEATURES,
        name,
        stage="media",
        of=f"{dataset.title}{f', heard by {whisper.title}' if whisper else ''}",
        code=code_version(VIDEOS_TABLE, frames, identity, layouts.places(dataset), mediapaths.VERSION, share),
        checks=("videos_usable",),
        pool=ACCELERATOR if whisper else None,
        deps=[key(schemas.VIDEOS, name), media_key(dataset)],
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, programs: Programs
    ) -> dg.MaterializeResult:
        """Videos' frames at chosen times, the files of their sound, and what is said in them."""
        folder = sources.media(dataset, source)
        listing = mediapaths.Listing(folder)
        videos = tables.read(schemas.VIDEOS, name)
        for medium in ("video", "audio"):
            videos = mediapaths.resolved(videos, dataset, listing, item_id="video_id", media=medium)
        videos = videos.select("video_id", "video", "audio", "text")
        stamped = media_version(folder)
        out = programs.folder("videos", name, fingerprint(videos.rows(), stamped, frames, identity, VIDEOS))
        manifest = programs.run(
            context,
            module="m2v.media.videos",
            spec={
                "videos": str(programs.input(videos, out / "videos.parquet")),
                "media": str(folder),
                "frames": frames.model_dump(mode="json"),
                "home": programs.home,
                "version": VIDEOS,
                "whisper": whisper.model_dump(mode="json") if whisper else None,
            },
            out=out,
            gpus=whisper.gpus if whisper else 0,
        )
        rows = pl.read_parquet(out / "videos.parquet")
        mediapaths.check_usable(
            rows, title=dataset.title, what="videos", names=videos["video"], listing=listing, share=share
        )
        findings = integrity.feature_findings(rows, variant=name)
        counts = {count: manifest[count] for count in ("n_videos", "n_unusable", "n_silent")}
        return tables.write(rows, schemas.VIDEO_FEATURES, name, findings=findings, metadata=counts)

    return asset
