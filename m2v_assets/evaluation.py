"""How well each run does on its target's test split, how strategies compare, and the report."""

import base64
from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run, StudyPlan
from m2v.detectors.probe import regression
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.pretrained import Vlm
from m2v.entries.variants import variant
from m2v.evaluation import comparisons as comparing
from m2v.evaluation import forest, scores
from m2v.media import texts
from m2v_assets import training, vlm_requests
from m2v_assets.describe import ACCELERATOR, code_version, fingerprint, key, table_asset
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables


def test_predictions(run: Run) -> dg.AssetsDefinition:
    """The run's probabilities; the kind of model decides how they are computed."""
    if isinstance(run.model, VlmLora):
        return vlm_test_predictions(run)
    return lora_test_predictions(run) if isinstance(run.model, Lora) else probe_test_predictions(run)


def probe_test_predictions(run: Run) -> dg.AssetsDefinition:
    target = variant(run.target.name)
    features = variant(run.base.name, run.target.name)

    @_run_asset(
        schemas.TEST_PREDICTIONS,
        run,
        deps=[key(schemas.VIDEOS, target), key(schemas.TEXT_FEATURES, features), key(schemas.CHECKPOINTS, run.name)],
    )
    def asset(tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One probability per test video."""
        videos = tables.read(schemas.VIDEOS, target).filter(split="test").sort("video_id")
        checkpoint = tables.read(schemas.CHECKPOINTS, run.name).row(0, named=True)
        head = regression.load(Path(programs.home) / checkpoint["folder"])
        matrix = texts.matrix(videos, features=tables.read(schemas.TEXT_FEATURES, features))
        rows = videos.select("video_id", "label", probability=pl.Series(head.probabilities(matrix), dtype=pl.Float64))
        return tables.write(rows, schemas.TEST_PREDICTIONS, run.name)

    return asset


def lora_test_predictions(run: Run) -> dg.AssetsDefinition:
    target = variant(run.target.name)

    @_run_asset(
        schemas.TEST_PREDICTIONS,
        run,
        pool=ACCELERATOR,
        deps=[key(schemas.VIDEOS, target), key(schemas.CHECKPOINTS, run.name)],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One probability per test video."""
        videos = tables.read(schemas.VIDEOS, target).filter(split="test").sort("video_id")
        checkpoint = tables.read(schemas.CHECKPOINTS, run.name).row(0, named=True)
        items = videos.select("text", item_id="video_id")
        out = programs.folder("infer", run.name, fingerprint(checkpoint["weights_sha256"], items.rows()))
        programs.run(
            context,
            module="m2v.detectors.text_lora.infer",
            spec={
                "encoder": run.base.model_dump(mode="json"),
                "checkpoint": str(Path(programs.home) / checkpoint["folder"]),
                "texts": str(programs.input(items, out / "texts.parquet")),
            },
            out=out,
            gpus=run.base.gpus,
        )
        found = pl.read_parquet(out / "probabilities.parquet").rename({"item_id": "video_id"})
        rows = videos.select("video_id", "label").join(found, on="video_id").sort("video_id")
        return tables.write(rows, schemas.TEST_PREDICTIONS, run.name)

    return asset


def vlm_test_predictions(run: Run) -> dg.AssetsDefinition:
    target = variant(run.target.name)
    assert isinstance(run.model, VlmLora)
    assert isinstance(run.base, Vlm)
    assert run.prompt
    model, base, prompt = training.evaluated(run.model, run.base), run.base, run.prompt

    @_run_asset(
        schemas.TEST_PREDICTIONS,
        run,
        pool=ACCELERATOR,
        deps=[
            key(schemas.VIDEOS, target),
            key(schemas.VIDEO_FEATURES, target),
            key(schemas.CHECKPOINTS, run.name),
            *([key(schemas.DEMONSTRATIONS, run.demonstrations)] if run.demonstrations else []),
        ],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One probability per test video."""
        videos = tables.read(schemas.VIDEOS, target).filter(split="test").sort("video_id")
        checkpoint = tables.read(schemas.CHECKPOINTS, run.name).row(0, named=True)
        answers, _ = vlm_requests.ask(
            context,
            programs,
            name=f"{run.name}_test",
            model=model,
            prompt=prompt,
            target=run.target,
            items=vlm_requests.videos(tables, videos, run),
            examples=vlm_requests.demonstrated(tables, run.demonstrations, target, model=base),
            adapter=Path(programs.home) / checkpoint["folder"] if checkpoint["weights_sha256"] else None,
        )
        found = answers.select("probability", video_id="item_id")
        rows = videos.select("video_id", "label").join(found, on="video_id").sort("video_id")
        return tables.write(rows, schemas.TEST_PREDICTIONS, run.name)

    return asset


def metrics(run: Run) -> dg.AssetsDefinition:
    target = variant(run.target.name)

    @_run_asset(
        schemas.METRICS,
        run,
        deps=[
            key(schemas.VIDEOS, target),
            key(schemas.CHECKPOINTS, run.name),
            key(schemas.TEST_PREDICTIONS, run.name),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """The run's scores at the threshold that was selected on the validation split."""
        rows = scores.metrics(
            run,
            test_predictions=tables.read(schemas.TEST_PREDICTIONS, run.name),
            n_listed=tables.read(schemas.VIDEOS, target).filter(split="test").height,
            threshold=tables.read(schemas.CHECKPOINTS, run.name)["threshold"].item(),
        )
        shown = {score: value for score in schemas.SCORES if (value := rows[score].item()) is not None}
        return tables.write(rows, schemas.METRICS, run.name, metadata=shown)

    return asset


def results(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    targets = [variant(target.name) for target in plan.targets]

    @table_asset(
        schemas.RESULTS,
        name,
        stage="evaluation",
        code="1",
        deps=[
            *(key(schemas.METRICS, run.name) for run in plan.runs),
            *(key(schemas.VIDEOS, target) for target in targets),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every run's scores with intervals, the majority class among them."""
        rows = pl.concat(
            [tables.read(schemas.METRICS, run.name) for run in plan.runs]
            + [
                scores.majority(target, videos=tables.read(schemas.VIDEOS, variant(target.name)))
                for target in plan.targets
            ]
        )
        plot = base64.b64encode(forest.forest_plot(rows, paper=forest.paper_results(), format="png")).decode()
        metadata = {"forest_plot": dg.MetadataValue.md(f"![macro-F1](data:image/png;base64,{plot})")}
        return tables.write(rows, schemas.RESULTS, name, metadata=metadata)

    return asset


def comparisons(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)

    @table_asset(
        schemas.COMPARISONS,
        name,
        stage="evaluation",
        code="1",
        deps=[key(schemas.RESULTS, name), *(key(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs)],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every pair of strategies that were scored on the same test videos."""
        predictions = {run.name: tables.read(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs}
        rows = comparing.comparisons(tables.read(schemas.RESULTS, name), test_predictions=predictions)
        return tables.write(rows, schemas.COMPARISONS, name)

    return asset


def _run_asset(table: schemas.Table, run: Run, *, deps: list[dg.AssetKey], pool: str | None = None):
    """The decorator for a table of one run."""
    return table_asset(
        table,
        run.name,
        stage="evaluation",
        code=code_version("1", run.model, run.base, run.prompt),
        deps=deps,
        tags={"m2v/model": run.model.name, "m2v/strategy": run.training_set.strategy, "m2v/target": run.target.name},
        pool=pool,
    )
