"""A meme's final label, from the votes of the dataset, the model and any number of people."""

import polars as pl

from m2v import schemas
from m2v.annotation import agreement
from m2v.entries.study import VoteRule
from m2v.errors import InvalidRows
from m2v.lineage.findings import Finding


def final_labels(predictions: pl.DataFrame, answers: pl.DataFrame, *, rule: VoteRule) -> pl.DataFrame:
    """One final label per meme.

    By ``paper`` it has the majority of original label, prediction and people's answers; by ``people`` that of people's
    answers where anybody looked; by ``dawid_skene`` it is the more probable one (``agreement.weighed``). A model that
    gave no answer has no vote, and such a meme is a conflict.

    An annotator has one vote per meme: the answer of the last round, in the order of the rounds' names. An adjudicator
    has none: that answer is the label.

    Args:
        predictions: Rows of ``predictions``.
        answers: Rows of ``human_labels``.
        rule: A conflict with fewer answers than ``min_answers`` stays undecided; an agreed meme with fewer keeps its
            label and its answers are not counted.

    Returns:
        Rows of ``voted_labels``, sorted by ``meme_id``; ``n_votes`` and ``margin`` are counts of votes, whatever weighs
        them. ``decided_by`` is

        - ``agreement``: original and prediction agree and nobody, or too few people, looked;
        - ``humans``: the other two cancel each other out, or people outvoted them;
        - ``majority``: original and prediction agree, people looked, and the label stands;
        - ``adjudicator``: an adjudicator decided what the votes left open; that answer is no vote;
        - ``tie``: as many votes for as against, or as probable as not; the label is null;
        - ``too_few_answers``: a conflict with fewer answers than ``min_answers``; the label is null.

    Raises:
        InvalidRows: An answer is about a meme without a prediction.
    """
    is_ruling = answers["role"] == "adjudicator"
    rulings = _rulings(answers.filter(is_ruling)) if is_ruling.any() else None
    counts = _counts(answers.filter(~is_ruling) if rulings is not None else answers)
    unknown = counts.join(predictions, on="meme_id", how="anti")
    if unknown.height:
        raise InvalidRows(
            f"human_labels: {unknown.height} answered memes have no prediction, for example "
            f"{unknown['meme_id'].min()!r}. Answers and predictions must be of the same alignment."
        )
    positive = None
    if rule.by == "dawid_skene":
        positive = agreement.weighed(predictions, answers.filter(~is_ruling))
    votes = _counted(predictions, counts, rule=rule, positive=positive)
    return votes if rulings is None else _ruled(votes, rulings)


def _counted(
    predictions: pl.DataFrame, counts: pl.DataFrame, *, rule: VoteRule, positive: pl.DataFrame | None
) -> pl.DataFrame:
    """Return what the votes decide, before any adjudicator; rows of ``voted_labels``.

    Args:
        positive: Columns ``meme_id`` and ``positive``, where votes are weighed.
    """
    is_conflict = pl.col("original").ne_missing(pl.col("predicted"))
    counted = pl.col("n_humans") >= rule.min_answers
    n_humans = pl.when(counted).then("n_humans").otherwise(0)
    n_yes = pl.when(counted).then("n_yes").otherwise(0)
    # Where people alone decide, the machines' votes count as long as nobody looked.
    has_vote = pl.lit(True) if rule.by != "people" else ~counted
    machine = has_vote.cast(pl.Int32) * (
        pl.col("original").cast(pl.Int32) + pl.col("predicted").cast(pl.Int32).fill_null(0)
    )
    n_machine = has_vote.cast(pl.Int32) * (1 + pl.col("predicted").is_not_null().cast(pl.Int32))
    lead = 2 * (machine + n_yes) - (n_humans + n_machine)  # votes for the positive label minus votes against
    # Nobody's answer says anything about what nobody looked at.
    evidence = lead if positive is None else pl.when(counted).then(pl.col("positive") - 0.5).otherwise(lead)
    label = evidence > 0
    decided_by = (
        pl.when(is_conflict & ~counted)
        .then(pl.lit("too_few_answers"))
        .when(evidence == 0)
        .then(pl.lit("tie"))
        .when(is_conflict | (label != pl.col("original")))
        .then(pl.lit("humans"))
        .when(n_humans == 0)
        .then(pl.lit("agreement"))
        .otherwise(pl.lit("majority"))
        .cast(schemas.VOTED_LABELS.columns["decided_by"])
    )
    rows = predictions.select("meme_id", "original", "predicted").join(counts, on="meme_id", how="left")
    if positive is None:
        rows = rows.with_columns(positive=pl.lit(None, pl.Float64))
    else:
        rows = rows.join(positive, on="meme_id", how="left")
    return (
        rows.with_columns(pl.col("n_humans", "n_yes").fill_null(0))
        .select(
            "meme_id",
            label=pl.when(evidence != 0).then(label),
            decided_by=decided_by,
            n_votes=(n_humans + n_machine).cast(pl.UInt32),
            n_humans=n_humans.cast(pl.UInt32),
            margin=pl.when(label).then(lead).otherwise(-lead) if positive is not None else lead.abs(),
            posterior="positive",
        )
        .sort("meme_id")
    )


def _rulings(answers: pl.DataFrame) -> pl.DataFrame:
    """Return an adjudicator's last word on each meme: columns ``meme_id`` and ``ruling``."""
    last = answers.sort("round").unique("meme_id", keep="last", maintain_order=True)
    return last.select("meme_id", ruling="label")


def _ruled(votes: pl.DataFrame, rulings: pl.DataFrame) -> pl.DataFrame:
    is_ruled = pl.col("ruling").is_not_null()
    return (
        votes.join(rulings, on="meme_id", how="left", maintain_order="left")
        .with_columns(
            label=pl.when(is_ruled).then("ruling").otherwise("label"),
            decided_by=pl.when(is_ruled)
            .then(pl.lit("adjudicator").cast(schemas.VOTED_LABELS.columns["decided_by"]))
            .otherwise("decided_by"),
        )
        .drop("ruling")
    )


def _counts(answers: pl.DataFrame) -> pl.DataFrame:
    """Columns ``meme_id``, ``n_humans`` and ``n_yes`` (i32)."""
    per_person = answers.lazy()
    if answers["round"].n_unique() > 1:
        per_person = per_person.sort("round").group_by("meme_id", "annotator").agg(pl.col("label").last())
    return (
        per_person.group_by("meme_id")
        .agg(n_humans=pl.len().cast(pl.Int32), n_yes=pl.col("label").sum().cast(pl.Int32))
        .collect()
    )


def voting_findings(
    voted: pl.DataFrame,
    predictions: pl.DataFrame,
    answers: pl.DataFrame,
    *,
    variant: str,
    published: pl.DataFrame | None,
) -> list[Finding]:
    """Return what is to be said about an alignment's votes.

    Args:
        voted, predictions, answers: Rows of ``voted_labels``, ``predictions`` and ``human_labels``.
        published: Columns ``meme_id``, ``label``: final labels that somebody published, to compare ours with.
    """
    findings = [_decided_alone(voted, predictions, variant), _undecided(voted, variant)]
    return findings if published is None else [*findings, _equals_published(voted, published, variant)]


def _decided_alone(voted: pl.DataFrame, predictions: pl.DataFrame, variant: str) -> Finding:
    disputed = predictions.filter(pl.col("original").ne_missing(pl.col("predicted")))
    decided = voted.join(disputed, on="meme_id", how="semi").drop_nulls("label")
    alone = decided.filter(n_humans=1)["meme_id"].sort()
    return Finding(
        "humans_decide_alone",
        "voted_labels",
        variant,
        is_fine=not len(alone),
        summary=(
            f"{len(alone)} of {decided.height} decided conflicts had one answer. Original and prediction cancel each "
            "other out there, so the vote is that one answer."
            if len(alone)
            else "Every decided conflict had more than one answer."
        ),
        ids=tuple(alone),
        figures={"n_decided_conflicts": decided.height, "n_decided_by_one": len(alone)},
    )


def _undecided(voted: pl.DataFrame, variant: str) -> Finding:
    rows = voted.filter(pl.col("label").is_null()).sort("meme_id")
    n_ties = rows.filter(decided_by="tie").height
    return Finding(
        "undecided",
        "voted_labels",
        variant,
        is_fine=rows.is_empty(),
        summary=(
            f"{rows.height} memes have no final label: {n_ties} ties, {rows.height - n_ties} with too few answers."
            if rows.height
            else "Every meme has a final label."
        ),
        ids=tuple(rows["meme_id"]),
        figures={"n_ties": n_ties, "n_too_few_answers": rows.height - n_ties},
    )


def _equals_published(voted: pl.DataFrame, published: pl.DataFrame, variant: str) -> Finding:
    both = voted.join(published, on="meme_id", how="full", coalesce=True, suffix="_published")
    differing = both.filter(pl.col("label").ne_missing(pl.col("label_published")))["meme_id"].sort()
    return Finding(
        "equals_published",
        "voted_labels",
        variant,
        is_fine=not len(differing),
        summary=f"{both.height - len(differing)} of {both.height} final labels equal the published ones.",
        ids=tuple(differing),
        figures={"n_equal": both.height - len(differing), "n_different": len(differing)},
    )
