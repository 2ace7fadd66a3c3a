"""Evaluation suites: what models answer under each task's definition, and how well they do the tasks."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import StudyPlan, SuiteAsking
from m2v.datasets import details
from m2v.entries.datasets import MemeDataset
from m2v.entries.pretrained import Vlm
from m2v.entries.suites import SuiteTask
from m2v.entries.variants import variant
from m2v.evaluation import suites as judging
from m2v.prediction import demonstrations
from m2v_assets import vlm_requests
from m2v_assets.describe import ACCELERATOR, code_version, key, policy, study_asset, table_asset
from m2v_assets.texts import items_keys, read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables


def assets(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """Yield what each model answers under each definition, and the results of all suites of a study."""
    for asked in plan.suites:
        for model in asked.models:
            for dataset, definition in asked.asked:
                yield suite_answers(asked, model, _dataset(plan, dataset), definition, plan)
    if plan.suites:
        yield suite_results(plan)


def read(plan: StudyPlan) -> list[tuple[schemas.Table, str]]:
    """Return the versions that the report reads."""
    return [(schemas.SUITE_RESULTS, variant(plan.study.name))] if plan.suites else []


def _dataset(plan: StudyPlan, name: str) -> MemeDataset:
    return next(dataset for dataset in plan.memes if dataset.name == name)


def suite_answers(
    asked: SuiteAsking, model: Vlm, dataset: MemeDataset, definition: SuiteTask, plan: StudyPlan
) -> dg.AssetsDefinition:
    """Return what a model says of the items that any task of the suite has of a dataset."""
    name = asked.answers(model, dataset.name, definition)
    splits = sorted({task.split for task in asked.suite.tasks if task.dataset == dataset.name})
    shows = asked.plan.pictures

    @table_asset(
        schemas.SUITE_ANSWERS,
        name,
        stage="prediction",
        of=f"{dataset.title}, asked of {model.title}: {policy(definition.label)}",
        code=code_version(
            "1", splits, shows, asked.plan.mode, model=model, prompt=asked.prompt, policy=definition.label
        ),
        kinds=frozenset({"pytorch", "huggingface"}),
        tags={"m2v/model": model.name},
        pool=ACCELERATOR,
        deps=[
            *items_keys(dataset, plan.study),
            *([key(schemas.MEME_IMAGES, variant(dataset.name))] if shows else []),
        ],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One answer per item, asked of the model unless it is known."""
        memes = read_items(tables, dataset, plan.study)
        memes = memes.filter(pl.col("split").cast(pl.String).is_in(splits)).sort("meme_id")
        images = tables.read(schemas.MEME_IMAGES, variant(dataset.name)) if shows else None
        answers, manifest = vlm_requests.ask(
            context,
            programs,
            name=name,
            model=model,
            prompt=asked.prompt,
            label=definition.label,
            items=demonstrations.of_memes(memes, images),
            examples=pl.DataFrame(schema=demonstrations.DEMONSTRATIONS),
            mode=asked.plan.mode,
        )
        columns = schemas.SUITE_ANSWERS.columns
        rows = answers.rename({"item_id": "meme_id"}).select(
            pl.col(column).cast(dtype) for column, dtype in columns.items()
        )
        counts = {count: manifest[count] for count in ("n_items", "n_asked", "n_known")}
        return tables.write(rows.sort("meme_id"), schemas.SUITE_ANSWERS, name, metadata=counts)

    return asset


def suite_results(plan: StudyPlan) -> dg.AssetsDefinition:
    """Return the results of all suites of a study."""
    name = variant(plan.study.name)
    of = {asked.suite.name: [_dataset(plan, task.dataset) for task in asked.suite.tasks] for asked in plan.suites}
    datasets = list(dict.fromkeys(dataset for listed in of.values() for dataset in listed))
    answered = [
        asked.answers(model, dataset, definition)
        for asked in plan.suites
        for model in asked.models
        for dataset, definition in asked.asked
    ]

    @study_asset(
        schemas.SUITE_RESULTS,
        plan,
        code=code_version("1", [asked.suite for asked in plan.suites], [asked.plan for asked in plan.suites]),
        checks=("definitions_heeded", "suite_answered"),
        deps=[
            *(key(schemas.SUITE_ANSWERS, answers) for answers in answered),
            *(key(table, variant(dataset.name)) for dataset in datasets for table in _said(dataset)),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Each model's score in each task, under its own definition and those of the others."""
        rows = pl.concat([judging.results(asked.suite, _asked(asked, plan, tables)) for asked in plan.suites])
        n_tasks = sum(len(asked.suite.tasks) for asked in plan.suites)
        findings = judging.findings(rows, n_tasks=n_tasks, variant=name)
        return tables.write(rows, schemas.SUITE_RESULTS, name, findings=findings)

    return asset


def _said(dataset: MemeDataset) -> list[schemas.Table]:
    """Return the tables in which a task's labels stand."""
    return [schemas.MEMES, *(table for table in details.of(dataset) if table is schemas.FACETS)]


def _asked(asked: SuiteAsking, plan: StudyPlan, tables: Tables) -> Iterator[judging.Asked]:
    for task in asked.suite.tasks:
        dataset = _dataset(plan, task.dataset)
        name = variant(dataset.name)
        facets = tables.read(schemas.FACETS, name) if task.mapping else None
        items = judging.labelled(task, memes=tables.read(schemas.MEMES, name), facets=facets, suite=asked.suite.name)
        for model in asked.models:
            for definition in asked.suite.tasks if asked.plan.transfer else (task,):
                answers = tables.read(schemas.SUITE_ANSWERS, asked.answers(model, dataset.name, definition))
                yield judging.Asked(model.name, task, definition, items, answers)
