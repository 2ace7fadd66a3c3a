"""Items as extractors see them: texts, pictures, frames and sound, or what was recorded elsewhere."""

from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import StudyPlan, looks_at_media, recorded_features
from m2v.entries.datasets import MemeDataset, VideoDataset
from m2v.entries.features import Extractor
from m2v.entries.variants import variant
from m2v.features import recorded, rows
from m2v_assets.describe import ACCELERATOR, TABLE_KINDS, code_version, file_key, fingerprint, key, table_asset
from m2v_assets.texts import items_keys, read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables

CHECK = "modalities_complete"


def features(extractor: Extractor, dataset: MemeDataset | VideoDataset, plan: StudyPlan) -> dg.AssetsDefinition:
    """Return what the extractor sees of the dataset's items, or what was recorded of them."""
    if extractor.is_recorded:
        return _recorded(extractor, dataset, plan)
    of_videos = isinstance(dataset, VideoDataset)
    name, source = variant(extractor.name, dataset.name), plan.source(dataset)
    modalities = extractor.modalities(of_videos=of_videos)
    label = dataset.label if of_videos and "text" in modalities else None
    media = schemas.VIDEO_FEATURES if of_videos else schemas.MEME_IMAGES
    looks = looks_at_media(extractor, dataset)
    identity = extractor.identity

    @table_asset(
        schemas.FEATURES,
        name,
        stage="features",
        of=f"{dataset.title} as {extractor.title} sees it",
        code=code_version("2", *identity.values(), label),
        checks=(CHECK,),
        kinds=frozenset({"pytorch", "huggingface"}),
        tags={"m2v/model": extractor.name},
        pool=ACCELERATOR,
        deps=[*items_keys(dataset, plan.study), *([key(media, variant(dataset.name))] if looks else [])],
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, programs: Programs
    ) -> dg.MaterializeResult:
        """Write a vector for each part of each item."""
        read = read_items(tables, dataset, plan.study)
        seen = tables.read(media, variant(dataset.name)) if looks else pl.DataFrame()
        parts = rows.of_modalities(modalities, items=read, media=seen, label=label)
        wanted = rows.wanted(parts)
        # Wherever they lie, the same things have the same folder.
        out = programs.folder(
            "extract", name, fingerprint(list(identity.values()), wanted.select("modality", "sha256").rows())
        )
        manifest = programs.run(
            context,
            module="m2v.features.program",
            spec={
                "extractor": extractor.model_dump(mode="json"),
                "parts": str(programs.input(wanted, out / "parts.parquet")),
                "media": str(sources.media(dataset, source)) if "sound" in modalities else None,
                "home": programs.home,
            },
            out=out,
            gpus=extractor.gpus,
            spreads=True,
        )
        vectors = rows.joined(parts, pl.read_parquet(out / rows.FILE))
        counts = {count: manifest[count] for count in ("n_parts", "n_computed", "n_known", "n_cut")}
        findings = [rows.finding(vectors, variant=name)]
        return tables.write(vectors, schemas.FEATURES, name, findings=findings, metadata=counts)

    return asset


def _recorded(extractor: Extractor, dataset: MemeDataset | VideoDataset, plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(extractor.name, dataset.name)
    source, about = recorded_features(extractor, dataset, {entry.name: entry for entry in plan.sources})
    items, item_id = (schemas.VIDEOS, "video_id") if isinstance(dataset, VideoDataset) else (schemas.MEMES, "meme_id")

    @table_asset(
        schemas.FEATURES,
        name,
        stage="features",
        of=f"{dataset.title}, recorded elsewhere as {extractor.name}",
        code=code_version("1", about),
        checks=(CHECK,),
        kinds=TABLE_KINDS,
        tags={"m2v/model": extractor.name},
        deps=[key(items, variant(dataset.name)), file_key(source, about.recorded)],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """Write a recorded vector for each item, or a null."""
        read = tables.read(items, variant(dataset.name)).select("split", item_id=item_id)
        vectors = recorded.read(about, Path(sources.find(source)[about.recorded]), items=read)
        return tables.write(vectors, schemas.FEATURES, name, findings=[rows.finding(vectors, variant=name)])

    return asset
