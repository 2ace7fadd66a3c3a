"""How well each run does on its target's test split, how strategies compare, and the report."""

import base64
from collections.abc import Sequence
from dataclasses import asdict

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run, StudyPlan
from m2v.datasets import details
from m2v.entries.datasets import VideoDataset
from m2v.entries.variants import OWN_SPLIT, variant
from m2v.evaluation import calibration as calibrating
from m2v.evaluation import checks, facets, forest, scores
from m2v.evaluation import comparisons as comparing
from m2v.evaluation import differences as pairing
from m2v.evaluation import operating_points as choosing
from m2v.evaluation import prevalence as quantifying
from m2v.evaluation import robustness as operating
from m2v.evaluation import slices as slicing
from m2v.evaluation.predicted import Predicted, predicted
from m2v_assets.describe import code_version, key, run_asset, spec, study_asset
from m2v_assets.texts import read_videos, videos_keys
from m2v_resources.store.tables import Tables


def metrics(run: Run) -> dg.AssetsDefinition:

    @run_asset(
        schemas.METRICS,
        run,
        stage="evaluation",
        code=code_version("4", model=run.model, base_model=run.base, prompt=run.prompt),
        deps=[
            *videos_keys(run.target, run.split),
            key(schemas.CHECKPOINTS, run.name),
            key(schemas.TEST_PREDICTIONS, run.name),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Write the run's scores at the threshold that was selected on the validation split."""
        rows = scores.metrics(
            run,
            test_predictions=tables.read(schemas.TEST_PREDICTIONS, run.name),
            videos=read_videos(tables, run.target, run.split),
            checkpoint=tables.read(schemas.CHECKPOINTS, run.name).row(0, named=True),
        )
        shown = {score: value for score in schemas.SCORES if (value := rows[score].item()) is not None}
        return tables.write(rows, schemas.METRICS, run.name, metadata=shown)

    return asset


def results(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    divided = [*((target, OWN_SPLIT) for target in plan.targets), *plan.splits]

    @study_asset(
        schemas.RESULTS,
        plan,
        code="4",
        deps=[
            *(key(schemas.METRICS, run.name) for run in plan.runs),
            *dict.fromkeys(table for target, split in divided for table in videos_keys(target, split)),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every run's scores with intervals, the majority class among them."""
        rows = pl.concat(
            [tables.read(schemas.METRICS, run.name) for run in plan.runs]
            + [scores.majority(target, split, videos=read_videos(tables, target, split)) for target, split in divided]
        )
        plot = base64.b64encode(forest.forest_plot(rows, paper=forest.paper_results(), format="png")).decode()
        metadata = {"forest_plot": dg.MetadataValue.md(f"![macro-F1](data:image/png;base64,{plot})")}
        return tables.write(rows, schemas.RESULTS, name, metadata=metadata)

    return asset


def comparisons(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)

    @study_asset(
        schemas.COMPARISONS,
        plan,
        code="2",
        deps=_compared_keys(plan),
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every pair of strategies that were scored on the same test videos."""
        found, predictions = _compared(tables, plan)
        rows = comparing.comparisons(found, test_predictions=predictions)
        return tables.write(rows, schemas.COMPARISONS, name)

    return asset


def differences(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)

    @study_asset(
        schemas.DIFFERENCES,
        plan,
        code="1",
        deps=_compared_keys(plan),
        checks=checks.DIFFERENCES,
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every two candidates that differ in one thing, with the interval of their difference."""
        found, predictions = _compared(tables, plan)
        rows = pairing.differences(found, test_predictions=predictions)
        return tables.write(rows, schemas.DIFFERENCES, name, findings=checks.differences(rows, variant=name))

    return asset


def calibration(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    about = {"stage": "evaluation", "of": plan.study.title, "code": "1", "deps": _scored_keys(plan)}

    @dg.multi_asset(
        name=f"calibration__{name}",
        specs=[spec(table, name, **about) for table in (schemas.CALIBRATION, schemas.RELIABILITY)],
        check_specs=_check_specs(checks.CALIBRATION, schemas.CALIBRATION, plan),
    )
    def asset(tables: Tables):
        """How far each run's probabilities are from shares, and its reliability curves."""
        scores, curves = calibrating.calibration(_scored(tables, plan))
        found = checks.calibration(scores, variant=name)
        yield tables.write(scores, schemas.CALIBRATION, name, findings=found)
        yield tables.write(curves, schemas.RELIABILITY, name)

    return asset


def operating_points(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    study, wishes = plan.study, [choosing.Wish(*point.wish) for point in plan.study.operating_points]
    asked = [asdict(wish) for wish in wishes or choosing.WISHES]
    code = code_version("2", study.prevalence, operating_points=asked, review_error=study.review_error)
    about = {"stage": "evaluation", "of": plan.study.title, "code": code, "deps": _scored_keys(plan)}

    @dg.multi_asset(
        name=f"operating_points__{name}",
        specs=[spec(table, name, **about) for table in (schemas.OPERATING_POINTS, schemas.REVIEW_BANDS)],
        check_specs=[
            *_check_specs(checks.OPERATING_POINTS, schemas.OPERATING_POINTS, plan),
            *_check_specs(checks.REVIEW_BANDS, schemas.REVIEW_BANDS, plan),
        ],
    )
    def asset(tables: Tables):
        """Thresholds for what the study wishes, and what is left, reviewed and acted on."""
        runs = _scored(tables, plan)
        points = choosing.operating_points(runs, wishes=wishes, prevalence=study.prevalence)
        bands = choosing.review_bands(runs, error=study.review_error, prevalence=study.prevalence)
        yield tables.write(
            points, schemas.OPERATING_POINTS, name, findings=checks.operating_points(points, variant=name)
        )
        yield tables.write(bands, schemas.REVIEW_BANDS, name, findings=checks.review_bands(bands, variant=name))

    return asset


def prevalence(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    code = code_version("1", plan.study.prevalence)
    about = {"stage": "evaluation", "of": plan.study.title, "code": code, "deps": _scored_keys(plan)}

    @dg.multi_asset(
        name=f"prevalence__{name}",
        specs=[spec(table, name, **about) for table in (schemas.PREVALENCE_ESTIMATES, schemas.PREVALENCE_SCORES)],
        check_specs=_check_specs(checks.PREVALENCE_ESTIMATES, schemas.PREVALENCE_ESTIMATES, plan),
    )
    def asset(tables: Tables):
        """How many positives each run says there are, and its scores where they are rarer."""
        runs = _scored(tables, plan)
        said = quantifying.estimates(runs)
        findings = checks.prevalence_estimates(said, variant=name)
        yield tables.write(said, schemas.PREVALENCE_ESTIMATES, name, findings=findings)
        rows = quantifying.scores(runs, prevalence=plan.study.prevalence)
        yield tables.write(rows, schemas.PREVALENCE_SCORES, name)

    return asset


def slices(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)

    @study_asset(
        schemas.SLICES,
        plan,
        code="3",
        deps=[*_facet_keys(plan), *(key(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs)],
        checks=checks.SLICES,
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Every run's scores by facet."""
        known = {target.name: _facets(tables, plan, target) for target in plan.targets}
        runs = {run.name: predicted(tables.read(schemas.TEST_PREDICTIONS, run.name), run=run.name) for run in plan.runs}
        rows = slicing.slices(runs, facets={run.name: known[run.target.name] for run in plan.runs})
        return tables.write(rows, schemas.SLICES, name, findings=checks.slices(rows, variant=name))

    return asset


def robustness(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    operators = [operator.model_dump(mode="json") for operator in plan.operators]
    tested = [key(schemas.OPERATED_PREDICTIONS, run.name) for run in plan.runs if plan.operators]

    @study_asset(
        schemas.ROBUSTNESS,
        plan,
        code=code_version("1", operators),
        deps=[*tested, *(key(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs)],
        checks=operating.CHECKS,
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Write what each operator makes each run lose."""
        runs = [
            operating.Trial(
                test=predicted(tables.read(schemas.TEST_PREDICTIONS, run.name), run=run.name),
                operated=tables.read(schemas.OPERATED_PREDICTIONS, run.name),
                sees=run.sees(run.target),
                augmentation=run.augmentation,
            )
            for run in plan.runs
            if plan.operators
        ]
        rows = operating.robustness(runs, operators=plan.operators)
        return tables.write(rows, schemas.ROBUSTNESS, name, findings=operating.findings(rows, variant=name))

    return asset


def _facet_keys(plan: StudyPlan) -> list[dg.AssetKey]:
    """Return the tables that say something of the targets' videos by which scores may be looked at."""
    keys = []
    for target in plan.targets:
        keys.append(key(schemas.VIDEOS, variant(target.name)))
        keys += [key(schemas.FACETS, variant(target.name))] if schemas.FACETS in details.of(target) else []
        keys += [key(schemas.VIDEO_FEATURES, variant(target.name))] if plan.shows_pictures else []
    return [*keys, *(key(schemas.FEATURES, name) for names in _extracted(plan).values() for name in names)]


def _extracted(plan: StudyPlan) -> dict[str, list[str]]:
    """Return each target's variants of ``features``, where there are several."""
    named = {
        target.name: [variant(model.name, of.name) for model, of in plan.extractions if of == target]
        for target in plan.targets
    }
    return {target: names if len(names) > 1 else [] for target, names in named.items()}


def _facets(tables: Tables, plan: StudyPlan, target: VideoDataset) -> pl.DataFrame:
    """Return rows of ``facets``: what the dataset's authors say, and what can be seen without them."""
    name = variant(target.name)
    videos = tables.read(schemas.VIDEOS, name).unique("video_id", keep="first")
    parts = [
        pl.scan_parquet(tables.path(schemas.FEATURES, extracted))
        .select("role", "item_id", "modality", has_vector=pl.col("vector").is_not_null())
        .collect()
        for extracted in _extracted(plan)[target.name]
    ]
    return pl.concat(
        [
            *([tables.read(schemas.FACETS, name)] if schemas.FACETS in details.of(target) else []),
            facets.by_length(videos),
            *([facets.by_media(tables.read(schemas.VIDEO_FEATURES, name))] if plan.shows_pictures else []),
            facets.by_modalities(parts),
        ]
    )


def _compared_keys(plan: StudyPlan) -> list[dg.AssetKey]:
    found = key(schemas.RESULTS, variant(plan.study.name))
    return [found, *(key(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs)]


def _compared(tables: Tables, plan: StudyPlan) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return the study's results, and each run's test predictions."""
    predictions = {run.name: tables.read(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs}
    return tables.read(schemas.RESULTS, variant(plan.study.name)), predictions


def _scored_keys(plan: StudyPlan) -> list[dg.AssetKey]:
    read = (schemas.VALIDATION_PREDICTIONS, schemas.TEST_PREDICTIONS)
    return [key(table, run.name) for run in plan.runs for table in read]


def _scored(tables: Tables, plan: StudyPlan) -> dict[str, tuple[Predicted, Predicted]]:
    """Return what each run said of validation and of test videos."""

    def said(run: Run, table: schemas.Table) -> Predicted:
        return predicted(tables.read(table, run.name), run=run.name)

    return {
        run.name: (said(run, schemas.VALIDATION_PREDICTIONS), said(run, schemas.TEST_PREDICTIONS)) for run in plan.runs
    }


def _check_specs(names: Sequence[str], table: schemas.Table, plan: StudyPlan) -> list[dg.AssetCheckSpec]:
    """Return the checks of one of the study's tables, for functions that make two tables at once."""
    return [dg.AssetCheckSpec(check, asset=key(table, variant(plan.study.name))) for check in names]
