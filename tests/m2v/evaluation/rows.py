"""Made-up results of a study about vegetables."""

from typing import Any

import polars as pl

from m2v import schemas
from m2v.evaluation.report import Example, Policy, ShownVersion, StudyReport
from m2v.evaluation.suspects import COUNTS
from m2v.lineage.findings import Finding, LabelFlow
from tests import tables

DIGEST = "ab" * 32
SCORES = dict.fromkeys(schemas.SCORES, 0.7)


def results(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of ``results``. A row may give ``macro_f1`` alone; every interval is ± .06 around its score."""
    filled = []
    for row in rows:
        scores = {**SCORES, **{name: value for name, value in row.items() if name in schemas.SCORES}}
        low = {f"{name}_low": None if value is None else round(value - 0.06, 3) for name, value in scores.items()}
        high = {f"{name}_high": None if value is None else round(value + 0.06, 3) for name, value in scores.items()}
        filled.append({**scores, **low, **high, **row})
    return tables.frame(
        schemas.RESULTS,
        filled,
        model="radish",
        strategy="rm_ft",
        target="garden",
        split="own",
        split_digest=DIGEST,
        seed=0,
        paper_mode=False,
        n_train=2000,
        validation_auroc=0.75,
        n_listed=200,
        n_scored=200,
        n_positive=80,
        coverage_share=1.0,
    )


def result(strategy: str, memes: str | None, macro_f1: float, **others: Any) -> dict[str, Any]:
    """A row with its threshold and a name made of what it is."""
    row = {"strategy": strategy, "memes": memes, "macro_f1": macro_f1, "threshold": 0.5, **others}
    names = [row.get("model", "radish"), strategy, memes, row.get("target", "garden"), f"s{row.get('seed', 0)}"]
    return {"run": "_".join(name for name in names if name), **row}


def majority(target: str, macro_f1: float, **others: Any) -> dict[str, Any]:
    row = {
        "run": f"majority_{target}",
        "model": "majority-class",
        "strategy": "majority",
        "target": target,
        "macro_f1": macro_f1,
        "auroc": 0.5,
    }
    return {**row, **others}


def study() -> pl.DataFrame:
    """Two meme datasets, two targets, two models of which one with three seeds, and the majority class of each."""
    rows = []
    for target, shift in (("garden", 0.0), ("market", -0.05)):
        rows.append(majority(target, 0.38 + shift / 5))
        rows.append(result("no_ft", None, 0.51 + shift, target=target))
        rows.append(result("vid_ft", None, 0.77 + shift, target=target))
        for memes, gain in (("leeks", 0.04), ("roots", 0.17)):
            rows.append(result("om_ft", memes, 0.68 - gain + shift, target=target))
            rows.append(result("rm_ft", memes, 0.72 + shift, target=target))
            rows.append(result("vid_rm_ft", memes, 0.78 + shift, target=target, validation_auroc=0.8))
        rows += [
            result("rm_ft", "leeks", 0.71 + shift + seed / 100, target=target, seed=seed, model="beetroot-lora")
            for seed in (0, 1, 2)
        ]
    return results(*rows)


def paper() -> pl.DataFrame:
    """Published values, as in ``paper_results.csv``: two tables that repeat one, and one of no strategy of ours."""
    schema = ["table", "model", "strategy", "finetune_dataset", "target", *("accuracy", "macro_f1")]
    rows = [
        (3, "Turnip-11B", "no_ft", None, "garden", 0.7, 0.69),
        (3, "Turnip-11B", "rm_ft", "leeks", "garden", 0.8, 0.79),
        (3, "Turnip-11B", "vid_ft", "garden", "garden", 0.8, 0.78),
        (3, "Swede-7B", "rm_ft", "leeks", "garden", 0.8, 0.76),
        (3, "Swede-7B", "rm_ft", "leeks", "cellar", 0.8, 0.70),
        (4, "Turnip-11B", "rm_ft", "leeks", "garden", 0.8, 0.79),
        (4, "Turnip-11B", "best_from_dataset_paper", None, "garden", 0.8, 0.75),
    ]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(split_digest=pl.lit(DIGEST))


def comparisons() -> pl.DataFrame:
    """Made-up tests between runs of ``study``, one of them below .05 after Holm's adjustment."""
    rows = [
        ("garden", "radish_om_ft_leeks_garden_s0", "radish_rm_ft_leeks_garden_s0", 17, 26, 0.222, 0.666),
        ("garden", "radish_om_ft_roots_garden_s0", "radish_rm_ft_roots_garden_s0", 14, 52, 0.00001, 0.00004),
        ("garden", "radish_no_ft_garden_s0", "radish_vid_ft_garden_s0", 12, 55, 0.0004, 0.0012),
        ("market", "radish_om_ft_leeks_market_s0", "radish_rm_ft_leeks_market_s0", 20, 24, 0.6516, 1.0),
        ("market", "radish_om_ft_roots_market_s0", "radish_rm_ft_roots_market_s0", 18, 32, 0.0649, 0.1298),
    ]
    videos = 200
    return tables.frame(
        schemas.COMPARISONS,
        [dict(zip(schemas.COMPARISONS.columns, (*row[:3], videos, *row[3:]), strict=True)) for row in rows],
    )


def differences() -> pl.DataFrame:
    """Made-up differences between candidates of ``study``: one apart from zero, one of several seeds, one unknown."""
    pairs = (
        (
            "garden",
            "strategy",
            "radish_om_ft_roots_garden",
            "radish_rm_ft_roots_garden",
            1,
            0.51,
            0.72,
            0.08,
            0.34,
            0.18,
        ),
        (
            "garden",
            "model",
            "beetroot-lora_rm_ft_leeks_garden",
            "radish_rm_ft_leeks_garden",
            3,
            0.72,
            0.72,
            -0.1,
            0.1,
            0.14,
        ),
        ("market", "strategy", "radish_no_ft_market", "radish_vid_ft_market", 1, 0.46, 0.46, 0.0, 0.0, None),
    )
    names = ("target", "varies", "a", "b", "n_seeds_a", "value_a", "value_b", "low", "high", "smallest")
    filled = []
    for pair in pairs:
        row = dict(zip(names, pair, strict=True))
        row["difference"] = row["value_b"] - row["value_a"]
        filled += [{**row, "score": score} for score in ("accuracy", "macro_f1")]
        unknown = dict.fromkeys(("value_a", "value_b", "difference", "low", "high", "smallest"))
        filled.append({**row, **unknown, "score": "auroc"})
    return tables.frame(schemas.DIFFERENCES, filled, split="own", paper_mode=False, n_items=200, n_seeds_b=1)


def calibration() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Made-up calibration of two runs of ``study``, of which one had nothing to be scaled by, with their curves."""
    scaled, unscaled = "radish_rm_ft_leeks_garden_s0", "radish_no_ft_garden_s0"
    scores = [
        {"run": scaled, "scaling": "none", "ece": 0.21, "brier_change": 0.0},
        {"run": scaled, "scaling": "temperature", "ece": 0.06, "brier_change": -0.031, "temperature": 1.75},
        {"run": scaled, "scaling": "isotonic", "ece": 0.09, "brier_change": 0.012},
        {"run": unscaled, "scaling": "none", "ece": 0.05, "brier_change": 0.0, "n_validation": 0},
    ]
    for row in scores:
        ends = {
            f"{name}{end}": row.get(name, 0.2) + step
            for name in ("ece", "brier", "brier_change")
            for end, step in (("_low", -0.02), ("_high", 0.02))
        }
        row |= {"brier": 0.2, **ends}
    points = [
        {"run": run, "scaling": "none", "bin": place, "mean_probability": place / 10 - 0.05, "positive_share": 0.5}
        for run in (scaled, unscaled)
        for place in (1, 7)
    ]
    return (
        tables.frame(schemas.CALIBRATION, scores, n_validation=97, n_test=200, ece_by_chance=0.08),
        tables.frame(schemas.RELIABILITY, points, n=100, low=0.4, high=0.6),
    )


def operating_points() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Made-up thresholds of a run of ``study``, one promised, one not, one out of reach, and its three bands."""
    run, rates = "radish_rm_ft_leeks_garden_s0", ("precision", "recall", "false_positive_rate")
    points = [
        {"goal": "precision", "wish": 0.9, "threshold": 0.91, "promise": "not_promised"},
        {"goal": "recall", "wish": 0.9, "threshold": 0.12, "promise": "promised"},
        {"goal": "false_positive_rate", "wish": 0.05, "threshold": None, "promise": "out_of_reach"},
    ]
    for row in points[:2]:
        row |= {f"{rate}{end}": value for rate in rates for end, value in (("", 0.8), ("_low", 0.7), ("_high", 0.9))}
        row |= {"flagged_per_10000": 1250.0, "flagged_per_10000_low": 1000.0, "flagged_per_10000_high": 1500.0}
    bands = [
        {"band": band, "per_10000": load, "per_10000_low": load - 500, "per_10000_high": load + 500}
        for band, load in (("leave", 6000.0), ("review", 3000.0), ("act", 1000.0))
    ]
    counts = {"n_validation": 97, "n_validation_positive": 39, "n_test": 200, "n_test_positive": 60}
    of_bands = {"error": 0.1, "leave_below": 0.2, "n_positive": 20, "n_negative": 40}
    return (
        tables.frame(schemas.OPERATING_POINTS, points, run=run, prevalence=0.02, **counts),
        tables.frame(schemas.REVIEW_BANDS, bands, run=run, prevalence=0.02, **of_bands),
    )


def slices() -> pl.DataFrame:
    """Made-up slices of two runs of ``study``: one worse than others in both, one of one label, one too small."""
    rows = []
    for run, n_right in (("radish_om_ft_leeks_garden_s0", 11), ("radish_rm_ft_leeks_garden_s0", 14)):
        scores = {f"{score}{end}": 0.55 for score in schemas.SLICE_SCORES for end in ("", "_low", "_high")}
        tested = {"n_right_expected": 18.2, "p_value": 0.001, "p_holm": 0.002}
        alone = {"accuracy": 0.6, "accuracy_low": 0.4, "accuracy_high": 0.8, "n_positive": 20, "n_right": 12}
        rows += [
            {"run": run, "facet": "bed", "value": "sunny", "n_positive": 8, "n_right": n_right, **scores, **tested},
            {"run": run, "facet": "bed", "value": "shady", **alone},
            {"run": run, "facet": "bed", "value": "tiny", "n_items": 3, "n_positive": 1, "n_right": 3},
        ]
    return tables.frame(schemas.SLICES, [{"n_items": 20, **row} for row in rows])


def seen() -> pl.DataFrame:
    """Made-up shares of two runs of ``study``: the one that is taken for the garden has seen some, the other none."""
    scores = {f"{score}{end}": 0.61 for score in schemas.SLICE_SCORES for end in ("", "_low", "_high")}
    counts = {"n_seen": 12, "n_seen_text": 12, "n_seen_picture": 2, "n_unseen_positive": 74}
    none = {"n_seen": 0, "n_seen_text": 0, "n_seen_picture": 0, "n_unseen_positive": 80}
    listed = [
        {"run": "radish_vid_rm_ft_leeks_garden_s0", **counts},
        {"run": "radish_rm_ft_leeks_garden_s0", **none},
    ]
    return tables.frame(schemas.SEEN, listed, n_test=200, **scores)


def label_suspects() -> pl.DataFrame:
    row = ("rm_ft_leeks_garden", "radish", 2000, 800, 240, 150, 0.12)
    return pl.DataFrame([row], schema=COUNTS, orient="row")


def functions() -> pl.DataFrame:
    """Made-up functions of one run of ``study``: one that it has, one that it lacks, one without sentences."""
    run = "radish_rm_ft_leeks_garden_s0"
    rows = [
        ("attack", True, 20, 17, 0.85, 0.64, 0.95),
        ("negation", False, 20, 3, 0.15, 0.05, 0.36),
        ("reclaimed", False, 0, 0, None, None, None),
    ]
    names = ("function", "expected", "n_items", "n_right", "right_share", "right_share_low", "right_share_high")
    found = [{"run": run, "group": "all", **dict(zip(names, row, strict=True))} for row in rows]
    return tables.frame(schemas.FUNCTIONS, found)


def prevalence() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A made-up share that a run of ``study`` counted, and its scores at two others, one without a precision."""
    run = "radish_rm_ft_leeks_garden_s0"
    ends = {
        f"{name}_{end}": value for name in ("precision", "macro_f1") for end, value in (("low", 0.1), ("high", 0.9))
    }
    scores = [
        {"prevalence": 0.02, "precision": 0.155, "macro_f1": 0.61, **ends},
        {"prevalence": 0.5, "macro_f1": 0.8, **ends, "precision_low": None, "precision_high": None},
    ]
    estimate = {"called": 0.3, "estimate": 0.21, "estimate_low": 0.11, "estimate_high": 0.32, "observed": 0.28}
    return (
        tables.frame(schemas.PREVALENCE_ESTIMATES, [estimate], run=run, n_validation=97, n_test=200),
        tables.frame(schemas.PREVALENCE_SCORES, scores, run=run),
    )


def learning_curves() -> pl.DataFrame:
    """Made-up scores of a run of ``study`` on two draws of half of its training data, and on all of it."""
    points = [(0.5, 0, 60, 0.61), (0.5, 1, 60, 0.67), (1.0, 0, 120, 0.74)]
    names = ("share", "draw", "n_train", "macro_f1")
    found = [dict(zip(names, point, strict=True)) for point in points]
    return tables.frame(schemas.LEARNING_CURVES, found, run="radish_rm_ft_leeks_garden_s0", n_test=200, auroc=0.8)


def report(**others: Any) -> StudyReport:
    """A report of ``study`` with something in every section."""
    parts: dict[str, Any] = {
        "study": "vegetables",
        "title": "Which vegetables insult each other",
        "results": study(),
        "comparisons": comparisons(),
        "differences": differences(),
        "calibration": calibration()[0],
        "reliability": calibration()[1],
        "operating_points": operating_points()[0],
        "review_bands": operating_points()[1],
        "prevalence_estimates": prevalence()[0],
        "prevalence_scores": prevalence()[1],
        "slices": slices(),
        "seen": seen(),
        "label_suspects": label_suspects(),
        "learning_curves": learning_curves(),
        "functions": functions(),
        "prevalence": 0.02,
        "findings": (
            Finding("demonstrations_unused", "demonstrations", "garden", True, "No demonstration is trained on."),
            Finding(
                "texts_in_one_split",
                "videos",
                "garden",
                False,
                "3 distinct texts stand in more than one split.",
                ("v12", "v31", "v77"),
                {"n_texts": 3, "share": 0.0125, "kappa": None},
            ),
        ),
        "label_flows": (
            LabelFlow("leeks_garden", 3000, 1136, 1136, 828, 0, 0.326, 0.2, 0.094, 0.729),
            LabelFlow("roots_market", 3000, 1617, 1600, 1196, 17, 0.504, 0.32, -0.073, None, 17),
        ),
        "policies": (Policy("garden", "rude", "polite", "It insults.", "It does not."),),
        "as_of": "2026-11-28",
        "examples": (
            Example("leeks_garden", "leek-7", True, False, False, "Nobody invited the celery"),
            Example("roots_market", "root-9", False, True, None, "A parsnip is a carrot that gave up"),
        ),
        "rejects": pl.DataFrame({"dataset": ["garden"], "reason": ["text_in_other_split"], "n_items": [6]}),
        "versions": (ShownVersion("videos", "garden", 2, "ab" * 32), ShownVersion("memes", "leeks", 1, "cd" * 32)),
        "notes": ("The beetroot-lora runs of om_ft were not asked for.",),
    }
    return StudyReport(**{**parts, **others})
