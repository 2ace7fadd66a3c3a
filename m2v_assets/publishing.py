"""What a study publishes to the Hub: releases are assets only where the study's ``publish:`` names them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.annotation import voting
from m2v.catalog.plan import Run, StudyPlan
from m2v.entries.base import Licence
from m2v.entries.study import PublishPlan
from m2v.entries.variants import Alignment, variant
from m2v.errors import M2VError
from m2v.evaluation import slices as slicing
from m2v.lineage.findings import Finding
from m2v.publishing import adapter
from m2v.publishing import worth as worth_of
from m2v.publishing.adapter import AdapterRelease
from m2v.publishing.release import DatasetRelease, Part, allowed, describe, labels, licence_of
from m2v.schemas import Table
from m2v_assets.describe import code_version, described, key, named, table_asset
from m2v_resources.annotators.annotators import Annotators
from m2v_resources.hub.releases import Releases, recorded
from m2v_resources.store import findings
from m2v_resources.store.tables import Tables
from m2v_resources.store.versions import TableStore, Version

HUB_KINDS = frozenset({"huggingface"})
ALIGNED = (schemas.PREDICTIONS, schemas.CONFLICTS, schemas.HUMAN_LABELS, schemas.VOTED_LABELS)


# Tables of a study that say what its runs' scores are worth.
WORTH = (schemas.OPERATING_POINTS, schemas.REVIEW_BANDS, schemas.CALIBRATION, schemas.SLICES)


def releases(plan: StudyPlan) -> Iterator[dg.AssetsDefinition]:
    """Yield what the study says it publishes; nothing where it says nothing, for a release reaches the outside."""
    settings = plan.study.publish
    if settings:
        for name in settings.datasets:
            yield dataset_releases(plan.alignment(name), plan, settings)
        for name in settings.adapters:
            yield adapter_releases(plan.run(name), plan, settings)


def dataset_releases(alignment: Alignment, plan: StudyPlan, settings: PublishPlan) -> dg.AssetsDefinition:
    @table_asset(
        schemas.DATASET_RELEASES,
        alignment.name,
        stage="publishing",
        of=named(alignment),
        code=code_version("1", settings=settings, licence=licence_of(alignment, plan), policy=alignment.target.label),
        deps=[
            key(schemas.MEMES, variant(alignment.memes.name)),
            *(key(table, alignment.name) for table in ALIGNED),
            *([key(schemas.SLICES, variant(plan.study.name))] if learners(alignment, plan) else []),
        ],
        kinds=HUB_KINDS,
    )
    def asset(tables: Tables, releases: Releases) -> dg.MaterializeResult:
        """One version on the Hub for each content that the alignment has had."""
        repo = repository(alignment.name, namespace=settings.namespace)
        release = dataset_release([alignment], plan, tables.store, repo=repo, home=Path(tables.home))
        published = releases.publish(release, private=settings.private)
        before = rows_before(tables.store, schemas.DATASET_RELEASES, alignment.name)
        rows = recorded(published, schemas.DATASET_RELEASES, name=alignment.name, before=before)
        return tables.write(rows, schemas.DATASET_RELEASES, alignment.name, metadata={"tag": published.tag})

    return asset


def adapter_releases(run: Run, plan: StudyPlan, settings: PublishPlan) -> dg.AssetsDefinition:
    @table_asset(
        schemas.ADAPTER_RELEASES,
        run.name,
        stage="publishing",
        of=described(run),
        code=code_version("1", settings=settings, licence=licence_trained_on(run, plan), policy=run.target.label),
        deps=[
            key(schemas.TRAINING_EXAMPLES, run.training_set.name),
            key(schemas.CHECKPOINTS, run.name),
            key(schemas.METRICS, run.name),
            *(key(table, variant(plan.study.name)) for table in WORTH),
        ],
        kinds=HUB_KINDS,
    )
    def asset(tables: Tables, releases: Releases) -> dg.MaterializeResult:
        """One version on the Hub for each adapter that the run has had."""
        repo = repository(run.name, namespace=settings.namespace)
        release = adapter_release(run, plan, tables.store, repo=repo, home=Path(tables.home))
        published = releases.publish(release, private=settings.private)
        before = rows_before(tables.store, schemas.ADAPTER_RELEASES, run.name)
        rows = recorded(published, schemas.ADAPTER_RELEASES, name=run.name, before=before)
        return tables.write(rows, schemas.ADAPTER_RELEASES, run.name, metadata={"tag": published.tag})

    return asset


def learners(alignment: Alignment, plan: StudyPlan) -> list[Run]:
    """Return the study's runs that are trained on an alignment's final labels."""
    return [run for run in plan.runs if run.is_trained and run.training_set.alignment == alignment]


def repository(name: str, *, namespace: str) -> str:
    """For example ``somebody/fhm-hatemm``."""
    return f"{namespace}/{name.replace('_', '-')}"


def dataset_release(
    alignments: Sequence[Alignment], plan: StudyPlan, store: TableStore, *, repo: str, home: Path
) -> DatasetRelease:
    """Return the release of the alignments' latest tables.

    Raises:
        LicenceError: A column may not leave.
        M2VError: The tables do not fit together: something is stale.
    """
    settings = plan.study.publish
    parts: list[Part] = []
    rows, inputs = [], {}
    for alignment in alignments:
        latest = [
            store.version(schemas.MEMES.name, variant(alignment.memes.name)),
            *(store.version(table.name, alignment.name) for table in ALIGNED),
        ]
        memes, *aligned = (store.read(version.table, version.variant, number=version.number) for version in latest)
        predictions, conflicts, answers, votes = aligned
        _refuse_stale(alignment, plan, memes=memes, predictions=predictions, answers=answers, votes=votes, home=home)
        released = allowed(
            labels(memes, predictions, votes),
            licence=licence_of(alignment, plan),
            columns=settings.columns if settings else None,
            dataset=alignment.memes.name,
        )
        checked = [(version.table, version.variant) for version in latest if schemas.table(version.table).is_checked]
        scored = _slices_of(alignment, plan, store, votes=latest[-1])
        parts.append(
            describe(
                alignment,
                plan,
                rows=released,
                predictions=predictions,
                conflicts=conflicts,
                answers=answers,
                votes=votes,
                findings=findings.recorded(store, *checked),
                worst_slice=slicing.worst_in_words(scored[1]) if scored else None,
            )
        )
        rows.append(released)
        inputs |= _inputs([*latest, scored[0]] if scored else latest)
    gated, contact = (settings.gated, settings.contact) if settings else ("manual", None)
    return DatasetRelease(repo, tuple(parts), tuple(rows), inputs, gated, contact)


def adapter_release(run: Run, plan: StudyPlan, store: TableStore, *, repo: str, home: Path) -> AdapterRelease:
    """Return the release of the run's latest checkpoint.

    Raises:
        M2VError: The run has no adapter, its checkpoint is damaged, or its scores are another checkpoint's.
    """
    settings = plan.study.publish
    checkpoint = store.version(schemas.CHECKPOINTS.name, run.name)
    metrics = store.version(schemas.METRICS.name, run.name)
    scored = _read(metrics, f"checkpoints/{run.name}")
    examples = store.version(schemas.TRAINING_EXAMPLES.name, run.training_set.name)
    trained = _read(checkpoint, f"training_examples/{run.training_set.name}")
    if scored != checkpoint.rows_hash or trained != examples.rows_hash:
        raise M2VError(
            f"{run.name} is out of date: its checkpoint, its scores and its training set are not of one making. Bring "
            f"it up to date first: `m2v run --select metrics/{run.name}`."
        )
    worth = [store.version(table.name, variant(plan.study.name)) for table in WORTH]
    _refuse_other_predictions(run, worth, metrics)
    row = store.read(checkpoint.table, checkpoint.variant, number=checkpoint.number)
    return adapter.describe(
        run,
        repo=repo,
        folder=home / row["folder"].item(),
        checkpoint=row,
        metrics=store.read(metrics.table, metrics.variant, number=metrics.number),
        licence=licence_trained_on(run, plan),
        inputs=_inputs([checkpoint, metrics, examples, *worth]),
        training_data=f"training_examples/{run.training_set.name}, rows hash {examples.rows_hash}",
        worth=worth_of.of_run(
            run.name,
            {each.table: store.read(each.table, each.variant, number=each.number) for each in worth},
        ),
        defects=tuple(finding.summary for finding in _training_findings(run, store) if not finding.is_fine),
        datasets=_published_votes(run, examples, store),
        gated=settings.gated if settings else "manual",
        contact=settings.contact if settings else None,
    )


def licence_trained_on(run: Run, plan: StudyPlan) -> Licence:
    """Return the memes' licence where the run trained on memes, else the target's source's."""
    memes = run.training_set.memes
    return (memes.licence if memes else None) or plan.source(memes or run.target).licence


def rows_before(store: TableStore, table: Table, name: str) -> pl.DataFrame:
    """Return the releases that are on record."""
    return store.read(table.name, name) if store.latest(table.name, name) else table.empty()


def _refuse_stale(
    alignment: Alignment,
    plan: StudyPlan,
    *,
    memes: pl.DataFrame,
    predictions: pl.DataFrame,
    answers: pl.DataFrame,
    votes: pl.DataFrame,
    home: Path,
) -> None:
    # Whatever order they were made in, tables whose votes follow from the others are of one making.
    originals = memes.select("meme_id", original="label").sort("meme_id")
    rule = plan.study.vote_rule
    counted = Annotators(home=str(home)).counted(answers, alignment.name, rule=rule)
    follows = voting.final_labels(predictions, counted, rule=rule).equals(votes)
    if not follows or not predictions.select("meme_id", "original").sort("meme_id").equals(originals):
        raise M2VError(
            f"{alignment.name} is out of date: its votes do not follow from its memes, predictions and answers. Bring "
            f"it up to date first: `m2v run --select voted_labels/{alignment.name}`."
        )


def _refuse_other_predictions(run: Run, worth: Sequence[Version], metrics: Version) -> None:
    """Raise unless thresholds, calibration and slices are of the predictions that the scores are of."""
    place = f"{schemas.TEST_PREDICTIONS.name}/{run.name}"
    scored = _read(metrics, place)
    for version in worth:
        if _read(version, place) != scored:
            raise M2VError(
                f"{version.name} is of other predictions of {run.name} than its scores are. Bring it up to date first: "
                f"`m2v run --select {version.table}/{version.variant}`."
            )


def _read(version: Version, place: str) -> str | None:
    """Return the rows hash of what a version read there, if it did."""
    return (version.provenance.get("parents") or {}).get(place, {}).get("rows_hash")


def _slices_of(
    alignment: Alignment, plan: StudyPlan, store: TableStore, *, votes: Version
) -> tuple[Version, pl.DataFrame] | None:
    """Return the slices of the runs that learned these very votes; None where no such run was scored."""
    latest = store.latest(schemas.SLICES.name, variant(plan.study.name))
    runs = [run.name for run in learners(alignment, plan) if latest and _learned(run, store, latest, votes=votes)]
    if latest is None or not runs:
        return None
    return latest, store.read(latest.table, latest.variant, number=latest.number).filter(pl.col("run").is_in(runs))


def _learned(run: Run, store: TableStore, slices: Version, *, votes: Version) -> bool:
    """Return whether slices are of a run that was trained on these votes, step by step down to them."""
    above = slices
    for table, name in (
        (schemas.TEST_PREDICTIONS, run.name),
        (schemas.CHECKPOINTS, run.name),
        (schemas.TRAINING_EXAMPLES, run.training_set.name),
    ):
        below = store.latest(table.name, name)
        if below is None or _read(above, f"{table.name}/{name}") != below.rows_hash:
            return False
        above = below
    return _read(above, f"{votes.table}/{votes.variant}") == votes.rows_hash


def _training_findings(run: Run, store: TableStore) -> list[Finding]:
    places = [(schemas.VIDEOS, variant(run.target.name)), (schemas.TRAINING_EXAMPLES, run.training_set.name)]
    return findings.recorded(store, *((table.name, name) for table, name in places))


def _published_votes(run: Run, examples: Version, store: TableStore) -> tuple[str, ...]:
    """Repositories that hold the votes that the run trained on."""
    alignment = run.training_set.alignment
    if alignment is None:
        return ()
    place = f"voted_labels/{alignment.name}"
    read = _read(examples, place)
    rows = rows_before(store, schemas.DATASET_RELEASES, alignment.name)
    holds = [json.loads(inputs).get(place, {}).get("rows_hash") == read for inputs in rows["inputs"]]
    return tuple(sorted(set(rows.filter(holds)["repo"]))) if rows.height else ()


def _inputs(versions: Iterable[Version]) -> dict[str, dict[str, Any]]:
    return {
        f"{version.table}/{version.variant}": {"version": version.number, "rows_hash": version.rows_hash}
        for version in versions
    }
