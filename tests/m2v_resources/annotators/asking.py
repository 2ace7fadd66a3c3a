"""Rounds about a few vegetables, for tests that ask and answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from m2v import schemas
from m2v.annotation.rounds import Round
from m2v.entries.study import RoundPlan
from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer
from m2v_resources.annotators.rounds import RoundQuestion, Rounds
from tests import tables

NO_GOLD = pl.DataFrame(schema={"meme_id": pl.String, "label": pl.Boolean})


def question(
    texts: Mapping[str, str], *, gold: Mapping[str, bool] | None = None, guideline: str = "g"
) -> RoundQuestion:
    """Conflicts about memes with these texts."""
    known = gold or {}
    conflicts = tables.frame(
        schemas.CONFLICTS,
        [{"meme_id": each} for each in texts if each not in known],
        original=True,
        predicted=False,
        reason="disagreement",
        inclusion_probability=1.0,
    )
    memes = tables.memes(*({"meme_id": each, "text": text} for each, text in texts.items()))
    labels = pl.DataFrame([{"meme_id": each, "label": label} for each, label in known.items()], schema=NO_GOLD.schema)
    return RoundQuestion(conflicts, memes, labels, guideline)


def leeks(n: int) -> dict[str, str]:
    return {f"leek {number:04}": f"text of leek {number}" for number in range(n)}


def rounds(home: Path, alignment: str) -> Rounds:
    return Rounds(home, alignment, AnnotationServer(address(home)))


def plan(**settings: Any) -> RoundPlan:
    return RoundPlan(**settings)


def tasks(found: Rounds, this: Round) -> dict[str, int]:
    """Task id of each meme on the server; more than one task for a meme fails."""
    (project,) = found.server.projects(this.uid)
    listed = found.server.tasks(project.project_id)
    memes = dict(found.ledger.items(this).select("item_key", "meme_id").iter_rows())
    by_meme = {memes[task.item_key]: task.task_id for task in listed}
    assert len(by_meme) == len(listed)
    return by_meme


def project_id(found: Rounds, this: Round) -> int:
    (project,) = found.server.projects(this.uid)
    return project.project_id
