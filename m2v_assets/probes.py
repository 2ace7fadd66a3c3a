"""Sentences that every run is asked about, what it says of them, and what it can do by function and target group."""

import dagster as dg

from m2v import schemas
from m2v.catalog.plan import Run, StudyPlan
from m2v.entries.probes import Probes
from m2v.entries.variants import variant
from m2v.evaluation import functions as functioning
from m2v.robustness import probes as probing
from m2v_assets import made
from m2v_assets.describe import ACCELERATOR, code_version, key, run_asset, study_asset, table_asset
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables

CHECK = "functions_passed"


def probes(entry: Probes) -> dg.AssetsDefinition:
    name = variant(entry.name)

    @table_asset(
        schemas.PROBES, name, stage="evaluation", of=entry.title, code=code_version("1", probes=entry), deps=[]
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Write every sentence that the templates give."""
        return tables.write(probing.sentences(entry), schemas.PROBES, name)

    return asset


def unasked(run: Run) -> str | None:
    """Return why a run cannot be asked about sentences; None where it can."""
    if "text" not in run.sees(run.target):
        return f"it looks at {', '.join(sorted(run.sees(run.target)))}, and a sentence is a text"
    return made.unseen(run)


def probe_predictions(run: Run, plan: StudyPlan) -> dg.AssetsDefinition:
    assert plan.probes  # else there is no such asset
    name = variant(plan.probes.name)

    @run_asset(
        schemas.PROBE_PREDICTIONS,
        run,
        stage="evaluation",
        code=code_version("1", model=run.model, base_model=run.base, prompt=run.prompt),
        pool=None if run.model.is_light and not run.inputs.extractors else ACCELERATOR,
        deps=[
            key(schemas.PROBES, name),
            key(schemas.CHECKPOINTS, run.name),
            *([key(schemas.DEMONSTRATIONS, run.demonstrations)] if run.demonstrations else []),
        ],
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, programs: Programs
    ) -> dg.MaterializeResult:
        """Write what the run calls each sentence, at its own threshold."""
        asked = tables.read(schemas.PROBES, name)
        doors = made.Doors(context, tables, sources, programs)
        said = made.scored(doors, run, plan, videos=probing.as_videos(asked), media=None)
        threshold = tables.read(schemas.CHECKPOINTS, run.name)["threshold"].item()
        rows = probing.called(asked, said, threshold=threshold)
        return tables.write(rows, schemas.PROBE_PREDICTIONS, run.name)

    return asset


def functions(plan: StudyPlan) -> dg.AssetsDefinition:
    assert plan.probes
    entry, name = plan.probes, variant(plan.study.name)
    asked = [run for run in plan.runs if unasked(run) is None]
    unseen = {run.name: why for run in plan.runs if (why := unasked(run))}

    @study_asset(
        schemas.FUNCTIONS,
        plan,
        code=code_version("1", probes=entry, unseen=sorted(unseen)),
        checks=(CHECK,),
        deps=[
            key(schemas.PROBES, variant(entry.name)),
            *(key(schemas.PROBE_PREDICTIONS, run.name) for run in asked),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Write how many probes of each function and group each run calls rightly."""
        said = {run.name: tables.read(schemas.PROBE_PREDICTIONS, run.name) for run in asked}
        rows = functioning.functions(said, probes=tables.read(schemas.PROBES, variant(entry.name)), entry=entry)
        findings = [functioning.finding(rows, unseen=unseen, variant=name)]
        return tables.write(rows, schemas.FUNCTIONS, name, findings=findings)

    return asset
