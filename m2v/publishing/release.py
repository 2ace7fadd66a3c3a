"""A dataset release: which rows and columns leave, what is said of them, and when two releases are the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.entries.base import Licence
from m2v.entries.variants import Alignment
from m2v.errors import LicenceError, M2VError
from m2v.files.digests import data_sha256
from m2v.lineage.findings import Finding

# Bumped when a release says the same in another form, so that the next publish makes a version of it.
FORMAT = 1
# What of an agreement check may leave; its other figures are by annotator.
COEFFICIENTS = {
    "krippendorff_alpha": "Krippendorff's α among annotators",
    "fleiss_kappa": "Fleiss' κ among annotators",
    "pairwise_cohen_kappa": "mean pairwise Cohen's κ among annotators",
    "cohen_kappa": "Cohen's κ between the original label and the model's",
}


class AnswerGroup(BaseModel):
    """Answers that were given in one way: how many, by how many people."""

    model_config = ConfigDict(frozen=True)

    role: str
    mode: str
    guideline_sha256: str | None
    n_answers: int
    n_annotators: int


class Part(BaseModel):
    """What is said of one alignment, all of it from tables and catalog.

    Attributes:
        coefficients: By their names in words; None where not estimable.
        defects: What the integrity checks found, a sentence each.
        worst_slice: On which videos detectors that learned these labels fail most; None where none was scored.
        decided_by: Counts of rows, by who decided.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    memes: str
    memes_title: str
    target: str
    target_title: str
    positive: str
    negative: str
    positive_definition: str
    negative_definition: str
    languages: tuple[str, ...]
    licence: str
    licence_link: str | None
    columns: tuple[str, ...]
    splits: dict[str, int]
    model: str
    model_revision: str | None
    n_requests: int
    n_memes: int
    n_conflicts: int
    n_audited: int
    n_answers: int
    n_annotators: int
    answer_groups: tuple[AnswerGroup, ...]
    vote: str
    min_answers: int
    audit_share: float
    n_positive: int
    n_negative: int
    n_undecided: int
    decided_by: dict[str, int]
    coefficients: dict[str, float | None]
    defects: tuple[str, ...]
    worst_slice: str | None = None


@dataclass(frozen=True, eq=False)
class DatasetRelease:
    """One or several alignments, each a config of one repository.

    Attributes:
        rows: Of each part, in order: columns out of ``released_labels``.
        inputs: Version and rows hash of each table read, by ``table/variant``.
    """

    repo: str
    parts: tuple[Part, ...]
    rows: tuple[pl.DataFrame, ...]
    inputs: Mapping[str, Mapping[str, Any]]
    gated: str | bool = "manual"
    contact: str | None = None

    @property
    def configs(self) -> list[str]:
        """Names of the parts."""
        return [part.name for part in self.parts]

    def content_sha256(self, rows_hash: Callable[[pl.DataFrame], str]) -> str:
        """Return the hash of rows and of what is said of them; not of parquet's bytes, nor of tables' version numbers.

        Args:
            rows_hash: Hashes a frame's rows.
        """
        parts = [
            {"said": part.model_dump(mode="json"), "rows": rows_hash(rows)}
            for part, rows in zip(self.parts, self.rows, strict=True)
        ]
        return digest({"format": FORMAT, "gated": self.gated, "contact": self.contact, "parts": parts})


def digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of plain data in a fixed form."""
    return data_sha256(content)


def labels(memes: pl.DataFrame, predictions: pl.DataFrame, votes: pl.DataFrame) -> pl.DataFrame:
    """Rows of ``released_labels``, sorted by ``meme_id``, with every column that a licence could allow.

    Args:
        memes, predictions, votes: Rows of ``memes``, ``predictions`` and ``voted_labels`` of one alignment.

    Raises:
        InvalidRows: They are not about the same memes.
    """
    joined = votes.join(predictions, on="meme_id", how="left").join(
        memes.select("meme_id", "split", "text", "text_sha256"), on="meme_id", how="left"
    )
    text = [pl.col(column).cast(pl.String) for column in ("split", "decided_by")]
    return schemas.RELEASED_LABELS.validate(
        joined.with_columns(text).select(list(schemas.RELEASED_LABELS.columns)).sort("meme_id")
    )


def allowed(rows: pl.DataFrame, *, licence: Licence, columns: Sequence[str] | None, dataset: str) -> pl.DataFrame:
    """Return the columns that are asked for, all of which the licence lets out.

    Args:
        columns: None: every one that the licence allows.

    Raises:
        LicenceError: The licence lets nothing out, or not all of what is asked for.
    """
    if not licence.publishable:
        raise LicenceError(
            f"The licence entry of {dataset} ({licence.name}) names no publishable columns, so nothing of it is "
            "published. Read the licence, then add `publishable: [meme_id, label, …]` to `licence:` in the dataset's "
            "or its source's YAML."
        )
    wanted = (
        list(columns) if columns is not None else [column for column in rows.columns if column in licence.publishable]
    )
    outside = [column for column in wanted if column not in licence.publishable]
    if outside:
        raise LicenceError(
            f"Column {', '.join(map(repr, outside))} of {dataset} may not be published under its licence "
            f"({licence.name}); it allows {', '.join(licence.publishable)}. Nothing was written. Take the column out "
            "of the study's `publish: columns:`."
        )
    if "meme_id" not in wanted:
        raise M2VError(
            f"A release of {dataset} without meme_id could not be joined to anything; publish that column too."
        )
    return rows.select(wanted)


def describe(
    alignment: Alignment,
    plan: StudyPlan,
    *,
    rows: pl.DataFrame,
    predictions: pl.DataFrame,
    conflicts: pl.DataFrame,
    answers: pl.DataFrame,
    votes: pl.DataFrame,
    findings: Sequence[Finding],
    worst_slice: str | None = None,
) -> Part:
    """Return what is said of an alignment.

    Args:
        rows: What leaves.
        predictions, conflicts, answers, votes: Rows of the tables of these names.
        findings: What the checks found in these and in the memes.
        worst_slice: Of the detectors that learned these labels, in one sentence; None where none was scored.
    """
    target, memes, licence = alignment.target, alignment.memes, licence_of(alignment, plan)
    definitions = target.label.model_dump()
    return Part(
        name=alignment.name,
        memes=memes.name,
        memes_title=memes.title,
        target=target.name,
        target_title=target.title,
        **definitions,
        languages=memes.languages,
        licence=licence.name,
        licence_link=licence.link,
        columns=tuple(rows.columns),
        splits=dict(rows.group_by("split").len().sort("split").iter_rows()) if "split" in rows.columns else {},
        model=", ".join(predictions["model"].unique().sort()),
        model_revision=alignment.recorded.revision,
        n_requests=predictions["request_sha256"].n_unique(),
        n_memes=votes.height,
        n_conflicts=conflicts.filter(reason="disagreement").height,
        n_audited=conflicts.filter(reason="audit").height,
        n_answers=answers.height,
        n_annotators=answers["annotator"].n_unique(),
        answer_groups=tuple(_answer_groups(answers)),
        vote=plan.study.vote_rule.by,
        min_answers=plan.study.vote_rule.min_answers,
        audit_share=plan.study.audited_share,
        n_positive=votes.filter(pl.col("label")).height,
        n_negative=votes.filter(~pl.col("label")).height,
        n_undecided=votes["label"].null_count(),
        decided_by=dict(votes.group_by(pl.col("decided_by").cast(pl.String)).len().sort("decided_by").iter_rows()),
        coefficients=_coefficients(findings),
        defects=tuple(finding.summary for finding in findings if not finding.is_fine),
        worst_slice=worst_slice,
    )


def licence_of(alignment: Alignment, plan: StudyPlan) -> Licence:
    """Return the memes' own licence entry, else their source's."""
    return alignment.memes.licence or plan.source(alignment.memes).licence


def _answer_groups(answers: pl.DataFrame) -> list[AnswerGroup]:
    by = ["role", "mode", "guideline_sha256"]
    groups = answers.group_by(by).agg(n_answers=pl.len(), n_annotators=pl.col("annotator").n_unique())
    return [AnswerGroup(**row) for row in groups.sort(by, nulls_last=True).to_dicts()]


def _coefficients(findings: Sequence[Finding]) -> dict[str, float | None]:
    by_name = {}
    for finding in findings:
        for name, words in COEFFICIENTS.items():
            if name in finding.figures:
                value = finding.figures[name]
                # Six digits: the last ones differ between machines, and no version is made for them.
                by_name[words] = None if value is None else round(float(value), 6)
    return by_name
