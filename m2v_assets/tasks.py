"""What a detector's program is given: its entries, its items with what it sees of them, and what tells them apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.detectors.family import Task
from m2v.entries.datasets import MemeDataset, VideoDataset
from m2v.entries.features import Extractor
from m2v.entries.operators import Operator
from m2v.entries.pretrained import Vlm
from m2v.entries.variants import variant
from m2v.robustness import mixing
from m2v.robustness.mixing import Features
from m2v.robustness.operated import Operated
from m2v_assets import vlm_requests
from m2v_assets.describe import fingerprint, key
from m2v_assets.texts import read_videos
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables

Dataset: TypeAlias = MemeDataset | VideoDataset
# Raised when an operator gives another item for the same one.
OPERATORS = "1"


def task(
    tables: Tables,
    programs: Programs,
    run: Run,
    datasets: Sequence[Dataset],
    *,
    out: Path,
    features: Features | None = None,
) -> Task:
    """Return what every action of the run is given.

    Args:
        features: Of items that no table holds, which are written into the folder; None takes the tables' own.
    """
    return Task(
        model=run.model,
        base=run.base,
        prompt=run.prompt,
        label=run.target.label,
        home=Path(programs.home),
        seed=run.seed,
        demonstrations=_demonstrated(tables, programs, run, out=out),
        features=_paths(tables, run, datasets) if features is None else _written(programs, features, out),
    )


def _paths(tables: Tables, run: Run, datasets: Sequence[Dataset]) -> dict[str, dict[str, Path]]:
    return {
        extractor.name: {
            dataset.name: tables.path(schemas.FEATURES, _variant(extractor, dataset)) for dataset in datasets
        }
        for extractor in run.inputs.extractors
    }


def _written(programs: Programs, features: Features, out: Path) -> dict[str, dict[str, Path]]:
    return {
        extractor: {
            dataset: programs.input(rows, out / "features" / f"{variant(extractor, dataset)}.parquet")
            for dataset, rows in by_dataset.items()
        }
        for extractor, by_dataset in features.items()
    }


def features(tables: Tables, run: Run, datasets: Sequence[Dataset]) -> dict[str, dict[str, pl.DataFrame]]:
    """Return the rows of ``features`` of the datasets' items that the run sees, by extractor and dataset."""
    return {
        extractor: {dataset: pl.read_parquet(path) for dataset, path in by_dataset.items()}
        for extractor, by_dataset in _paths(tables, run, datasets).items()
    }


def trained_with(run: Run) -> dict[str, Any]:
    """Return what decides which items are added to those that the run trains on; nothing where none are."""
    if run.augmentation is None:
        return {}
    operators = [operator.model_dump(mode="json") for operator in run.augmentation.operators]
    return {"augment": {"operators": operators, "share": run.augmentation.share, "code": OPERATORS}}


def operated(tables: Tables, run: Run, items: pl.DataFrame, operators: Sequence[Operator]) -> Operated:
    """Return what operators make of the target's items, those whose modality the run sees."""
    seen = [operator for operator in operators if operator.modality in run.sees(run.target)]
    return mixing.every(seen, items, features=features(tables, run, [run.target]))


def augmented(tables: Tables, run: Run, rows: pl.DataFrame) -> tuple[pl.DataFrame, Features]:
    """Return a training set with operated items after its own, and the features of all of them."""
    assert run.augmentation
    given = run.augmentation
    return mixing.added(
        given.operators,
        rows,
        share=given.share,
        features=features(tables, run, run.datasets),
        seed=run.seed,
    )


def seen(run: Run, datasets: Sequence[Dataset]) -> list[dg.AssetKey]:
    """Return the tables with what the run sees of the datasets' items besides their texts."""
    media = [
        schemas.VIDEO_FEATURES if isinstance(dataset, VideoDataset) else schemas.MEME_IMAGES for dataset in datasets
    ]
    return [
        *(
            key(schemas.FEATURES, _variant(extractor, dataset))
            for extractor in run.inputs.extractors
            for dataset in datasets
        ),
        *(
            key(table, variant(dataset.name))
            for table, dataset in zip(media, datasets, strict=True)
            if run.inputs.shows_media
        ),
        *([key(schemas.DEMONSTRATIONS, run.demonstrations)] if run.demonstrations else []),
    ]


def read(tables: Tables, run: Run, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Return the rows hash of each table that a program reads beside the items."""
    features = {
        _variant(extractor, dataset): tables.version(schemas.FEATURES, _variant(extractor, dataset)).rows_hash
        for extractor in run.inputs.extractors
        for dataset in datasets
    }
    shown = tables.version(schemas.DEMONSTRATIONS, run.demonstrations).rows_hash if run.demonstrations else None
    return {"features": features, "demonstrations": shown}


def _variant(extractor: Extractor, dataset: Dataset) -> str:
    return variant(extractor.name, dataset.name)


def entries(run: Run) -> dict[str, Any]:
    """Return what the catalog says of the run, in plain data."""
    entries = {"model": run.model, "base": run.base, "prompt": run.prompt}
    words = {"label": run.target.label.model_dump(mode="json")} if run.prompt else {}
    return {name: entry.model_dump(mode="json") if entry else None for name, entry in entries.items()} | words


def words(run: Run) -> dict[str, object]:
    """Return what else decides a training of a model that is asked: the target's words."""
    return {"policy": run.target.label} if run.prompt else {}


def items(videos: pl.DataFrame, target: VideoDataset) -> pl.DataFrame:
    """Return videos as programs know items."""
    named = [pl.lit(target.name).alias("dataset"), pl.col("video_id").alias("item_id")]
    return videos.select(*named, "split", "text", "text_sha256", "label")


def shown(tables: Tables, rows: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Return items with their pictures and frames, where the run looks at them."""
    return vlm_requests.shown(tables, rows, run) if run.inputs.shows_media else rows


def trains_on(tables: Tables, programs: Programs, run: Run, rows: pl.DataFrame | None, *, path: Path) -> str | None:
    """Return the table's own file, of which no second copy is made, or where pictures are shown one with them."""
    if run.is_trained and rows is None:
        return str(tables.path(schemas.TRAINING_EXAMPLES, run.training_set.name))
    return written(programs, rows, path)


def identity(rows: pl.DataFrame | None) -> str | None:
    """Return a hash of items as programs see them, wherever their pictures lie."""
    return fingerprint(rows.drop("pictures", strict=False).rows()) if rows is not None else None


def written(programs: Programs, rows: pl.DataFrame | None, path: Path) -> str | None:
    """Return the file that a program reads rows from; their pictures' paths are absolute there."""
    if rows is None:
        return None
    shown = vlm_requests.at_home(rows, Path(programs.home)) if "pictures" in rows.columns else rows
    return str(programs.input(shown, path))


def _demonstrated(tables: Tables, programs: Programs, run: Run, *, out: Path) -> Path | None:
    """Return the demonstrations that an untrained model is shown, where it is."""
    if not run.demonstrations:
        return None
    # Only models that are asked are shown demonstrations.
    model = cast(Vlm, run.base)
    videos = read_videos(tables, run.target, run.split)
    rows = vlm_requests.demonstrated(tables, run.demonstrations, variant(run.target.name), videos=videos, model=model)
    return programs.input(vlm_requests.at_home(rows, Path(programs.home)), out / "demonstrations.parquet")
