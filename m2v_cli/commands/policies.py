"""``m2v policy``: which threshold serves a policy, and what it flags."""

from typing import Annotated, Any

import typer

from m2v_cli.commands.options import Json, ScoredRun

Precision = Annotated[float | None, typer.Option(help="Of what is flagged, the share that is to be positive.")]
Recall = Annotated[float | None, typer.Option(help="Of what is positive, the share that is to be flagged.")]
FalsePositiveRate = Annotated[float | None, typer.Option(help="Of what is negative, the share that may be flagged.")]
CostRatio = Annotated[float | None, typer.Option(help="How many false alarms a miss costs.")]
Prevalence = Annotated[float | None, typer.Option(help="Share of positives where it is to work; else the test set's.")]
ReviewError = Annotated[
    float, typer.Option(help="Share of positives that may be left alone, and of negatives that may be acted on.")
]


def policy(
    run: ScoredRun,
    *,
    precision: Precision = None,
    recall: Recall = None,
    false_positive_rate: FalsePositiveRate = None,
    cost_ratio: CostRatio = None,
    prevalence: Prevalence = None,
    review_error: ReviewError = 0.1,
    as_json: Json = False,
) -> None:
    """Choose a threshold on validation videos for what you wish, and see what it does to test videos."""
    from m2v.errors import M2VError
    from m2v.evaluation import operating_points as choosing
    from m2v_cli import console
    from m2v_resources.store import scored
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    asked = dict(zip(choosing.GOALS, (precision, recall, false_positive_rate, cost_ratio), strict=True))
    wishes = [choosing.Wish(goal, value) for goal, value in asked.items() if value is not None]
    if prevalence is not None and not 0 < prevalence < 1:
        raise M2VError(f"The prevalence is {prevalence:g}; it must be between 0 and 1, for example 0.02.")
    store = open_store(home())
    version = scored.version_of(store, run)
    validation, test = scored.validated(store, version), scored.scored(store, version)
    runs = {version.variant: (validation, test)}
    points = choosing.operating_points(runs, wishes=wishes, prevalence=prevalence).to_dicts()
    for point in points:
        choice = choosing.Choice(point["threshold"], point["promise"])
        point["sentence"] = choosing.sentence(choosing.Wish(point["goal"], point["wish"]), choice, validation)
    bands = choosing.review_bands(runs, error=review_error, prevalence=prevalence).to_dicts()
    if as_json:
        console.line({"run": test.run, "validation": validation.run, "operating_points": points, "review_bands": bands})
    else:
        _show_points(test.run, points)
        _show_bands(bands)


def _show_points(run: str, points: list[dict[str, Any]]) -> None:
    from m2v.evaluation import sections
    from m2v.evaluation.wording import decimal, interval
    from m2v_cli import console

    def shown(row: dict[str, Any], name: str) -> str:
        return (
            "none counted"
            if row[name] is None
            else f"{decimal(row[name])} {interval(row[f'{name}_low'], row[f'{name}_high'])}"
        )

    rows = [
        [
            f"{sections.GOALS[point['goal']]} {point['wish']:g}",
            "none" if point["threshold"] is None else decimal(point["threshold"]),
            *(shown(point, name) for name in ("precision", "recall", "false_positive_rate")),
            _load(point, "flagged_per_10000"),
        ]
        for point in points
    ]
    columns = ["wish", "threshold", "precision", "recall", "false-positive rate", "flagged of 10,000"]
    console.table(f"{run}, on test videos", columns, rows)
    for point in points:
        console.out.print(f"{sections.GOALS[point['goal']]} {point['wish']:g}: {point['sentence']}", soft_wrap=True)


def _show_bands(bands: list[dict[str, Any]]) -> None:
    from m2v.evaluation.wording import decimal
    from m2v_cli import console

    leave, _, act = bands
    left, acted = leave["leave_below"], act["act_from"]
    at = {
        "leave": "never: too few positives" if left is None else f"below {decimal(left)}",
        "review": "between",
        "act": "never: too few negatives" if acted is None else f"from {decimal(acted)} on",
    }
    rows = [
        [band["band"], at[band["band"]], band["n_positive"], band["n_negative"], _load(band, "per_10000")]
        for band in bands
    ]
    columns = ["band", "probability", "test positives", "test negatives", "of 10,000"]
    console.table("Leave, review, act", columns, rows)
    console.out.print(
        f"Over validation sets like this one, at most {leave['error']:g} of all positives are left and at most "
        f"{leave['error']:g} of all negatives acted on, on average (split conformal prediction).",
        soft_wrap=True,
    )


def _load(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "none counted"
    return f"{row[name]:,.0f} [{row[f'{name}_low']:,.0f}, {row[f'{name}_high']:,.0f}]"
