"""How far labels agree: people with people, people with the model, the model with the dataset.

A coefficient that cannot be estimated is None, never 0: with one annotator, no item that two answered, or one label
only.
"""

from itertools import combinations

import numpy as np
import polars as pl

from m2v.lineage.findings import Finding, LabelFlow

# Landis and Koch (1977, Biometrics 33:159-174) call agreement below this slight.
SLIGHT_KAPPA = 0.2
# Above this share, people look like a copy of the model rather than a second opinion.
COPY_SHARE = 0.95
# Of the maximum of Dawid and Skene's likelihood: with so little more of it per answer, nothing moves any more.
N_ITERATIONS, TOLERANCE, TINY = 1000, 1e-9, 1e-10
# How sure somebody was who was not asked.
UNSAID = 0


def cohen_kappa(one: pl.Series, other: pl.Series) -> float | None:
    """Cohen's κ (1960) of two raters' labels of the same items; None where both only ever gave one label."""
    from sklearn.metrics import cohen_kappa_score

    if not len(one) or pl.concat([one, other.alias(one.name)]).n_unique() < 2:
        return None
    return float(cohen_kappa_score(one.to_numpy(), other.to_numpy()))


def krippendorff_alpha(answers: pl.DataFrame) -> float | None:
    """Krippendorff's α for nominal labels; takes any number of annotators and missing answers.

    Args:
        answers: Columns ``meme_id``, ``annotator``, ``label``, an annotator once per meme.
    """
    import krippendorff

    shared = _shared(answers)
    if shared.is_empty() or shared["label"].n_unique() < 2:
        return None
    # Counts per meme, not a column per meme: from some ten thousand columns on, that takes minutes.
    counts = _counts(shared).select("no", "yes").to_numpy()
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def fleiss_kappa(answers: pl.DataFrame) -> float | None:
    """Fleiss' κ (1971) over the memes with the most common number of answers, since it needs the same for all.

    Args:
        answers: Columns ``meme_id``, ``annotator``, ``label``, an annotator once per meme.
    """
    from statsmodels.stats.inter_rater import fleiss_kappa as estimate

    shared = _shared(answers)
    if shared.is_empty() or shared["label"].n_unique() < 2:
        return None
    counts = _counts(shared)
    n_answers = counts["no"] + counts["yes"]
    counts = counts.filter(n_answers == n_answers.mode().max()).select("no", "yes")
    if not all(counts.sum().row(0)):
        return None
    return float(estimate(counts.to_numpy(), method="fleiss"))


def pairwise_kappa(answers: pl.DataFrame) -> float | None:
    """Return the mean of Cohen's κ over all pairs of annotators who share memes."""
    shared = _shared(answers)
    by_annotator = {
        name: rows for (name,), rows in shared.sort("annotator").partition_by("annotator", as_dict=True).items()
    }
    kappas = []
    for one, other in combinations(sorted(by_annotator), 2):
        both = by_annotator[one].join(by_annotator[other], on="meme_id")
        kappa = cohen_kappa(both["label"], both["label_right"])
        kappas += [] if kappa is None else [kappa]
    return float(np.mean(kappas)) if kappas else None


def dawid_skene(answers: pl.DataFrame) -> pl.DataFrame | None:
    """Each annotator's accuracy by Dawid and Skene's model (1979, Applied Statistics 28:20-28), without a gold label.

    Returns:
        Columns ``annotator``, ``accuracy`` (f64, the mean of the hit rates on positive and on negative memes, or the
        one of them that the annotator met), sorted; None where there is no ``posterior``.
    """
    positive = posterior(answers)
    if positive is None:
        return None
    judged = _shared(answers).join(positive, on="meme_id")
    return judged.group_by("annotator").agg(accuracy=_hit_rate()).sort("annotator")


def posterior(answers: pl.DataFrame) -> pl.DataFrame | None:
    """How probable the positive label of each shared meme is by Dawid and Skene's model, which weighs annotators.

    Returns:
        Columns ``meme_id`` and ``positive`` (f64), sorted; None where no meme has two answers, only one label was
        given, or fewer than three annotators gave them: two annotators' answers have three degrees of freedom for the
        model's five parameters (Hui and Walter 1980, Biometrics 36:167-171).
    """
    shared = _shared(answers)
    if shared["annotator"].n_unique() < 3 or shared["label"].n_unique() < 2:
        return None
    memes, annotators = (shared[name].unique().sort() for name in ("meme_id", "annotator"))
    meme = memes.search_sorted(shared["meme_id"]).to_numpy()
    annotator = annotators.search_sorted(shared["annotator"]).to_numpy()
    return pl.DataFrame({"meme_id": memes, "positive": _maximised(meme, annotator, shared["label"].to_numpy())})


def weighed(predictions: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """How probable each meme's positive label is, with the dataset and the model as two annotators among people.

    Dawid and Skene's model; people were asked by what the two said, so that leaving these out would be biased. With an
    answer goes how sure the person said to be: how often each degree comes with right and with wrong answers is
    estimated over all people. Rates have one right and one wrong answer in advance (Beta(2, 2)), without which whoever
    gave three answers could outweigh everybody.

    Args:
        predictions: Rows of ``predictions``.
        answers: Rows of ``human_labels``, no adjudicator's among them; of an annotator's answers about a meme the last
            one counts.

    Returns:
        Columns ``meme_id`` and ``positive`` (f64, 0 to 1), sorted by ``meme_id``.
    """
    people = last_answers(answers).select("meme_id", "annotator", "label", pl.col("confidence").fill_null(0))
    machines = [
        predictions.select("meme_id", annotator=pl.lit(f":{column}"), label=column, confidence=pl.lit(UNSAID, pl.UInt8))
        for column in ("original", "predicted")
    ]
    votes = pl.concat([people, *machines]).drop_nulls("label").sort("meme_id", "annotator")
    memes, annotators = (votes[name].unique().sort() for name in ("meme_id", "annotator"))
    positive = _maximised(
        memes.search_sorted(votes["meme_id"]).to_numpy(),
        annotators.search_sorted(votes["annotator"]).to_numpy(),
        votes["label"].to_numpy(),
        sureness=votes["confidence"].to_numpy(),
        in_advance=1.0,
    )
    return pl.DataFrame({"meme_id": memes, "positive": positive})


def _maximised(
    meme: np.ndarray,
    annotator: np.ndarray,
    label: np.ndarray,
    *,
    sureness: np.ndarray | None = None,
    in_advance: float = 0.0,
) -> np.ndarray:
    """Maximise the likelihood of Dawid and Skene's model by expectation and maximisation, from the share of votes.

    Args:
        meme, annotator: Place of each answer's meme and annotator, (answers,), int.
        label: (answers,), bool.
        sureness: Degree that was said with each answer, (answers,), int from 0 on, if it is to count.
        in_advance: Right answers, and wrong ones, that each rate starts with.

    Returns:
        How probable the positive label of each meme is, (memes,), f64.
    """
    positive = np.bincount(meme, weights=label) / np.bincount(meme)
    before = -np.inf
    for _ in range(N_ITERATIONS):
        prior = _inside(positive.mean())
        of_positive, of_negative = positive[meme], 1 - positive[meme]
        # How often each annotator calls a positive meme positive, and a negative one.
        hits, false_alarms = (
            _inside(
                (np.bincount(annotator, chance * label) + in_advance)
                / np.maximum(np.bincount(annotator, chance) + 2 * in_advance, TINY)
            )
            for chance in (of_positive, of_negative)
        )
        if_positive, if_negative = (
            np.log(share)
            + np.bincount(meme, np.where(label, np.log(rate), np.log1p(-rate)) + _said(sureness, label, chance))
            for share, rate, chance in (
                (prior, hits[annotator], of_positive),
                (1 - prior, false_alarms[annotator], of_negative),
            )
        )
        either = np.logaddexp(if_positive, if_negative)
        positive = np.exp(if_positive - either)
        known = sum(in_advance * (np.log(rate) + np.log1p(-rate)).sum() for rate in (hits, false_alarms))
        likelihood = (either.sum() + known) / len(label)
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
    return positive


def _said(sureness: np.ndarray | None, label: np.ndarray, chance: np.ndarray) -> np.ndarray | float:
    """Return how probable, as a logarithm, each answer's degree is, given its label and a meme of this kind."""
    if sureness is None or not sureness.any():
        return 0.0
    degrees = int(sureness.max()) + 1
    kind = label * degrees + sureness
    # Each degree once in advance, but that of votes to which none belongs: the machines' must say nothing.
    seen = np.bincount(kind, chance, minlength=2 * degrees).reshape(2, degrees) + 1.0
    seen[:, UNSAID] = 1.0
    share = seen / (seen.sum(axis=1, keepdims=True) - 1.0)
    share[:, UNSAID] = 1.0
    return np.log(share).ravel()[kind]


def _inside(share: np.ndarray) -> np.ndarray:
    """Keep shares away from 0 and 1, whose logarithms no other answer could outweigh."""
    return np.clip(share, TINY, 1 - TINY)


def _hit_rate() -> pl.Expr:
    """Return the mean hit rate on positive and negative memes; columns ``label``, ``positive`` (its probability)."""
    rates = []
    for chance, is_hit in ((pl.col("positive"), pl.col("label")), (1 - pl.col("positive"), ~pl.col("label"))):
        # Whoever met less than half a meme of a label, in expectation, is not judged by it.
        rates.append(pl.when(chance.sum() >= 0.5).then((chance * is_hit).sum() / chance.sum()))
    return pl.mean_horizontal(rates)


def prediction_findings(predictions: pl.DataFrame, *, variant: str) -> list[Finding]:
    """How the model's labels relate to the dataset's own.

    Args:
        predictions: Rows of ``predictions``.
    """
    labelled = predictions.drop_nulls("predicted")
    kappa = cohen_kappa(labelled["original"], labelled["predicted"])
    n_conflicts = labelled.filter(pl.col("original") != pl.col("predicted")).height
    n_unanswered = predictions.height - labelled.height
    unanswered = f" The model gave no label to {n_unanswered} others." if n_unanswered else ""
    shown = "not estimable" if kappa is None else f"{kappa:.3f}"
    return [
        Finding(
            "agreement_with_original",
            "predictions",
            variant,
            is_fine=kappa is not None and kappa >= SLIGHT_KAPPA,
            summary=(
                f"Cohen's κ between original and predicted labels is {shown}; they differ on {n_conflicts} of "
                f"{labelled.height} memes.{unanswered}"
            ),
            figures={
                "cohen_kappa": kappa,
                "n_conflicts": n_conflicts,
                "n_memes": predictions.height,
                "n_unanswered": n_unanswered,
            },
        )
    ]


def answer_findings(answers: pl.DataFrame, conflicts: pl.DataFrame, *, variant: str) -> list[Finding]:
    """Whether people look like a second opinion, and how far they agree with each other.

    Args:
        answers: Rows of ``human_labels``.
        conflicts: Rows of ``conflicts``.
    """
    return [_sides_with_model(answers, conflicts, variant), _annotator_agreement(answers, variant)]


def _sides_with_model(answers: pl.DataFrame, conflicts: pl.DataFrame, variant: str) -> Finding:
    from scipy.stats import binomtest

    disputed = conflicts.filter(pl.col("original") != pl.col("predicted"))
    judged = latest(answers).join(disputed, on="meme_id")
    n, n_model = judged.height, judged.filter(pl.col("label") == pl.col("predicted")).height
    if not n:
        summary = "Nobody answered about a conflict."
        figures: dict[str, float | int | None] = {"n_answers": 0, "model_share": None, "p_value": None}
        return Finding(
            "humans_side_with_model", "human_labels", variant, is_fine=False, summary=summary, figures=figures
        )
    # One-sided: is the share of answers for the model above the one that a second opinion may have?
    test = binomtest(n_model, n, COPY_SHARE, alternative="greater")
    is_copy = test.pvalue < 0.025
    return Finding(
        "humans_side_with_model",
        "human_labels",
        variant,
        is_fine=not is_copy,
        summary=(
            f"People side with the model in {n_model} of {n} answers about conflicts ({n_model / n:.1%}); one-sided "
            f"binomial test against {COPY_SHARE:.0%}: p = {test.pvalue:.2g}."
            + (" They do not look like an opinion of their own." if is_copy else "")
        ),
        ids=tuple(judged["meme_id"].unique().sort()) if is_copy else (),
        figures={"n_answers": n, "n_with_model": n_model, "model_share": n_model / n, "p_value": float(test.pvalue)},
    )


def _annotator_agreement(answers: pl.DataFrame, variant: str) -> Finding:
    answers = latest(answers)
    alpha = krippendorff_alpha(answers)
    skill = dawid_skene(answers)
    n_annotators, n_shared = answers["annotator"].n_unique(), _shared(answers)["meme_id"].n_unique()
    figures: dict[str, float | int | None] = {
        "n_annotators": n_annotators,
        "n_shared_memes": n_shared,
        "krippendorff_alpha": alpha,
        "fleiss_kappa": fleiss_kappa(answers),
        "pairwise_cohen_kappa": pairwise_kappa(answers),
    }
    if skill is None:
        figures["dawid_skene_accuracy"] = None
    else:
        figures |= {f"dawid_skene_accuracy_{name}": accuracy for name, accuracy in skill.iter_rows()}
    why = f"{n_annotators} annotators, {n_shared} memes with two answers or more"
    shown = f"not estimable ({why})" if alpha is None else f"{alpha:.3f} ({why})"
    return Finding(
        "annotator_agreement",
        "human_labels",
        variant,
        # Krippendorff (2004, p. 241): below .667 not even tentative conclusions.
        is_fine=alpha is not None and alpha >= 0.667,
        summary=f"Krippendorff's α among annotators is {shown}.",
        figures=figures,
    )


def latest(answers: pl.DataFrame) -> pl.DataFrame:
    """Each annotator's answer about a meme in the last round, in the order of the rounds' names; sorted."""
    return last_answers(answers).select("meme_id", "annotator", "label")


def last_answers(answers: pl.DataFrame) -> pl.DataFrame:
    """``latest`` with all columns of ``human_labels``."""
    return answers.sort("meme_id", "annotator", "round").unique(
        ["meme_id", "annotator"], keep="last", maintain_order=True
    )


def _counts(answers: pl.DataFrame) -> pl.DataFrame:
    """How many answers say no and how many yes: columns ``meme_id``, ``no``, ``yes`` (i64), sorted by ``meme_id``."""
    label = pl.col("label")
    counted = answers.group_by("meme_id").agg(no=(~label).sum().cast(pl.Int64), yes=label.sum().cast(pl.Int64))
    return counted.sort("meme_id")


def _shared(answers: pl.DataFrame) -> pl.DataFrame:
    """Answers about memes that more than one annotator answered."""
    return answers.filter(pl.len().over("meme_id") > 1)


def label_flow(predictions: pl.DataFrame, answers: pl.DataFrame, voted: pl.DataFrame, *, variant: str) -> LabelFlow:
    """Return counts and shares over one alignment; of an annotator's answers about a meme, the last one counts.

    Args:
        predictions, answers, voted: Rows of ``predictions``, ``human_labels`` and ``voted_labels``.
    """
    conflicts = predictions.filter(pl.col("original").ne_missing(pl.col("predicted")))
    labelled = predictions.drop_nulls("predicted")
    answers = latest(answers)
    judged = answers.join(conflicts.drop_nulls("predicted"), on="meme_id")
    final = predictions.join(voted, on="meme_id").drop_nulls("label")
    return LabelFlow(
        alignment=variant,
        n_memes=predictions.height,
        n_conflicts=conflicts.height,
        n_answers=answers.height,
        n_flipped=final.filter(pl.col("label") != pl.col("original")).height,
        n_undecided=voted["label"].null_count(),
        positive_before_share=_share(predictions["original"]),
        positive_after_share=_share(final["label"]),
        kappa=cohen_kappa(labelled["original"], labelled["predicted"]),
        humans_side_with_model_share=_share(judged["label"] == judged["predicted"]),
        n_awaiting=voted.filter(decided_by="too_few_answers").height,
    )


def _share(values: pl.Series) -> float | None:
    return float(values.sum() / len(values)) if len(values) else None
