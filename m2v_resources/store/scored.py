"""Runs whose test predictions a home keeps, by the names that people give them."""

import json
from collections.abc import Sequence
from typing import Any

from m2v.errors import M2VError, UnknownName
from m2v.evaluation.predicted import Predicted, predicted
from m2v.schemas import ADAPTER_RELEASES, CHECKPOINTS, METRICS, TEST_PREDICTIONS, VALIDATION_PREDICTIONS
from m2v_resources.store.versions import TableStore, Version


def version_of(store: TableStore, name: str) -> Version:
    """Return the version of ``test_predictions`` that a name means.

    Args:
        name: ``RUN``, ``RUN@2``, either with ``test_predictions/`` before it, or a release of an adapter, as
            ``user/name@v1``; without a number or tag the latest.

    Raises:
        UnknownName: With the nearest runs that were scored, or the nearest releases.
        M2VError: The name is of another table, or its version is no number.
    """
    table, _, rest = name.rpartition("/")
    run, _, number = rest.partition("@")
    latest = store.all_latest()
    if table and table not in {version.table for version in latest}:
        return _released(store, name, [version for version in latest if version.table == ADAPTER_RELEASES.name])
    if table not in {"", TEST_PREDICTIONS.name} or (number and not number.isdecimal()):
        raise M2VError(
            f"{name!r} names no run. Write a run's name, {TEST_PREDICTIONS.name}/RUN@VERSION, or a release of an "
            "adapter as user/name@v1; `m2v tables list` has runs."
        )
    known = [version.variant for version in latest if version.table == TEST_PREDICTIONS.name]
    if run not in known:
        raise UnknownName("run with test predictions", run, known)
    return store.version(TEST_PREDICTIONS.name, run, number=int(number) if number else None)


def _released(store: TableStore, name: str, recorded: Sequence[Version]) -> Version:
    """Return the predictions behind the scores that a release of an adapter was published with."""
    repo, _, tag = name.partition("@")
    rows = [row for version in recorded for row in store.read(version.table, version.variant).to_dicts()]
    releases = {f"{row['repo']}@{row['tag']}": row for row in sorted(rows, key=lambda row: row["version"])}
    wanted = name if tag else next((known for known in reversed(releases) if known.startswith(f"{repo}@")), name)
    if wanted not in releases:
        raise UnknownName("release of an adapter in this home", name, releases)
    row = releases[wanted]
    scores = json.loads(row["inputs"])[f"{METRICS.name}/{row['name']}"]
    metrics = store.version(METRICS.name, row["name"], number=scores["version"])
    read = metrics.provenance["parents"][f"{TEST_PREDICTIONS.name}/{row['name']}"]
    return store.version(TEST_PREDICTIONS.name, row["name"], number=read["version"])


def scored(store: TableStore, version: Version) -> Predicted:
    """Return what a run said of test videos, with the threshold of the checkpoint that said it.

    Args:
        version: Of ``test_predictions``.

    Raises:
        M2VError: The version does not say by which checkpoint it was made.
    """
    rows = store.read(version.table, version.variant, number=version.number)
    # Versions of earlier code do not say it.
    return predicted(
        rows, run=version.name, threshold=None if "threshold" in rows.columns else _threshold(store, version)
    )


def validated(store: TableStore, version: Version) -> Predicted:
    """Return what the checkpoint behind a version of a run's test predictions said of validation videos.

    Raises:
        M2VError: No version of them was made by that checkpoint.
    """
    made_by = _made_by(version)
    for number in reversed(store.numbers(VALIDATION_PREDICTIONS.name, version.variant)):
        found = store.version(VALIDATION_PREDICTIONS.name, version.variant, number=number)
        if made_by is not None and (_made_by(found) or {}).get("rows_hash") == made_by["rows_hash"]:
            return predicted(store.read(found.table, found.variant, number=number), run=found.name)
    raise M2VError(
        f"No validation video was scored by the checkpoint that made {version.name}, so no threshold can be chosen. "
        f"Score them: `m2v run --select {VALIDATION_PREDICTIONS.name}/{version.variant}`."
    )


def _made_by(version: Version) -> dict[str, Any] | None:
    """Return number and rows hash of the checkpoint that a version of a run's predictions was made by, if it says."""
    return version.provenance.get("parents", {}).get(f"{CHECKPOINTS.name}/{version.variant}")


def _threshold(store: TableStore, version: Version) -> float:
    """Return the threshold of the checkpoint that a version of a run's predictions was made by."""
    made_by = _made_by(version)
    if made_by is None:
        raise M2VError(
            f"{version.name} does not say which checkpoint made it, so its threshold is unknown. Score the run again: "
            f"`m2v run --select {TEST_PREDICTIONS.name}/{version.variant} --force`."
        )
    checkpoint = store.read(CHECKPOINTS.name, version.variant, number=made_by["version"])
    return float(checkpoint["threshold"].item())
