"""Items' texts as models read them: the dataset's, or where it has none what was read in a picture or heard."""

from typing import TypeAlias

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.datasets import splits
from m2v.entries.datasets import MemeDataset, VideoDataset
from m2v.entries.study import Study
from m2v.entries.variants import OWN_SPLIT, TargetSplit, variant
from m2v.media import texts as reading
from m2v_assets.describe import ACCELERATOR, code_version, fingerprint, key, table_asset
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables

Dataset: TypeAlias = MemeDataset | VideoDataset
CHECKS = ("texts_known",)


def texts(dataset: Dataset, plan: StudyPlan) -> dg.AssetsDefinition:
    """Return the texts of the items of a dataset, some of which may have none of their own."""
    return _heard(dataset) if isinstance(dataset, VideoDataset) else _read_in_pictures(dataset, plan)


def _read_in_pictures(dataset: MemeDataset, plan: StudyPlan) -> dg.AssetsDefinition:
    name, ocr = variant(dataset.name), plan.ocr
    assert ocr  # else there is no such asset

    @table_asset(
        schemas.ITEM_TEXTS,
        name,
        stage="media",
        of=f"{dataset.title}, read by {ocr.title}",
        code=code_version("1", ocr),
        checks=CHECKS,
        pool=ACCELERATOR,
        deps=[key(schemas.MEMES, name), key(schemas.MEME_IMAGES, name)],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """Write memes' texts, those of pictures among them whose dataset brings none."""
        memes, images = tables.read(schemas.MEMES, name), tables.read(schemas.MEME_IMAGES, name)
        wanted = reading.unread(memes, images)
        out = programs.folder("readings", name, fingerprint(ocr, wanted["pixels_sha256"].to_list()))
        manifest = programs.run(
            context,
            module="m2v.media.readings",
            spec={
                "pictures": str(programs.input(wanted, out / "pictures.parquet")),
                "ocr": ocr.model_dump(mode="json"),
                "home": programs.home,
            },
            out=out,
        )
        readings = pl.read_parquet(out / reading.FILE)
        rows = reading.of_memes(memes, images, readings, min_confidence=ocr.min_confidence)
        counts = {count: manifest[count] for count in ("n_pictures", "n_with_text")}
        findings = [reading.finding(rows, variant=name)]
        return tables.write(rows, schemas.ITEM_TEXTS, name, findings=findings, metadata=counts)

    return asset


def _heard(dataset: VideoDataset) -> dg.AssetsDefinition:
    name = variant(dataset.name)

    @table_asset(
        schemas.ITEM_TEXTS,
        name,
        stage="media",
        of=dataset.title,
        code="1",
        checks=CHECKS,
        deps=[key(schemas.VIDEOS, name), key(schemas.VIDEO_FEATURES, name)],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Write videos' texts, those among them that were heard because their dataset brings none."""
        rows = reading.of_videos(tables.read(schemas.VIDEOS, name), tables.read(schemas.VIDEO_FEATURES, name))
        return tables.write(rows, schemas.ITEM_TEXTS, name, findings=[reading.finding(rows, variant=name)])

    return asset


def items_keys(dataset: Dataset, study: Study, split: TargetSplit = OWN_SPLIT) -> list[dg.AssetKey]:
    """Return the tables that say what models read of a dataset's items, and in which part of the split they stand."""
    name = variant(dataset.name)
    items = videos_keys(dataset, split) if isinstance(dataset, VideoDataset) else [key(schemas.MEMES, name)]
    return [*items, *([key(schemas.ITEM_TEXTS, name)] if _has_texts(dataset, study) else [])]


def videos_keys(target: VideoDataset, split: TargetSplit) -> list[dg.AssetKey]:
    """Return the tables that say which videos of the target stand in which part of the split."""
    divided = [key(schemas.ITEM_SPLITS, variant(target.name, *split.names))] if split.names else []
    return [key(schemas.VIDEOS, variant(target.name)), *divided]


def read_items(tables: Tables, dataset: Dataset, study: Study, split: TargetSplit = OWN_SPLIT) -> pl.DataFrame:
    """Return rows of ``memes`` or ``videos`` as models read them, in a split."""
    name = variant(dataset.name)
    rows = tables.read(schemas.VIDEOS if isinstance(dataset, VideoDataset) else schemas.MEMES, name)
    if _has_texts(dataset, study):
        rows = reading.put_in(rows, tables.read(schemas.ITEM_TEXTS, name))
    return _divided(tables, rows, dataset, split)


def read_videos(tables: Tables, target: VideoDataset, split: TargetSplit) -> pl.DataFrame:
    """Return rows of ``videos`` as their dataset has them, in a split."""
    return _divided(tables, tables.read(schemas.VIDEOS, variant(target.name)), target, split)


def _divided(tables: Tables, rows: pl.DataFrame, dataset: Dataset, split: TargetSplit) -> pl.DataFrame:
    if not split.names:
        return rows
    return splits.applied(rows, tables.read(schemas.ITEM_SPLITS, variant(dataset.name, *split.names)))


def _has_texts(dataset: Dataset, study: Study) -> bool:
    return bool(study.whisper if isinstance(dataset, VideoDataset) else study.ocr)
