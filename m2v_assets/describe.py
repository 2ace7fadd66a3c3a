"""What every asset says of itself in the UI: key, group, description, owners, tags, kinds, code version."""

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import BaseModel

from m2v.catalog.plan import Run, StudyPlan
from m2v.entries import variants
from m2v.entries.datasets import LabelDefinition, Source
from m2v.entries.variants import Alignment, TrainingSet
from m2v.errors import Unreachable
from m2v.evaluation import wording
from m2v.files.digests import text_sha256
from m2v.schemas import Table
from m2v_resources.store.tables import MADE_OF, column_schema

OWNERS = ["team:m2v"]
# The pool of runs whose programs use an accelerator where there is one.
ACCELERATOR = "accelerator"
# Raised when checks find something else in the same rows, or say it otherwise.
CHECKS = "2"
# The tag of runs that a sensor launched, and nobody waits for; its value is what they would do.
PLAN = "m2v/plan"
# So often, and so many seconds apart, such a run asks a server again that does not answer.
N_OUTAGES, OUTAGE_S = 20, 15
TABLE_KINDS = frozenset({"polars", "parquet"})


def key(table: Table | str, variant: str) -> dg.AssetKey:
    """``[table, variant]``."""
    return dg.AssetKey([table if isinstance(table, str) else table.name, variant])


def file_key(source: Source, file: str) -> dg.AssetKey:
    """Return the key of a source's file, for example ``files/published_hatemm_csv``."""
    return key("files", re.sub(r"[^A-Za-z0-9]+", "_", f"{source.name}_{file}"))


def fingerprint(*parts: Any) -> str:
    """Return a short hash of plain data and catalog entries."""
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return text_sha256(text)[:16]


class Code(str):
    """A code version that knows what it is made of.

    Attributes:
        made_of: A hash of each part that has a name, by that name.
    """

    made_of: Mapping[str, str]


def code_version(version: str, *settings: Any, **named: Any) -> Code:
    """Return what decides an asset's content besides its parents: our code, bumped on purpose, and settings, hashed.

    Args:
        named: Settings that are called by their name when they are why an asset is stale; they are hashed last.
    """
    parts = [*settings, *named.values()]
    code = Code(f"{version}-{fingerprint(*parts)}" if parts else version)
    code.made_of = {name: fingerprint(value) for name, value in named.items()}
    return code


def table_asset(
    table: Table,
    variant: str,
    *,
    stage: str,
    of: str,
    code: str,
    deps: Sequence[dg.AssetKey],
    checks: Sequence[str] = (),
    kinds: frozenset[str] = TABLE_KINDS,
    tags: Mapping[str, str] | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Return the decorator ``@dg.asset`` for one version of a table.

    Args:
        stage: Its group in the UI.
        of: Of which dataset, model and policy it is, in words.
        code: What decides its content besides its parents.
        checks: Names of its checks.
        pool: Of runs that wait for each other.
    """
    about = spec(table, variant, stage=stage, of=of, code=code, deps=deps, kinds=kinds, tags=tags)
    return dg.asset(
        key=about.key,
        deps=list(deps),
        group_name=about.group_name,
        description=about.description,
        owners=about.owners,
        kinds=about.kinds,
        metadata=about.metadata,
        tags=about.tags,
        code_version=about.code_version,
        check_specs=[dg.AssetCheckSpec(check, asset=about.key) for check in checks],
        pool=pool,
    )


def study_asset(
    table: Table, plan: StudyPlan, *, code: str, deps: Sequence[dg.AssetKey], checks: Sequence[str] = ()
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Return the decorator for a table about all runs of a study; see ``table_asset``."""
    name, title = variants.variant(plan.study.name), plan.study.title
    return table_asset(table, name, stage="evaluation", of=title, code=code, deps=deps, checks=checks)


def run_asset(
    table: Table,
    run: Run,
    *,
    stage: str,
    code: str,
    deps: Sequence[dg.AssetKey],
    kinds: frozenset[str] = TABLE_KINDS,
    pool: str | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Return the decorator for one run's version of a table; see ``table_asset``."""
    return table_asset(
        table,
        run.name,
        stage=stage,
        of=described(run),
        code=code,
        deps=deps,
        kinds=kinds,
        tags={"m2v/model": run.model.name, "m2v/strategy": run.training_set.strategy, "m2v/target": run.target.name},
        pool=pool,
    )


def spec(
    table: Table,
    variant: str,
    *,
    stage: str,
    of: str,
    code: str,
    deps: Sequence[dg.AssetKey],
    kinds: frozenset[str] = TABLE_KINDS,
    tags: Mapping[str, str] | None = None,
) -> dg.AssetSpec:
    """One version of a table as a spec, for functions that make two tables at once."""
    return dg.AssetSpec(
        key(table, variant),
        deps=deps,
        group_name=stage,
        description=f"{of}. One row is {table.row}.",
        owners=OWNERS,
        # The UI calls an asset by its variant; the kind says of which table it is.
        kinds={*kinds, table.name},
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": f"{table.name}.{variant}",
            **({MADE_OF: dict(code.made_of)} if isinstance(code, Code) and code.made_of else {}),
        },
        tags=tags_of(stage, table.name) | dict(tags or {}),
        code_version=f"{code}+checks{CHECKS}" if table.is_checked else str(code),
    )


def tags_of(stage: str, table: str) -> dict[str, str]:
    """Return the tags by which assets are selected: ``tag:m2v/table=metrics``."""
    return {"m2v/stage": stage, "m2v/table": table}


def policy(label: LabelDefinition) -> str:
    """Return a definition in a few words, as descriptions name it."""
    return f"“{label.positive}” means: {label.positive_definition.rstrip('.')}"


def named(alignment: Alignment) -> str:
    """Return whose memes, under whose definition."""
    target = alignment.target
    return f"{alignment.memes.title}, under the definition of {target.title}: {policy(target.label)}"


def told(training_set: TrainingSet) -> str:
    """Return what a strategy trains on, for which target."""
    memes = f" of {training_set.memes.title}" if training_set.memes else ""
    words = f"{wording.STRATEGIES[training_set.strategy]}{memes}, for {training_set.target.title}"
    return f"{words}: {policy(training_set.target.label)}"


def described(run: Run) -> str:
    """Return which model, trained on what, for which target."""
    base = f" on {run.base.title}" if run.base else ""
    return f"{run.model.title}{base}, seed {run.seed}. {told(run.training_set)}"


@contextlib.contextmanager
def outages_waited_for(context: dg.AssetExecutionContext, *, wait_s: float = OUTAGE_S) -> Iterator[None]:
    """Try a step again whose server did not answer, in runs that nobody waits for; whoever waits is told at once.

    Args:
        wait_s: Seconds before it is tried again.

    Raises:
        RetryRequested: In place of the outage's error.
    """
    try:
        yield
    except Unreachable as error:
        if PLAN not in context.run.tags:
            raise
        raise dg.RetryRequested(max_retries=N_OUTAGES, seconds_to_wait=wait_s) from error


def observed(
    name: str, specs: Sequence[dg.AssetSpec]
) -> Callable[[Callable[..., Iterator[dg.ObserveResult]]], dg.AssetsDefinition]:
    """Return the decorator of what nobody here makes: observing it records its version."""
    with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):  # the only way to observe many at once
        return dg.multi_observable_source_asset(name=name, specs=specs)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no fingerprint")
