"""What a check found: the same record becomes an asset check in the UI, a paragraph of the report, a line of a card.

Whoever makes a table finds it, and stores it as rows of ``findings``; everybody else reads them there.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from m2v import schemas


@dataclass(frozen=True)
class Finding:
    """The outcome of one check on one dataset version.

    Attributes:
        check: The check's name, for example ``texts_in_one_split``.
        table: The table it is about, and
        variant: which version of it.
        is_fine: Whether nothing was found.
        summary: One sentence for people: what was found or that nothing was. Never an item's text.
        ids: Every offending item.
        figures: Numbers by name; None is "not estimable".
    """

    check: str
    table: str
    variant: str
    is_fine: bool
    summary: str
    ids: tuple[str, ...] = ()
    figures: dict[str, float | int | None] = field(default_factory=dict)


def to_rows(findings: Iterable[Finding]) -> pl.DataFrame:
    """Return rows of ``findings``, sorted by their key."""
    rows = [
        {
            "check": finding.check,
            "table": finding.table,
            "variant": finding.variant,
            "is_fine": finding.is_fine,
            "summary": finding.summary,
            "ids": list(finding.ids),
            "figures": json.dumps(finding.figures, sort_keys=True),
        }
        for finding in findings
    ]
    return pl.DataFrame(rows, schema=dict(schemas.FINDINGS.columns)).sort(schemas.FINDINGS.key)


def from_rows(rows: pl.DataFrame) -> list[Finding]:
    """Return the findings that are in rows of ``findings``, in their order."""
    return [
        Finding(**{**row, "ids": tuple(row["ids"]), "figures": json.loads(row["figures"])})
        for row in rows.iter_rows(named=True)
    ]


@dataclass(frozen=True)
class LabelFlow:
    """What became of an alignment's labels; None is "not estimable".

    Attributes:
        alignment: For example ``fhm_hatemm``.
        kappa: Cohen's, between original and predicted labels.
        humans_side_with_model_share: Of the answers about memes whose labels differ.
        n_awaiting: Conflicts without a vote because too few people answered; part of ``n_undecided``.
    """

    alignment: str
    n_memes: int
    n_conflicts: int
    n_answers: int
    n_flipped: int
    n_undecided: int
    positive_before_share: float | None
    positive_after_share: float | None
    kappa: float | None
    humans_side_with_model_share: float | None
    n_awaiting: int = 0
