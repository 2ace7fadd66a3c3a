"""What the report's sections about the worth of a score show, from rows of their tables."""

from typing import Any

import polars as pl

from m2v.evaluation import facets, learning_curves, wording
from m2v.evaluation import slices as slicing
from m2v.evaluation import suites as judging
from m2v.evaluation.differences import candidate
from m2v.evaluation.marks import ORDER, panelled
from m2v.evaluation.wording import decimal


def differences(rows: pl.DataFrame, *, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's pairs, the scores of a pair side by side, with what can be said of all of them.

    Args:
        rows: Rows of ``differences``.
        results: Rows of ``results``.

    Returns:
        By panel: ``panel``, ``sentence`` and ``pairs``; a pair has the two candidates' ``name_a`` and ``name_b``,
        ``n_items``, ``n_seeds_a``, ``n_seeds_b`` and under ``scores`` a row for each score.
    """
    names = _names(results)
    listed = []
    for panel, of_panel in _panels(rows, names):
        pairs = []
        for (a, b), of_pair in of_panel.group_by("a", "b", maintain_order=True):
            scores = {row["score"]: {**row, "is_apart": is_apart(row)} for row in of_pair.to_dicts()}
            pairs.append({**of_pair.row(0, named=True), "scores": scores, "name_a": names[a], "name_b": names[b]})
        listed.append({"panel": panel, "sentence": _pairs_sentence(of_panel), "pairs": pairs})
    return listed


def is_apart(row: dict[str, Any]) -> bool:
    """Return whether a difference's interval holds no zero."""
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def _pairs_sentence(rows: pl.DataFrame) -> str:
    macro_f1 = rows.filter(score="macro_f1")
    n, n_apart = macro_f1.height, sum(is_apart(row) for row in macro_f1.to_dicts())
    sentence = f"Macro-F1 differs by more than chance in {n_apart} of {n} pair{'s' if n != 1 else ''}."
    smallest = macro_f1["smallest"].drop_nulls()
    if smallest.is_empty():
        return sentence
    low, high = (decimal(value) for value in (smallest.min(), smallest.max()))  # pyright: ignore[reportArgumentType]
    return (
        f"{sentence} A true difference below {low if low == high else f'{low} to {high}'} would often go unseen here."
    )


def _names(results: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what each candidate is: ``panel``, ``fold``, ``strategy``, ``memes`` and ``model`` as people read them."""
    rows = panelled(results).drop_nulls("threshold").with_columns(candidate=candidate())
    return {
        row["candidate"]: _name(row) for row in rows.unique("candidate", keep="first", maintain_order=True).to_dicts()
    }


def _panels(rows: pl.DataFrame, names: dict[str, dict[str, Any]]) -> list[tuple[str, pl.DataFrame]]:
    panels = rows.with_columns(
        panel=pl.col("a").map_elements(lambda name: names[name]["panel"], return_dtype=pl.String)
    )
    return [
        (str(panel), of_panel.drop("panel"))
        for (panel,), of_panel in panels.sort("panel", "fold", "a", "b", "score").group_by("panel", maintain_order=True)
    ]


def calibration(rows: pl.DataFrame, *, curves: pl.DataFrame, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's runs with their calibration by scaling, and the points of their reliability curves.

    Args:
        rows: Rows of ``calibration``.
        curves: Rows of ``reliability``.
        results: Rows of ``results``.

    Returns:
        By panel: ``panel``, ``sentence`` and ``runs``; a run has ``name``, ``scalings`` (a row for each) and ``curve``,
        the points before scaling.
    """
    points = {run: of_run.sort("bin").to_dicts() for (run,), of_run in curves.filter(scaling="none").group_by("run")}
    listed = []
    for panel, of_panel in _run_panels(rows, results):
        runs = [
            {"name": name, "scalings": of_run.sort("scaling").to_dicts(), "curve": points[run]}
            for run, name, of_run in of_panel
        ]
        listed.append({"panel": panel, "sentence": _calibration_sentence(runs), "runs": runs})
    return listed


def _calibration_sentence(runs: list[dict[str, Any]]) -> str:
    raw = [run["scalings"][0] for run in runs]
    n_off = sum(row["ece"] > row["ece_by_chance"] for row in raw)
    better = {
        scaling: sum(
            row["brier_change_high"] < 0 for run in runs for row in run["scalings"] if row["scaling"] == scaling
        )
        for scaling in ("temperature", "isotonic")
    }
    n = len(runs)
    return (
        f"{n_off} of {n} run{'s' if n != 1 else ''} {'give' if n_off != 1 else 'gives'} probabilities that are further "
        "from the shares they claim than chance explains. Scaling lowers the Brier score by more than chance in "
        f"{better['temperature']} (temperature) and {better['isotonic']} (isotonic)."
    )


def _run_panels(
    rows: pl.DataFrame, results: pl.DataFrame
) -> list[tuple[str, list[tuple[str, dict[str, Any], pl.DataFrame]]]]:
    """Return each panel's runs in the order of their strategies: their name, what they are, and their rows."""
    by_run = {str(run): of_run for (run,), of_run in rows.group_by("run", maintain_order=True)}
    order = ["panel", pl.col("strategy").cast(ORDER), "memes", "model", "paper_mode", "seed", "fold", "run"]
    listed = panelled(results).filter(pl.col("run").is_in(list(by_run))).sort(order)
    return [
        (str(panel), [(row["run"], _name(row) | {"seed": row["seed"]}, by_run[row["run"]]) for row in runs.to_dicts()])
        for (panel,), runs in listed.group_by("panel", maintain_order=True)
    ]


def _name(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "panel": row["panel"],
        "fold": row["fold"],
        "strategy": wording.STRATEGIES[row["strategy"]],
        "memes": row["memes"] or "",
        "model": row["model"] + wording.PAPER_MODE * row["paper_mode"],
    }


PROMISES = {
    "promised": "promised",
    "not_promised": "not promised",
    "out_of_reach": "out of reach",
    "not_asked": "cheapest",
}
GOALS = {
    "precision": "precision at least",
    "recall": "recall at least",
    "false_positive_rate": "false-positive rate at most",
    "cost_ratio": "a miss costs false alarms:",
}


def operating_points(rows: pl.DataFrame, *, bands: pl.DataFrame, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's runs with their thresholds and their three bands.

    Args:
        rows: Rows of ``operating_points``.
        bands: Rows of ``review_bands``.
        results: Rows of ``results``.
    """
    of_run = {str(run): found.sort("band").to_dicts() for (run,), found in bands.group_by("run")}
    listed = []
    for panel, of_panel in _run_panels(rows, results):
        runs = [
            {"name": name, "points": found.sort("goal", "wish").to_dicts(), "bands": of_run[run]}
            for run, name, found in of_panel
        ]
        asked = [point for run in runs for point in run["points"] if point["goal"] != "cost_ratio"]
        kept = sum(point["promise"] == "promised" for point in asked)
        held = sorted({(point["n_validation"], point["n_validation_positive"]) for point in asked})
        videos = " or ".join(f"{n} validation videos ({n_positive} positive)" for n, n_positive in held)
        sentence = f"{kept} of {len(asked)} wishes can be promised with {videos}"
        sentence += f"; {len(asked) - kept} cannot." if kept < len(asked) else "."
        listed.append({"panel": panel, "sentence": sentence, "runs": runs})
    return listed


def prevalence(rows: pl.DataFrame, *, scores: pl.DataFrame, results: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return each panel's runs with the share of positives that they say there is, and their scores at others.

    Args:
        rows: Rows of ``prevalence_estimates``.
        scores: Rows of ``prevalence_scores``.
        results: Rows of ``results``.
    """
    of_run = {str(run): found.sort("prevalence").to_dicts() for (run,), found in scores.group_by("run")}
    return {
        panel: [
            {"name": name, "estimate": found.row(0, named=True), "scores": of_run.get(run, [])}
            for run, name, found in of_panel
        ]
        for panel, of_panel in _run_panels(rows, results)
    }


def slices(rows: pl.DataFrame, *, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's worst slice in a sentence, and its runs with all slices that have enough videos.

    Args:
        rows: Rows of ``slices``.
        results: Rows of ``results``.
    """
    listed = []
    for panel, of_panel in _run_panels(rows, results):
        of_runs = pl.concat([found for _, _, found in of_panel])
        names = {run: _told(name) for run, name, _ in of_panel}
        runs = []
        for _, name, found in of_panel:
            shown = found.drop_nulls("accuracy").sort("facet", "value")
            runs.append({"name": name, "slices": shown.to_dicts(), "n_small": found.height - shown.height})
        listed.append(
            {
                "panel": panel,
                "sentence": slicing.worst_in_words(of_runs, names=names),
                "unsupported": slicing.unsupported(of_runs),
                "unknown": facets.unknown(of_runs["facet"].to_list()),
                "runs": runs,
            }
        )
    return listed


def robustness(rows: pl.DataFrame, *, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's greatest loss in a sentence, and its runs with what each operator does to them.

    Args:
        rows: Rows of ``robustness``.
        results: Rows of ``results``.
    """
    listed = []
    for panel, of_panel in _run_panels(rows, results):
        runs = [{"name": name, "operators": found.sort("operator").to_dicts()} for _, name, found in of_panel]
        listed.append({"panel": panel, "sentence": most_lost(runs), "runs": runs})
    return listed


def most_lost(runs: list[dict[str, Any]]) -> str:
    """Return which operator makes which run lose the greatest share of what it flagged, in one sentence."""
    tested = [(row, run["name"]) for run in runs for row in run["operators"] if row["lost_share"] is not None]
    if not tested:
        return "No run flagged any of the positive videos that operators change, so that none can be lost."
    row, name = max(tested, key=lambda found: (found[0]["lost_share"], found[0]["n_flagged"]))
    memes = f", {name['memes']}" if name["memes"] else ""
    low, high = wording.percent(row["lost_share_low"]), wording.percent(row["lost_share_high"])
    return (
        f"Most is lost by {name['model']} ({name['strategy']}{memes}) under {row['operator']}: {row['n_lost']} of "
        f"{row['n_flagged']} flagged videos ({wording.percent(row['lost_share'])}, {low} to {high})."
    )


def functions(rows: pl.DataFrame, *, results: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each panel's runs with what they can do by function and group, and that in a sentence.

    Args:
        rows: Rows of ``functions``.
        results: Rows of ``results``.
    """
    listed = []
    for panel, of_panel in _run_panels(rows, results):
        runs = []
        for _, name, found in of_panel:
            of_all = found.filter(group="all").drop_nulls("right_share")
            lacking = of_all.filter(pl.col("right_share_high") < 0.5)["function"].sort().to_list()
            sentence = f"{len(lacking)} of {of_all.height} functions worse than a coin"
            shown = found.sort("function", pl.col("group") != "all", "group").to_dicts()
            runs.append(
                {
                    "name": name,
                    "rows": shown,
                    "sentence": ": ".join([sentence, *([", ".join(lacking)] * bool(lacking))]),
                }
            )
        listed.append({"panel": panel, "runs": runs})
    return listed


def training_data(
    seen: pl.DataFrame, *, suspects: pl.DataFrame, curves: pl.DataFrame, results: pl.DataFrame
) -> dict[str, Any]:
    """Return what was as good as seen in training, by panel, and how many labels of training sets are doubted.

    Args:
        seen: Rows of ``seen``.
        suspects: As ``suspects.counted`` returns them.
        curves: Rows of ``learning_curves``.
        results: Rows of ``results``.

    Returns:
        ``panels``, each with ``panel``, ``sentence`` and ``runs`` (those that saw any; ``name`` and ``row``),
        ``suspects``, and ``curves`` (``name``, ``sentence`` and ``shares``, rows of ``learning_curves.over_draws``).
    """
    panels = []
    for panel, of_panel in _run_panels(seen, results):
        listed = [{"name": name, "row": found.row(0, named=True)} for _, name, found in of_panel]
        runs = [run for run in listed if run["row"]["n_seen"]]
        n = len(listed)
        sentence = f"Of {n} run{'s' if n != 1 else ''}, {len(runs)} trained on near-duplicates of test videos."
        panels.append({"panel": panel, "sentence": sentence, "runs": runs})
    drawn = [
        {"name": name, "sentence": learning_curves.in_words(found), "shares": found.sort("share").to_dicts()}
        for _, of_panel in _run_panels(learning_curves.over_draws(curves), results)
        for _, name, found in of_panel
    ]
    return {"panels": panels, "suspects": suspects.to_dicts(), "curves": drawn}


def _told(name: dict[str, Any]) -> str:
    memes = f", {name['memes']}" if name["memes"] else ""
    return f"{name['model']} seed {name['seed']} ({name['strategy']}{memes})"


def suites(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each model's rows of a suite, with what can be said of them in a sentence.

    Args:
        rows: Rows of ``suite_results``.
    """
    return [
        {
            "suite": suite,
            "model": model,
            "sentence": judging.summary(str(model), found),
            "rows": [row | {"is_above_chance": judging.is_above_chance(row)} for row in found.to_dicts()],
        }
        for (suite, model), found in rows.group_by("suite", "model", maintain_order=True)
    ]
