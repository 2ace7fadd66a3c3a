"""What came back from Label Studio: answers, skips, and what is neither, with the reason.

The server validates nothing: unknown labels, two choices of a single choice, empty results and other people's names are
all accepted there, so they are sorted out here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

import polars as pl

from m2v import schemas
from m2v.annotation.rounds import Round

LABELS = {"positive": True, "negative": False}
SKIPS = ("harmful", "cannot_tell")
CONFIDENCES = {"1": 1, "2": 2, "3": 3}
# In place of a choice that is none.
UNREADABLE = "(unreadable)"
# Ids and seconds are smaller; NaN is not.
MAX_NUMBER = 1 << 53

# An annotation as the server has it, names already pseudonyms.
RAW_COLUMNS = {
    "project_id": pl.Int64,
    "annotation_id": pl.Int64,
    "item_key": pl.String,
    "annotator": pl.String,
    "author": pl.String,  # who really wrote it; null where it came with an import
    "was_cancelled": pl.Boolean,
    "created_at": pl.Datetime("us", "UTC"),
    "updated_at": pl.Datetime("us", "UTC"),
    "duration_s": pl.Float64,
    "labels": pl.List(pl.String),
    "skips": pl.List(pl.String),
    "confidence": pl.UInt8,
    "comment": pl.String,
    "seen_config_sha256": pl.String,  # the project's config when this state of the annotation was first seen
}
# Ids are used again after a project is deleted; with the time of creation they are not.
RAW_KEY = ("project_id", "annotation_id", "created_at")


@dataclass(frozen=True)
class Judged:
    """Of one round or several.

    Attributes:
        answers: Rows of ``human_labels``, gold items included.
        skips: Rows of ``skips``.
        quarantined: Rows of ``quarantined_answers``.
    """

    answers: pl.DataFrame
    skips: pl.DataFrame
    quarantined: pl.DataFrame


def parsed(result: Any) -> dict[str, Any]:
    """Labels, skips, confidence and comment of an annotation's ``result``, whatever the server has stored there.

    What is no list of choices is a label that nobody knows, so that it is quarantined and not lost.
    """
    parts: dict[str, Any] = {"labels": [], "skips": [], "confidence": None, "comment": None}
    for region in result if isinstance(result, list) else [result] if result else []:
        value = region.get("value") if isinstance(region, Mapping) else None
        name = region.get("from_name") if isinstance(region, Mapping) else None
        if not isinstance(region, Mapping) or not isinstance(value, Mapping | None):
            parts["labels"].append(UNREADABLE)
            continue
        choices = _words((value or {}).get("choices"))
        if name == "label":
            parts["labels"] += choices
        elif name == "skip":
            parts["skips"] += choices
        elif name == "confidence" and choices:
            parts["confidence"] = CONFIDENCES.get(choices[0])
        elif name == "comment" and (lines := _words((value or {}).get("text"))):
            parts["comment"] = "\n".join(lines)
    return parts


def _words(value: Any) -> list[str]:
    """Return a list of texts, one text alone as well; of anything else that there is, that it cannot be read."""
    if value is None:
        return []
    words = value if isinstance(value, list) else [value]
    return [_encodable(word) if isinstance(word, str) else UNREADABLE for word in words]


def _encodable(text: str) -> str:
    # JSON can name half of a character, which no file holds.
    return text.encode("utf-8", "replace").decode()


def raw_row(
    annotation: Mapping[str, Any], data: Any, *, project_id: int, config_sha256: str, pseudonym: Callable[[int], str]
) -> dict[str, Any]:
    """Return an annotation as the server has it, with the columns of ``RAW_COLUMNS``.

    Args:
        annotation: As the server's API gives it; it has an id and times, all else may be anything.
        data: Of its task.
        pseudonym: Of an account's id.
    """
    names = {column: _account(annotation.get(column)) for column in ("completed_by", "updated_by")}
    annotator, author = (None if user is None else pseudonym(user) for user in names.values())
    duration_s = annotation.get("lead_time")
    return {
        "project_id": project_id,
        "annotation_id": annotation["id"],
        "item_key": _encodable(str(data.get("item_key"))) if isinstance(data, Mapping) else "",
        # Nobody's, where the account was deleted.
        "annotator": annotator,
        "author": author,
        "was_cancelled": bool(annotation.get("was_cancelled")),
        "created_at": datetime.fromisoformat(annotation["created_at"]),
        "updated_at": datetime.fromisoformat(annotation["updated_at"]),
        "duration_s": float(duration_s) if _is_number(duration_s) else None,
        "seen_config_sha256": config_sha256,
        **parsed(annotation.get("result")),
    }


def _account(value: Any) -> int | None:
    number = value.get("id") if isinstance(value, Mapping) else value
    return int(number) if _is_number(number) else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def merged(before: pl.DataFrame, pulled: pl.DataFrame) -> pl.DataFrame:
    """Return what was pulled over what was there: the latest pulled state of each annotation, sorted by its key.

    An annotation that vanished from the server stays. Where a state is not new, what was known about it stays too.
    A state that is pulled later is later, whatever its time says: the server's clock may have been put back.

    Args:
        before, pulled: Columns of ``RAW_COLUMNS``.
    """
    new = pulled.join(before, on=[*RAW_KEY, "updated_at"], how="anti").sort(*RAW_KEY, "updated_at")
    new = new.unique(RAW_KEY, keep="last", maintain_order=True)
    return pl.concat([before.join(new, on=RAW_KEY, how="anti"), new]).sort(*RAW_KEY)


def judge(raw: pl.DataFrame, items: pl.DataFrame, asked: Round) -> Judged:
    """Sort a round's annotations into answers, skips and quarantine.

    An annotator's latest word about an item counts. Of an item's answers the first ``n_annotators`` people's count,
    in the order in which they first spoke; the others' are quarantined, so that overlap is the same for every item.

    Args:
        raw: Columns of ``RAW_COLUMNS``.
        items: Columns of ``ITEM_COLUMNS``, see ``rounds``.
    """
    rows = raw.join(items.select("item_key", "meme_id"), on="item_key", how="left")
    rows = rows.with_columns(reason=_reason(asked)).sort("item_key", "annotator", "updated_at", "annotation_id")
    fine = rows.filter(pl.col("reason").is_null())
    first_said = pl.col("created_at").min().over("item_key", "annotator")
    latest = fine.with_columns(first_said=first_said).unique(
        ["item_key", "annotator"], keep="last", maintain_order=True
    )
    is_skip = pl.col("was_cancelled") | (pl.col("skips").list.len() > 0)
    # Sorting and counting: ranking within each item takes five times as long.
    answered = latest.filter(~is_skip).sort("item_key", "first_said", "annotation_id", maintain_order=True)
    answered = answered.with_columns(is_beyond=pl.int_range(pl.len()).over("item_key") >= asked.n_annotators)
    beyond = answered.filter("is_beyond").with_columns(reason=pl.lit("beyond_overlap"))
    out = pl.concat([rows.filter(pl.col("reason").is_not_null()), beyond.select(rows.columns)])
    return Judged(
        answers=_as_answers(answered.filter(~pl.col("is_beyond")), asked).sort(schemas.HUMAN_LABELS.key),
        skips=_as_skips(latest.filter(is_skip), asked).sort(schemas.SKIPS.key),
        quarantined=_as_quarantined(out, asked).sort(schemas.QUARANTINED_ANSWERS.key),
    )


def together(parts: Iterable[Judged]) -> Judged:
    """Several rounds' answers, skips and quarantine, each sorted by its table's key."""
    judged = list(parts)
    answers = [schemas.HUMAN_LABELS.empty(), *(part.answers for part in judged)]
    skips = [schemas.SKIPS.empty(), *(part.skips for part in judged)]
    quarantined = [schemas.QUARANTINED_ANSWERS.empty(), *(part.quarantined for part in judged)]
    return Judged(
        answers=pl.concat(answers).sort(schemas.HUMAN_LABELS.key),
        skips=pl.concat(skips).sort(schemas.SKIPS.key),
        quarantined=pl.concat(quarantined).sort(schemas.QUARANTINED_ANSWERS.key),
    )


def _reason(asked: Round) -> pl.Expr:
    """Why an annotation is none that counts; null where it is."""
    n_labels, n_skips = pl.col("labels").list.len(), pl.col("skips").list.len()
    known = (
        pl.col("labels").list.eval(pl.element().is_in(list(LABELS))).list.all()
        & pl.col("skips").list.eval(pl.element().is_in(list(SKIPS))).list.all()
    )
    chain = pl.when(pl.col("meme_id").is_null()).then(pl.lit("unknown_item"))
    chain = chain.when(pl.col("seen_config_sha256") != asked.definition.config_sha256).then(pl.lit("other_config"))
    if not asked.accept_imports:
        chain = chain.when(pl.col("author").is_null()).then(pl.lit("imported"))
    # A deleted account's answer is nobody's.
    is_own = (pl.col("author") == pl.col("annotator")).fill_null(asked.accept_imports)
    chain = chain.when(~is_own | pl.col("annotator").is_null()).then(pl.lit("other_author"))
    if asked.annotators:
        chain = chain.when(~pl.col("annotator").is_in(list(asked.annotators))).then(pl.lit("not_in_round"))
    return (
        chain.when("was_cancelled")
        .then(None)
        .when(n_labels + n_skips == 0)
        .then(pl.lit("empty_result"))
        .when(n_labels + n_skips > 1)
        .then(pl.lit("two_choices"))
        .when(~known)
        .then(pl.lit("unknown_label"))
    )


def _as_answers(rows: pl.DataFrame, asked: Round) -> pl.DataFrame:
    definition = asked.definition
    columns = schemas.HUMAN_LABELS.columns
    return rows.select(
        "meme_id",
        "annotator",
        label=pl.col("labels").list.first().replace_strict(LABELS, return_dtype=pl.Boolean),
        round=pl.lit(asked.name),
        role=pl.lit(asked.role).cast(columns["role"]),
        mode=pl.lit(asked.mode).cast(columns["mode"]),
        confidence="confidence",
        duration_s="duration_s",
        answered_at="updated_at",
        guideline_sha256=pl.lit(definition.guideline_sha256),
        config_sha256=pl.lit(definition.config_sha256),
        comment="comment",
    )


def _as_skips(rows: pl.DataFrame, asked: Round) -> pl.DataFrame:
    reason = pl.coalesce(pl.col("skips").list.first(), pl.lit("unstated"))
    return rows.select(
        "meme_id",
        "annotator",
        round=pl.lit(asked.name),
        reason=reason.cast(schemas.SKIPS.columns["reason"]),
        skipped_at="updated_at",
    )


def _as_quarantined(rows: pl.DataFrame, asked: Round) -> pl.DataFrame:
    return rows.select(
        round=pl.lit(asked.name),
        project_id="project_id",
        annotation_id="annotation_id",
        meme_id="meme_id",
        annotator="annotator",
        reason=pl.col("reason").cast(schemas.QUARANTINED_ANSWERS.columns["reason"]),
        answered_at="updated_at",
    )
