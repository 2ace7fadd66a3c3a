"""Options that several commands share, and what they all start with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import dagster as dg

    from m2v.catalog.plan import StudyPlan

Study = Annotated[str, typer.Option("--study", envvar="M2V_STUDY", help="A study's name, its YAML, or its folder.")]
Select = Annotated[
    str | None, typer.Option("--select", help="A table, table/variant, or Dagster's asset selection syntax.")
]
ScoredRun = Annotated[
    str, typer.Argument(help="A run's name, RUN@VERSION, or an adapter's release, user/name@v1.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def opened(study: str) -> tuple["StudyPlan", "dg.DagsterInstance", Path]:
    """Return the study resolved, Dagster's instance, and the platform's home."""
    import dagster as dg

    from m2v.catalog import open_study
    from m2v_resources.store.home import home, use_dagster_home

    plan = open_study(study)
    use_dagster_home(home())
    return plan, dg.DagsterInstance.get(), home()


def observe(plan: "StudyPlan", instance: "dg.DagsterInstance", home: Path) -> None:
    """Record the versions of the study's files.

    Raises:
        M2VError: A source cannot be had.
    """
    from m2v_assets import materialise

    for error in materialise.observe(plan, home=home, instance=instance).values():
        raise error
