"""What each strategy trains on, the detectors that are trained, and what they say of the target's test split."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.datasets import integrity
from m2v.detectors import examples, program
from m2v.entries.study import Study
from m2v.entries.variants import TrainingSet, variant
from m2v.evaluation import scores
from m2v.robustness.mixing import Features
from m2v_assets import tasks
from m2v_assets.describe import (
    ACCELERATOR,
    code_version,
    fingerprint,
    key,
    run_asset,
    spec,
    told,
)
from m2v_assets.texts import items_keys, read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables

PROGRAM = "m2v.detectors.program"


def training_examples(training_set: TrainingSet, study: Study) -> dg.AssetsDefinition:
    """Yield the examples, and what a policy kept out of them."""
    target = variant(training_set.target.name)
    videos_read = items_keys(training_set.target, study, training_set.split)
    memes_read = items_keys(training_set.memes, study) if training_set.memes else []
    votes = key(schemas.VOTED_LABELS, training_set.alignment.name) if training_set.alignment else None
    demonstrations = key(schemas.DEMONSTRATIONS, target) if training_set.target.demonstrations else None
    deps = [*videos_read, *memes_read, *(dep for dep in (votes, demonstrations) if dep)]
    drops_leaks = study.leaks == "drop_from_train" and not training_set.paper_mode
    about = {
        "stage": "detectors",
        "of": told(training_set),
        "code": code_version("1", training_set.strategy, training_set.paper_mode, drops_leaks),
        "tags": {"m2v/strategy": training_set.strategy},
    }
    check = "demonstrations_not_trained_on"

    @dg.multi_asset(
        name=f"training_examples__{training_set.name}",
        specs=[
            spec(schemas.TRAINING_EXAMPLES, training_set.name, deps=deps, **about),
            spec(schemas.REJECTS, training_set.name, deps=deps, **about),
        ],
        check_specs=[dg.AssetCheckSpec(check, asset=key(schemas.TRAINING_EXAMPLES, training_set.name))]
        if demonstrations
        else [],
    )
    def asset(tables: Tables):
        """Examples to train on, and the rejects with their reasons."""
        videos = read_items(tables, training_set.target, study, training_set.split)
        leaks = integrity.leaks(videos, dataset=training_set.target.name) if drops_leaks else schemas.REJECTS.empty()
        rows, rejects = examples.build(
            training_set,
            videos=videos,
            memes=read_items(tables, training_set.memes, study) if training_set.memes else None,
            votes=tables.read(schemas.VOTED_LABELS, votes.path[1]) if votes else None,
            leaks=leaks,
        )
        findings = []
        if demonstrations:
            findings = integrity.training_findings(
                rows,
                tables.read(schemas.DEMONSTRATIONS, target),
                target=training_set.target.name,
                variant=training_set.name,
            )
        yield tables.write(rows, schemas.TRAINING_EXAMPLES, training_set.name, findings=findings)
        yield tables.write(rejects, schemas.REJECTS, training_set.name)

    return asset


def checkpoint(run: Run, study: Study) -> dg.AssetsDefinition:
    """Return the run's detector, trained by its family's program; where nothing is trained, what it needs to score."""

    @run_asset(
        schemas.CHECKPOINTS,
        run,
        stage="detectors",
        code=code_version(
            "1",
            model=run.model,
            base_model=run.base,
            prompt=run.prompt,
            seed=run.seed,
            paper_mode=run.training_set.paper_mode,
            leaks=study.leaks,
            **tasks.words(run),
            **tasks.trained_with(run),
        ),
        kinds=run.model.made_with,
        pool=pool(run),
        deps=[
            *items_keys(run.target, study, run.split),
            *tasks.seen(run, run.datasets),
            *([key(schemas.TRAINING_EXAMPLES, run.training_set.name)] if run.is_trained else []),
        ],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """Write a detector, and what was selected on the validation split."""
        held_out = validation(run, study, videos=read_items(tables, run.target, study, run.split))
        selected = tasks.shown(tables, tasks.items(held_out, run.target), run) if held_out is not None else None
        train, features = _added(tables, run)
        content = {
            **tasks.entries(run),
            **tasks.trained_with(run),
            "seed": run.seed,
            "validation": tasks.identity(selected),
            **tasks.read(tables, run, run.datasets),
        }
        if run.is_trained:
            version = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name)
            content["training_examples"] = version.rows_hash
            if train is not None:
                content["train"] = tasks.identity(train)
        folder = programs.folder("checkpoints", run.name, fingerprint(content))
        task = tasks.task(tables, programs, run, run.datasets, out=folder, features=features)
        manifest = _run(
            context,
            programs,
            run,
            out=folder,
            n_processes=run.model.processes if run.is_trained else None,
            spec={
                **task.model_dump(mode="json"),
                "train": tasks.trains_on(tables, programs, run, train, path=folder / "train_items.parquet"),
                "validation": tasks.written(programs, selected, folder / "validation_items.parquet"),
                "content": content,
            },
        )
        return _checkpoint(tables, run, manifest=manifest, folder=folder, home=programs.home)

    return asset


def _added(tables: Tables, run: Run) -> tuple[pl.DataFrame | None, Features | None]:
    """Return what a run trains on where its training set's own rows do not say all: media, or operated items.

    The second are the features of all items, where tables do not hold those of some.
    """
    if not run.is_trained or not (run.inputs.shows_media or run.augmentation):
        return None, None
    rows = tasks.shown(tables, tables.read(schemas.TRAINING_EXAMPLES, run.training_set.name), run)
    return tasks.augmented(tables, run, rows) if run.augmentation else (rows, None)


def test_predictions(run: Run, study: Study) -> dg.AssetsDefinition:
    """What the run calls the target's test videos, beside their true labels."""
    code = code_version("2", model=run.model, base_model=run.base, prompt=run.prompt)
    return _predictions(
        schemas.TEST_PREDICTIONS, run, study, code=code, part=lambda videos: videos.filter(split="test")
    )


def validation_predictions(run: Run, study: Study) -> dg.AssetsDefinition:
    """Return what the run calls the videos that it was selected on; paper mode holds none back, so there are none."""

    def part(videos: pl.DataFrame) -> pl.DataFrame:
        held_out = validation(run, study, videos=videos)
        return videos.clear() if held_out is None else held_out

    code = code_version("1", model=run.model, base_model=run.base, prompt=run.prompt, leaks=study.leaks)
    return _predictions(schemas.VALIDATION_PREDICTIONS, run, study, code=code, part=part)


def _predictions(
    table: schemas.Table, run: Run, study: Study, *, code: str, part: Callable[[pl.DataFrame], pl.DataFrame]
) -> dg.AssetsDefinition:
    """Return the asset with the run's probabilities of a part of the target's videos."""

    @run_asset(
        table,
        run,
        stage="evaluation",
        code=code,
        pool=pool(run),
        deps=scored_from(run, study),
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One probability per video."""
        videos = part(read_items(tables, run.target, study, run.split)).sort("video_id")
        if videos.is_empty() and table is schemas.VALIDATION_PREDICTIONS:
            return tables.write(table.empty(), table, run.name)  # nothing was held back
        items = tasks.shown(tables, tasks.items(videos, run.target), run)
        out = scored(context, tables, programs, run, items=items)
        probabilities = pl.read_parquet(out / program.PROBABILITIES).rename({"item_id": "video_id"})
        threshold = tables.read(schemas.CHECKPOINTS, run.name)["threshold"].item()
        rows = scores.thresholded(videos, probabilities=probabilities, threshold=threshold)
        return tables.write(rows, table, run.name)

    return asset


def explanations(run: Run, study: Study) -> dg.AssetsDefinition:
    """Return what decided each of the target's test videos, as the run's detector says."""

    @run_asset(
        schemas.EXPLANATIONS,
        run,
        stage="evaluation",
        code=code_version("1", run.model, run.base, run.prompt),
        pool=pool(run),
        deps=scored_from(run, study),
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """How much each modality weighed in a test video, or which training examples are like it."""
        videos = read_items(tables, run.target, study, run.split).filter(split="test").sort("video_id")
        items = tasks.shown(tables, tasks.items(videos, run.target), run)
        out = scored(context, tables, programs, run, items=items)
        rows = pl.read_parquet(out / program.EXPLANATIONS).sort(schemas.EXPLANATIONS.key)
        return tables.write(rows, schemas.EXPLANATIONS, run.name)

    return asset


def scored_from(run: Run, study: Study) -> list[dg.AssetKey]:
    """Return the tables that scoring the target's videos reads."""
    items = items_keys(run.target, study, run.split)
    return [*items, *tasks.seen(run, [run.target]), key(schemas.CHECKPOINTS, run.name)]


def scored(
    context: dg.AssetExecutionContext,
    tables: Tables,
    programs: Programs,
    run: Run,
    *,
    items: pl.DataFrame,
    features: Features | None = None,
    made_by: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Return the folder with what the run's detector says of items; scored once, whichever table asks first.

    Args:
        features: Of items that no table holds; None takes the tables' own.
        made_by: Operators that made the items.
    """
    checkpoint = tables.read(schemas.CHECKPOINTS, run.name).row(0, named=True)
    read = tasks.read(tables, run, [run.target])
    content = [tasks.entries(run), checkpoint["folder"], tasks.identity(items), read]
    out = programs.folder("infer", run.name, fingerprint(*content, *([made_by, tasks.OPERATORS] if made_by else [])))
    _run(
        context,
        programs,
        run,
        out=out,
        spec={
            **tasks.task(tables, programs, run, [run.target], out=out, features=features).model_dump(mode="json"),
            "items": tasks.written(programs, items, out / "items.parquet"),
            "checkpoint": str(Path(programs.home) / checkpoint["folder"]),
        },
        spreads=run.model.spreads,
    )
    return out


def validation(run: Run, study: Study, *, videos: pl.DataFrame) -> pl.DataFrame | None:
    """Return the split on which the run selects; none in paper mode, which trains on it."""
    if run.training_set.paper_mode:
        return None
    drops_leaks = study.leaks == "drop_from_train"
    leaks = integrity.leaks(videos, dataset=run.target.name) if drops_leaks else schemas.REJECTS.empty()
    return examples.validation(videos, leaks=leaks)


def _run(
    context: dg.AssetExecutionContext,
    programs: Programs,
    run: Run,
    *,
    spec: Mapping[str, Any],
    out: Path,
    n_processes: int | None = None,
    spreads: bool = False,
) -> dict[str, Any]:
    """Have the family's program work: here where it is light, else where programs work."""
    if run.model.is_light:
        return programs.call(program.run, spec=spec, out=out)
    gpus = run.base.gpus if run.base else 0
    return programs.run(
        context, module=PROGRAM, spec=spec, out=out, n_processes=n_processes, gpus=gpus, spreads=spreads
    )


def pool(run: Run) -> str | None:
    """Return what the run's programs wait for."""
    return None if run.model.is_light else ACCELERATOR


def _checkpoint(tables: Tables, run: Run, *, manifest: dict, folder: Path, home: str) -> dg.MaterializeResult:
    row = {
        "run": run.name,
        "folder": str(folder.relative_to(home)),
        "weights_sha256": next(
            (digest for name, digest in manifest["files"].items() if name.endswith(".safetensors")), None
        ),
        "threshold": manifest["threshold"],
        "selection": json.dumps(manifest["selection"], sort_keys=True),
        "n_train": manifest["n_train"],
    }
    rows = pl.DataFrame([row], schema=dict(schemas.CHECKPOINTS.columns))
    metadata = {"folder": dg.MetadataValue.path(str(folder)), "n_train": manifest["n_train"], **manifest["selection"]}
    return tables.write(rows, schemas.CHECKPOINTS, run.name, metadata=metadata)
