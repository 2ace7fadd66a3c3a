"""What detectors can do: how many probes of each function and target group a run calls rightly."""

from collections.abc import Mapping

import polars as pl

from m2v import schemas
from m2v.entries.probes import Probes
from m2v.evaluation import small_samples
from m2v.lineage.findings import Finding

# The group of all groups together.
ALL = "all"


def functions(predictions: Mapping[str, pl.DataFrame], *, probes: pl.DataFrame, entry: Probes) -> pl.DataFrame:
    """Return each run's share of rightly called probes by function and group, with Wilson's interval.

    Args:
        predictions: Rows of ``probe_predictions`` by run.
        probes: Rows of ``probes``.
        entry: Whose functions; one without items has a row that says so.

    Returns:
        Rows of ``functions``.
    """
    rows = []
    for run, said in sorted(predictions.items()):
        called = said.join(probes.select("item_id", "function", "group"), on="item_id").with_columns(
            is_right=pl.col("predicted") == pl.col("expected")
        )
        for name, function in entry.functions.items():
            of_function = called.filter(function=name)
            parts = {ALL: of_function} | {str(group): part for (group,), part in of_function.group_by("group")}
            for group, part in sorted(parts.items()):
                rows.append(
                    {
                        "run": run,
                        "function": name,
                        "group": group,
                        "expected": function.flagged,
                        "n_items": part.height,
                        **small_samples.share("right", int(part["is_right"].sum()), part.height),
                    }
                )
    return pl.DataFrame(rows, schema=dict(schemas.FUNCTIONS.columns)).sort(schemas.FUNCTIONS.key)


def finding(rows: pl.DataFrame, *, unseen: Mapping[str, str], variant: str) -> Finding:
    """Return which runs lack a function, and which functions have no items.

    A run lacks a function when the whole interval of its share lies below one half: a coin does better.

    Args:
        rows: Rows of ``functions``.
        unseen: Why a run could not be asked, by run.
    """
    of_all = rows.filter(group=ALL)
    lacking = of_all.filter(pl.col("right_share_high") < 0.5)
    empty = of_all.filter(n_items=0)["function"].unique().sort().to_list()
    n_runs, n_asked = of_all["run"].n_unique(), of_all.filter(pl.col("n_items") > 0).height
    said = [f"{lacking.height} of {n_asked} functions of {n_runs} runs are called worse than by a coin"]
    said += [f"{', '.join(lacking['function'].unique().sort())} among them"] if lacking.height else []
    sentences = [", ".join(said)]
    if empty:
        sentences.append(f"{', '.join(empty)} have no templates, so nothing is known of them")
    sentences += [f"{run} was not asked: {why}" for run, why in sorted(unseen.items())]
    return Finding(
        "functions_passed",
        schemas.FUNCTIONS.name,
        variant,
        is_fine=lacking.is_empty() and not empty and not unseen,
        summary=f"{'. '.join(sentences)}.",
        ids=tuple(f"{run}/{function}" for run, function in lacking.select("run", "function").sort("run").iter_rows()),
        figures={"n_lacking": lacking.height, "n_asked": n_asked, "n_empty": len(empty), "n_unseen": len(unseen)},
    )
