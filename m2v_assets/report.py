"""The study's report: what was found in the data, how labels changed, what that did to the scores."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.annotation import agreement
from m2v.catalog.plan import StudyPlan
from m2v.datasets import details, integrity
from m2v.entries.datasets import VideoDataset
from m2v.entries.variants import Alignment, variant
from m2v.evaluation import figures
from m2v.evaluation import report as reporting
from m2v.lineage.findings import Finding, LabelFlow
from m2v_assets import suites, training_data
from m2v_assets.describe import OWNERS, code_version, key, tags_of
from m2v_resources.store import findings
from m2v_resources.store.reports import Reports
from m2v_resources.store.tables import Tables

N_EXAMPLES = 5


def report(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)
    rests_on = _tables(plan)
    asked = [asdict(question) for question in plan.questions]

    @dg.asset(
        key=key("reports", name),
        group_name="evaluation",
        description=f"{plan.study.title}. The study in one HTML file.",
        owners=OWNERS,
        kinds={"html"},
        tags=tags_of("evaluation", "reports"),
        code_version=code_version(
            "13", plan.study.title, plan.study.prevalence, [target.label for target in plan.targets], asked
        ),
        deps=[key(table, name) for table, name in rests_on],
    )
    def asset(tables: Tables, reports: Reports) -> dg.MaterializeResult:
        """One self-contained page."""
        latest = [tables.version(table, name) for table, name in rests_on]

        def of_study(table: schemas.Table) -> pl.DataFrame:
            return tables.read(table, name) if (table, name) in rests_on else table.empty()

        page = reporting.StudyReport(
            study=plan.study.name,
            title=plan.study.title,
            results=of_study(schemas.RESULTS),
            comparisons=of_study(schemas.COMPARISONS),
            differences=of_study(schemas.DIFFERENCES),
            calibration=of_study(schemas.CALIBRATION),
            reliability=of_study(schemas.RELIABILITY),
            operating_points=of_study(schemas.OPERATING_POINTS),
            review_bands=of_study(schemas.REVIEW_BANDS),
            prevalence_estimates=of_study(schemas.PREVALENCE_ESTIMATES),
            prevalence_scores=of_study(schemas.PREVALENCE_SCORES),
            slices=of_study(schemas.SLICES),
            suite_results=of_study(schemas.SUITE_RESULTS),
            seen=of_study(schemas.SEEN),
            label_suspects=training_data.suspect_counts(plan, tables),
            learning_curves=of_study(schemas.LEARNING_CURVES),
            robustness=of_study(schemas.ROBUSTNESS),
            functions=of_study(schemas.FUNCTIONS),
            prevalence=plan.study.prevalence,
            findings=tuple(_findings(plan, tables)),
            label_flows=tuple(_flow(alignment, tables) for alignment in plan.alignments),
            examples=tuple(example for alignment in plan.alignments for example in _examples(alignment, tables)),
            rejects=_rejects(plan, tables),
            questions=plan.questions,
            recorded=_recorded(plan),
            annotated=tuple(_annotated(plan, tables)),
            policies=tuple(
                reporting.Policy(target=target.name, **target.label.model_dump()) for target in plan.targets
            ),
            as_of=max(version.created_at for version in latest)[:10],
            versions=tuple(
                reporting.ShownVersion(version.table, version.variant, version.number, version.rows_hash)
                for version in latest
            ),
        )
        saved = figures.document(page)
        return reports.write(reporting.render(page), plan.study.name, summary=page.summary.lines, figures=saved)

    return asset


def _tables(plan: StudyPlan) -> list[tuple[schemas.Table, str]]:
    """Every table version that the report reads."""
    name = variant(plan.study.name)
    read = [(schemas.MEMES, variant(memes.name)) for memes in plan.memes]
    for target in plan.targets:
        read.append((schemas.VIDEOS, variant(target.name)))
        read += [(schemas.DEMONSTRATIONS, variant(target.name))] if target.demonstrations else []
    for dataset in (*plan.memes, *plan.targets):
        read += [(table, variant(dataset.name)) for table in details.of(dataset)]
    read += [(schemas.ITEM_SPLITS, variant(target.name, *split.names)) for target, split in plan.splits]
    if plan.shows_pictures:
        read += [(schemas.MEME_IMAGES, variant(memes.name)) for memes in plan.memes]
        read += [(schemas.VIDEO_FEATURES, variant(target.name)) for target in plan.targets]
    read += [(schemas.FEATURES, variant(model.name, dataset.name)) for model, dataset in plan.extractions]
    for alignment in plan.alignments:
        read += [(table, alignment.name) for table in ALIGNED]
    for training_set in plan.training_sets:
        read += [(table, training_set.name) for table in (schemas.TRAINING_EXAMPLES, schemas.REJECTS)]
    read += training_data.read(plan) + suites.read(plan)
    read += [(schemas.FUNCTIONS, name)] if plan.runs and plan.probes else []
    return read + ([(table, name) for table in OF_RUNS] if plan.runs else [])


OF_RUNS = (
    schemas.RESULTS,
    schemas.COMPARISONS,
    schemas.DIFFERENCES,
    schemas.CALIBRATION,
    schemas.RELIABILITY,
    schemas.OPERATING_POINTS,
    schemas.REVIEW_BANDS,
    schemas.PREVALENCE_ESTIMATES,
    schemas.PREVALENCE_SCORES,
    schemas.SLICES,
    schemas.SEEN,
    schemas.ROBUSTNESS,
)
ALIGNED = (schemas.PREDICTIONS, schemas.CONFLICTS, schemas.HUMAN_LABELS, schemas.VOTED_LABELS)


def _findings(plan: StudyPlan, tables: Tables) -> list[Finding]:
    """Return what every check of the study found, and what only a look at all of its datasets shows."""
    checked = [(table.name, name) for table, name in _tables(plan) if table.is_checked]
    all_findings = findings.recorded(tables.store, *checked)
    if plan.shows_pictures and len(plan.memes) > 1:
        images = {memes.name: tables.read(schemas.MEME_IMAGES, variant(memes.name)) for memes in plan.memes}
        shared = integrity.shared_pictures(images)
        findings.record(tables.store, ("reports", variant(plan.study.name)), [shared])
        all_findings.append(shared)
    return all_findings


def _annotated(plan: StudyPlan, tables: Tables) -> Iterator[details.Annotated]:
    for dataset in (*plan.memes, *plan.targets):
        name = variant(dataset.name)
        stored = {table.name: tables.read(table, name) for table in details.of(dataset)}
        items = schemas.VIDEOS if isinstance(dataset, VideoDataset) else schemas.MEMES
        found = details.annotated(dataset.name, tables.read(items, name), stored) if stored else None
        if found:
            yield found


def _recorded(plan: StudyPlan) -> dict[str, str]:
    """Return who labelled memes elsewhere, by alignment."""
    return {} if plan.asking else {alignment.name: alignment.recorded.model for alignment in plan.alignments}


def _flow(alignment: Alignment, tables: Tables) -> LabelFlow:
    predictions, _, answers, votes = (tables.read(table, alignment.name) for table in ALIGNED)
    return agreement.label_flow(predictions, answers, votes, variant=alignment.name)


def _examples(alignment: Alignment, tables: Tables) -> list[reporting.Example]:
    """Return the first memes by id whose label changed."""
    predictions, _, _, votes = (tables.read(table, alignment.name) for table in ALIGNED)
    memes = tables.read(schemas.MEMES, variant(alignment.memes.name)).select("meme_id", "text")
    changed = (
        predictions.join(votes.select("meme_id", voted="label"), on="meme_id")
        .filter(pl.col("voted") != pl.col("original"))
        .join(memes, on="meme_id")
        .sort("meme_id")
    )
    columns = changed.select("meme_id", "original", "predicted", "voted", "text").head(N_EXAMPLES)
    return [reporting.Example(alignment=alignment.name, **row) for row in columns.iter_rows(named=True)]


def _rejects(plan: StudyPlan, tables: Tables) -> pl.DataFrame:
    """How many distinct items were kept out of training, by dataset and reason."""
    rows = [
        schemas.REJECTS.empty(),
        *(tables.read(schemas.REJECTS, training_set.name) for training_set in plan.training_sets),
    ]
    return (
        pl.concat(rows)
        .group_by("dataset", pl.col("reason").cast(pl.String))
        .agg(n_items=pl.struct("item_id", "split").n_unique().cast(pl.UInt32))
        .sort("dataset", "reason")
    )
