"""What runs call the items that operators make of test videos: by their features, or as new texts and frames."""

from typing import Any

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run, StudyPlan
from m2v.detectors import program
from m2v.entries.operators import Operator
from m2v.entries.variants import variant
from m2v.evaluation import robustness
from m2v.robustness import new_videos, registry
from m2v.robustness import program as operating
from m2v_assets import detectors, made, tasks
from m2v_assets.describe import ACCELERATOR, code_version, fingerprint, key, run_asset
from m2v_assets.texts import read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables

# Raised when what operators on items make of the same videos changes.
ITEMS = "1"


def operated_predictions(run: Run, plan: StudyPlan) -> dg.AssetsDefinition:
    """Return what the run calls the items that the study's operators make of the target's test videos."""
    on_items = _on_items(run, plan)
    on_features = [operator for operator in plan.operators if not registry.makes_items(operator)]
    told = [operator.model_dump(mode="json") for operator in plan.operators]
    reads = plan.ocr.identity if plan.ocr and on_items else None
    looks = [key(schemas.VIDEO_FEATURES, variant(run.target.name))] if _shows(on_items) else []

    @run_asset(
        schemas.OPERATED_PREDICTIONS,
        run,
        stage="evaluation",
        code=code_version(
            "1",
            told,
            tasks.OPERATORS,
            *([ITEMS, reads] if on_items else []),
            model=run.model,
            base_model=run.base,
            prompt=run.prompt,
        ),
        pool=ACCELERATOR if on_items else detectors.pool(run),
        deps=list(dict.fromkeys([*detectors.scored_from(run, plan.study), *looks])),
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, programs: Programs
    ) -> dg.MaterializeResult:
        """One probability per new item."""
        doors = made.Doors(context, tables, sources, programs)
        videos = read_items(tables, run.target, plan.study, run.split).filter(split="test").sort("video_id")
        parts = [_by_features(doors, run, on_features, videos), _by_items(doors, run, plan, on_items, videos)]
        rows = pl.concat([schemas.OPERATED_PREDICTIONS.empty(), *(part for part in parts if part.height)])
        return tables.write(rows.sort(schemas.OPERATED_PREDICTIONS.key), schemas.OPERATED_PREDICTIONS, run.name)

    return asset


def _on_items(run: Run, plan: StudyPlan) -> list[Operator]:
    """Return the operators on items that change what the run sees, if anything new can be shown to it."""
    if made.unseen(run):
        return []
    sees = run.sees(run.target)
    return [operator for operator in plan.operators if registry.makes_items(operator) and operator.modality in sees]


def _shows(operators: list[Operator]) -> bool:
    return any(registry.of(operator).needs_frames for operator in operators)


def _by_features(doors: made.Doors, run: Run, operators: list[Operator], videos: pl.DataFrame) -> pl.DataFrame:
    items = tasks.shown(doors.tables, tasks.items(videos, run.target), run)
    new = tasks.operated(doors.tables, run, items, operators)
    if new.items.is_empty():
        return schemas.OPERATED_PREDICTIONS.empty()
    features = {extractor: {run.target.name: rows} for extractor, rows in new.features.items()}
    out = detectors.scored(
        doors.context,
        doors.tables,
        doors.programs,
        run,
        items=new.items.select(items.columns),
        features=features,
        made_by=[operator.model_dump(mode="json") for operator in operators],
    )
    return _called(doors.tables, run, new.items, pl.read_parquet(out / program.PROBABILITIES))


def _by_items(
    doors: made.Doors, run: Run, plan: StudyPlan, operators: list[Operator], videos: pl.DataFrame
) -> pl.DataFrame:
    if not operators:
        return schemas.OPERATED_PREDICTIONS.empty()
    # A run that looks at nothing but texts is not told of frames, whatever else the study decodes.
    looks = _shows(operators) or run.sees(run.target) != {"text"}
    seen = doors.tables.read(schemas.VIDEO_FEATURES, variant(run.target.name)) if looks else None
    items = new_videos.given(videos, seen)
    ocr = plan.ocr.model_dump(mode="json") if plan.ocr else None
    told: list[dict[str, Any]] = [operator.model_dump(mode="json") for operator in operators]
    content = fingerprint(told, ITEMS, ocr, items.drop("frames").rows())
    out = doors.programs.folder("operate", variant(plan.study.name, run.target.name), content)
    doors.programs.run(
        doors.context,
        module="m2v.robustness.program",
        spec={
            "operators": [
                {**entry, "folder": str(operator.folder)} for entry, operator in zip(told, operators, strict=True)
            ],
            "items": str(doors.programs.input(items, out / "items.parquet")),
            "ocr": ocr,
            "home": doors.programs.home,
        },
        out=out,
    )
    new = pl.read_parquet(out / operating.FILE)
    if new.is_empty():
        return schemas.OPERATED_PREDICTIONS.empty()
    said = made.scored(doors, run, plan, videos=new_videos.as_videos(new), media=new_videos.as_media(new, seen))
    return _called(doors.tables, run, new, said)


def _called(tables: Tables, run: Run, new: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    threshold = tables.read(schemas.CHECKPOINTS, run.name)["threshold"].item()
    return robustness.thresholded(new, probabilities=said, threshold=threshold)
