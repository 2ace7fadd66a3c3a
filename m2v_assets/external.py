"""What the graph rests on and nobody here makes: one list of it, and one way of observing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.datasets import sources
from m2v.entries.variants import variant
from m2v.errors import M2VError
from m2v_assets.describe import file_key, key
from m2v_assets.media import media_key, media_version
from m2v_resources.annotators.annotators import Annotators
from m2v_resources.store.versions import open_store


@dataclass
class Seen:
    """What is there of one kind.

    Attributes:
        versions: By asset; of what cannot be had there is none.
        problems: Sources that cannot be had, with the reason.
    """

    versions: dict[dg.AssetKey, str] = field(default_factory=dict)
    problems: dict[str, M2VError] = field(default_factory=dict)


def files(plan: StudyPlan, *, home: Path) -> Seen:
    """Return the sha256 of each of the sources' files."""
    seen = Seen()
    for source in plan.sources:
        try:
            found = sources.versions(source, home=home)
        except M2VError as error:
            seen.problems[source.name] = error
            continue
        seen.versions |= {file_key(source, file): digest for file, digest in found.items()}
    return seen


def media(plan: StudyPlan, *, home: Path) -> Seen:
    """Return the version of each dataset's media, where a model of the study looks at them and they are there."""
    seen = Seen()
    for dataset in (*plan.memes, *plan.targets) if plan.shows_pictures else ():
        try:
            folder = sources.media(dataset, plan.source(dataset), home=home)
        except M2VError:
            # The asset that needs them says what is missing.
            continue
        seen.versions[media_key(dataset)] = media_version(folder)
    return seen


def forgotten(plan: StudyPlan, *, home: Path) -> Seen:
    """Return the version of what was taken out of each of the study's meme datasets, where anything was."""
    store = open_store(home)
    tables = [key(schemas.FORGOTTEN, variant(memes.name)) for memes in plan.memes]
    latest = {asset: store.latest(*asset.path) for asset in tables}
    return Seen({asset: version.rows_hash for asset, version in latest.items() if version})


def answers(plan: StudyPlan, *, home: Path) -> Seen:
    """Return the version of what was pulled from Label Studio, for each alignment of a study with live answers."""
    if plan.study.answers != "live":
        return Seen()
    people = Annotators(home=str(home))
    return Seen({key("answers", alignment.name): people.version(alignment.name) for alignment in plan.alignments})


# Whoever adds a kind of external thing adds it here, and it is observed wherever the others are.
KINDS: tuple[Callable[..., Seen], ...] = (files, media, forgotten, answers)


def versions(plan: StudyPlan, *, home: Path) -> tuple[dict[dg.AssetKey, str], dict[str, M2VError]]:
    """Return the version of everything that is there, and sources that cannot be had, with the reason."""
    seen = [kind(plan, home=home) for kind in KINDS]
    by_asset, problems = {}, {}
    for kind in seen:
        by_asset |= kind.versions
        problems |= kind.problems
    return by_asset, problems
