"""Training data under the light that scores stand in: what was as good as seen, and which labels are doubtful."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run, StudyPlan
from m2v.detectors import examples, program
from m2v.entries.variants import variant
from m2v.evaluation import learning_curves as curving
from m2v.evaluation import near_duplicates as nearing
from m2v.evaluation import seen as seeing
from m2v.evaluation import suspects as suspecting
from m2v.evaluation.predicted import predicted
from m2v.files import storage
from m2v.media import images
from m2v_assets import detectors, tasks
from m2v_assets.describe import code_version, fingerprint, key, study_asset, table_asset, told
from m2v_assets.texts import items_keys, read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables

# Of each share of the training data, so many are trained on: one says nothing of how far luck goes.
N_DRAWS = 3


def trained_on(run: Run) -> str:
    """Return the variant of ``near_duplicates`` about a run: its training set, and the split that it is scored in."""
    split = [] if run.training_set.uses_videos else run.split.names
    return variant(run.training_set.name, *split)


def doubted(run: Run) -> str:
    """Return the variant of ``label_suspects`` that a run's model can make of its training set."""
    return variant(run.model.name, run.training_set.name)


def compared(plan: StudyPlan) -> dict[str, Run]:
    """Return for each variant of ``near_duplicates`` one of the runs that it is about."""
    return {trained_on(run): run for run in reversed(plan.runs) if run.is_trained}


def doubting(plan: StudyPlan) -> dict[str, Run]:
    """Return for each variant of ``label_suspects`` a run whose model is quickly trained once more for each fold."""
    return {doubted(run): run for run in reversed(plan.runs) if run.is_trained and run.model.is_light}


def near_duplicates(run: Run, plan: StudyPlan) -> dg.AssetsDefinition:
    name, target = trained_on(run), run.target
    shows = plan.shows_pictures
    memes = run.training_set.memes

    @table_asset(
        schemas.NEAR_DUPLICATES,
        name,
        stage="evaluation",
        of=told(run.training_set),
        code=code_version("1", shows),
        checks=("test_unseen",),
        deps=[
            key(schemas.TRAINING_EXAMPLES, run.training_set.name),
            *items_keys(target, plan.study, run.split),
            *([key(schemas.VIDEO_FEATURES, variant(target.name))] if shows else []),
            *([key(schemas.MEME_IMAGES, variant(memes.name))] if shows and memes else []),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Test videos with the example that is most like them, where one is like them."""
        rows = tables.read(schemas.TRAINING_EXAMPLES, run.training_set.name)
        test = read_items(tables, target, plan.study, run.split).filter(split="test")
        ids = {*test["video_id"], *rows.filter(dataset=target.name)["item_id"]}
        frames = _frames(tables, target.name, ids) if shows else {}
        pictures = {(target.name, item): digests for item, digests in frames.items()}
        if shows and memes:
            known = tables.read(schemas.MEME_IMAGES, variant(memes.name)).drop_nulls("perceptual_hash")
            hashes = known.select("meme_id", "perceptual_hash").iter_rows()
            pictures |= {(memes.name, item): [digest] for item, digest in hashes}
        found = nearing.near_duplicates(rows, test, pictures=pictures, test_pictures=frames)
        finding = nearing.finding(
            found, n_test=test.height, n_examples=rows.height, has_pictures=bool(shows), variant=name
        )
        return tables.write(found, schemas.NEAR_DUPLICATES, name, findings=[finding])

    return asset


def _frames(tables: Tables, target: str, ids: set[str]) -> dict[str, list[str]]:
    """Return the perceptual hashes of the frames of these videos of a target, by video."""
    known = tables.read(schemas.VIDEO_FEATURES, variant(target)).select("video_id", "frames")
    features = known.filter(pl.col("video_id").is_in(ids))
    home = Path(tables.home)
    return {
        video: [images.perceptual_hash(storage.local(storage.place(home, frame))) for frame in frames]
        for video, frames in features.iter_rows()
    }


def seen(plan: StudyPlan) -> dg.AssetsDefinition:
    name = variant(plan.study.name)

    @study_asset(
        schemas.SEEN,
        plan,
        code="1",
        deps=[
            *(key(schemas.NEAR_DUPLICATES, trained) for trained in compared(plan)),
            *(key(schemas.TEST_PREDICTIONS, run.name) for run in plan.runs),
        ],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """How many test videos each run has as good as seen, and its scores without them."""
        runs = {run.name: predicted(tables.read(schemas.TEST_PREDICTIONS, run.name), run=run.name) for run in plan.runs}
        found = {run.name: tables.read(schemas.NEAR_DUPLICATES, trained_on(run)) for run in plan.runs if run.is_trained}
        return tables.write(seeing.seen(runs, duplicates=found), schemas.SEEN, name)

    return asset


def label_suspects(run: Run) -> dg.AssetsDefinition:
    name = doubted(run)

    @table_asset(
        schemas.LABEL_SUSPECTS,
        name,
        stage="evaluation",
        of=f"{run.model.title}, trained without each fold. {told(run.training_set)}",
        code=code_version("1", model=run.model, base_model=run.base, n_folds=examples.N_FOLDS),
        checks=("labels_likely",),
        tags={"m2v/model": run.model.name, "m2v/strategy": run.training_set.strategy, "m2v/target": run.target.name},
        deps=[key(schemas.TRAINING_EXAMPLES, run.training_set.name), *tasks.seen(run, run.datasets)],
    )
    def asset(tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """Every example with what a detector says that was trained without its fold."""
        rows = tables.read(schemas.TRAINING_EXAMPLES, run.training_set.name)
        out = _out_of_fold(tables, programs, run)
        found = suspecting.suspects(rows, probabilities=pl.read_parquet(out), model=run.model.name)
        finding = suspecting.finding(found, n_examples=rows.height, model=run.model.name, variant=name)
        counts = {"n_examples": rows.height, "n_suspects": int(found["is_suspect"].sum())}
        return tables.write(found, schemas.LABEL_SUSPECTS, name, findings=[finding], metadata=counts)

    return asset


def _out_of_fold(tables: Tables, programs: Programs, run: Run) -> Path:
    """Return the file of the examples' probabilities by detectors that did not see them."""
    version = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name)
    read = tasks.read(tables, run, run.datasets)
    content = {**tasks.entries(run), "folds": examples.N_FOLDS, "training_examples": version.rows_hash, **read}
    out = programs.folder("out_of_fold", doubted(run), fingerprint(content))
    task = tasks.task(tables, programs, run, run.datasets, out=out).model_dump(mode="json")
    train = tasks.trains_on(tables, programs, run, None, path=out / "train_items.parquet")
    programs.call(
        program.run, spec={**task, "seed": 0, "train": train, "folds": examples.N_FOLDS, "content": content}, out=out
    )
    return out / program.OUT_OF_FOLD


def curved(plan: StudyPlan) -> list[Run]:
    """Return the runs that are trained on shares of their data too: where the study asks, those trained in seconds."""
    asked = bool(plan.study.learning_curves)
    return [run for run in plan.runs if asked and run.is_trained and run.model.is_light and not run.augmentation]


def learning_curves(plan: StudyPlan) -> dg.AssetsDefinition:
    name, runs = variant(plan.study.name), curved(plan)
    shares = [*plan.study.learning_curves, 1.0]
    left_out = [run.name for run in plan.runs if run.is_trained and run not in runs]

    @study_asset(
        schemas.LEARNING_CURVES,
        plan,
        code=code_version("1", shares, N_DRAWS, models=[run.model for run in runs], leaks=plan.study.leaks),
        checks=(curving.CHECK,),
        deps=list(
            dict.fromkeys(
                each
                for run in runs
                for each in (
                    key(schemas.TRAINING_EXAMPLES, run.training_set.name),
                    *items_keys(run.target, plan.study, run.split),
                    *tasks.seen(run, run.datasets),
                )
            )
        ),
    )
    def asset(tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """Scores of every run's detector, trained on shares of its data."""
        scored, labels = {}, {}
        for run in runs:
            videos = read_items(tables, run.target, plan.study, run.split)
            test = tasks.items(videos.filter(split="test").sort("video_id"), run.target)
            held_out = detectors.validation(run, plan.study, videos=videos)
            validation = tasks.items(held_out, run.target) if held_out is not None else None
            out = _drawn(tables, programs, run, shares=shares, validation=validation, test=test)
            scored[run.name] = pl.read_parquet(out)
            labels[run.name] = test.select("item_id", "label")
        rows = curving.learning_curves(scored, labels=labels)
        finding = curving.finding(rows, left_out=left_out, variant=name)
        return tables.write(rows, schemas.LEARNING_CURVES, name, findings=[finding])

    return asset


def _drawn(
    tables: Tables,
    programs: Programs,
    run: Run,
    *,
    shares: list[float],
    validation: pl.DataFrame | None,
    test: pl.DataFrame,
) -> Path:
    """Return the file of what detectors that were trained on draws say of the test videos."""
    version = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name)
    content = {
        **tasks.entries(run),
        "shares": shares,
        "draws": N_DRAWS,
        "seed": run.seed,
        "training_examples": version.rows_hash,
        "validation": tasks.identity(validation),
        "items": tasks.identity(test),
        **tasks.read(tables, run, run.datasets),
    }
    out = programs.folder("learning_curves", run.name, fingerprint(content))
    task = tasks.task(tables, programs, run, run.datasets, out=out).model_dump(mode="json")
    told = {
        "train": tasks.trains_on(tables, programs, run, None, path=out / "train_items.parquet"),
        "validation": tasks.written(programs, validation, out / "validation_items.parquet"),
        "items": tasks.written(programs, test, out / "items.parquet"),
        "shares": shares,
        "draws": N_DRAWS,
        "content": content,
    }
    programs.call(program.run, spec={**task, **told}, out=out)
    return out / program.LEARNING_CURVE


def assets(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """Yield what is looked at in the training data of a study's runs."""
    for run in compared(plan).values():
        yield near_duplicates(run, plan)
    for run in doubting(plan).values():
        yield label_suspects(run)
    yield seen(plan)
    if plan.study.learning_curves and plan.runs:
        yield learning_curves(plan)


def read(plan: StudyPlan) -> list[tuple[schemas.Table, str]]:
    """Return the versions that the report reads of these tables, besides the study's own."""
    return (
        [(schemas.NEAR_DUPLICATES, name) for name in compared(plan)]
        + [(schemas.LABEL_SUSPECTS, name) for name in doubting(plan)]
        + ([(schemas.LEARNING_CURVES, variant(plan.study.name))] if plan.study.learning_curves and plan.runs else [])
    )


def suspect_counts(plan: StudyPlan, tables: Tables) -> pl.DataFrame:
    """Return how many labels are doubted, a row for each variant of ``label_suspects``."""
    found = [
        suspecting.counted(tables.read(schemas.LABEL_SUSPECTS, name), training_set=run.training_set.name)
        for name, run in doubting(plan).items()
    ]
    return pl.concat([pl.DataFrame(schema=suspecting.COUNTS), *found]).sort("training_set", "model")
