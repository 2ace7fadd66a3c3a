"""The ``m2v`` command: run a study, see what is stale, read its tables and its report."""

import atexit
import gc
import os
import sys
from dataclasses import asdict
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

from m2v.errors import M2VError, MissingSource
from m2v_cli.commands import audit, datasets, forgetting, host, policies, publish, rounds, runs, studies, tables
from m2v_cli.commands.options import Json, Select, Study, observe, opened
from m2v_resources.team import services

# What help shows together, in the order in which somebody new comes to it.
START, DATA, PEOPLE, WORTH = "Start", "Datasets and studies", "People", "What a score is worth"
RECORD, TEAM = "Publish and answer for it", "A team's machine"
PANELS = [START, DATA, WORTH, PEOPLE, RECORD, TEAM]


class Panels(TyperGroup):
    """Lists commands panel by panel; by itself typer lists those that are no groups first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of help."""
        order = {panel: place for place, panel in enumerate(PANELS)}
        panels = {name: getattr(command, "rich_help_panel", "") for name, command in self.commands.items()}
        return sorted(self.commands, key=lambda name: order.get(panels[name], len(order)))


app = typer.Typer(
    cls=Panels,
    help="Re-annotate hateful memes under a video dataset's definition, and train hateful-video detectors on them.",
    epilog="Begin with `m2v run --study sample`, then `m2v report --study sample --open`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(datasets.app, name="datasets", rich_help_panel=DATA)
app.add_typer(studies.app, name="study", rich_help_panel=DATA)
app.add_typer(tables.app, name="tables", rich_help_panel=DATA)
app.add_typer(rounds.app, name="rounds", rich_help_panel=PEOPLE)
app.add_typer(audit.app, name="audit", rich_help_panel=RECORD)
app.add_typer(publish.app, name="publish", rich_help_panel=RECORD)
app.add_typer(host.app, name="host", rich_help_panel=TEAM)
app.command(
    rich_help_panel=RECORD,
    epilog="Example: m2v rehydrate me/fhm-hatemm@v1 --source train.jsonl -o memes.parquet",
)(publish.rehydrate)
app.command(rich_help_panel=RECORD, epilog='Example: m2v forget meme fhm/37408 --why "take-down request 12"')(
    forgetting.forget
)

app.command(
    rich_help_panel=WORTH,
    epilog="Example: m2v compare minilm_probe_om_ft_veggie_garden_s0 minilm_probe_rm_ft_veggie_garden_s0",
)(runs.compare)
app.command(
    rich_help_panel=WORTH,
    epilog="Example: m2v policy minilm_probe_rm_ft_veggie_garden_s0 --precision .9 --prevalence .02",
)(policies.policy)


@app.callback()
def on_a_teams_machine(context: typer.Context) -> None:
    """Take addresses and secrets from the machine, for every command; its services check first what they lack."""
    if services.is_host() and context.invoked_subcommand != "host":
        from m2v_resources.store.home import home
        from m2v_resources.team import host

        host.use(home())


def main() -> None:
    """Entry point: an error that a user can put right is one message and exit code 1."""
    # Imports make a million objects that stay: looking through them for garbage every 700 takes a sixth of the time.
    gc.set_threshold(100_000, 50, 100)
    # At the end they go with the process; to look through them once more is a quarter of what `m2v status` takes.
    atexit.register(gc.freeze)
    try:
        app()
    except M2VError as error:
        from m2v_cli import console

        console.fail(str(error))
        sys.exit(1)


@app.command(
    rich_help_panel=START,
    epilog="Examples: m2v run · m2v run --study sample · m2v run --select voted_labels/fhm_hatemm",
)
def run(
    study: Study = "published",
    select: Select = None,
    force: Annotated[bool, typer.Option("--force", help="Recompute the selection even where it is fresh.")] = False,
    fallback: Annotated[
        str | None, typer.Option("--fallback", help="Study to run where the first one's sources cannot be had.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Materialise what is stale, with all that it rests on, and nothing else."""
    from m2v_assets import materialise, requirements
    from m2v_cli import console
    from m2v_resources.launching import launchers
    from m2v_resources.store.home import only_run
    from m2v_resources.store.versions import open_store

    plan, instance, home = opened(study)
    with only_run(home), console.RunDisplay() as watch:
        open_store(home).ready()
        launchers.chosen().ready()
        try:
            observe(plan, instance, home)
        except MissingSource as error:
            if not fallback:
                raise
            from m2v.catalog import open_study

            console.warn(f"{error}\n\nRunning the study {fallback!r} instead of {study!r}.")
            plan = open_study(fallback)
            observe(plan, instance, home)
        rounds.pull_before_run(plan, instance, home)
        console.say_asked(plan)
        outcome = materialise.run(plan, instance=instance, selection=select, force=force, listen=watch)
    lost = requirements.lost(plan, home=home)
    if as_json:
        asked = {"asked": [asdict(question) for question in plan.questions], "know_nothing": plan.know_nothing}
        console.line({**outcome.summary(), "lost": lost, **asked})
    else:
        console.show(outcome)
        for line in lost:
            console.warn(line)
        console.show_report(home, plan, behind=outcome.behind)
    if outcome.errors:
        raise typer.Exit(1)


@app.command(rich_help_panel=START, epilog="Examples: m2v status · m2v status --study sample --json")
def status(study: Study = "published", select: Select = None, as_json: Json = False) -> None:
    """Show what is stale, and why."""
    from m2v_assets import materialise, requirements
    from m2v_cli import console

    plan, instance, home = opened(study)
    problems = materialise.observe(plan, home=home, instance=instance)
    missing = requirements.missing(plan, home=home)
    lost = requirements.lost(plan, home=home)
    pending = materialise.pending(plan, instance=instance, selection=select)
    rows = [[asset.to_user_string(), why.reason] for asset, why in pending.items()]
    if as_json:
        stale = [{"asset": asset, "reason": reason} for asset, reason in rows]
        told = {name: str(error) for name, error in problems.items()}
        console.line({"stale": stale, "missing_sources": told, "missing": missing, "lost": lost})
        return
    for error in problems.values():
        console.warn(str(error))
    for problem, waiting in missing.items():
        others = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        console.warn(f"{', '.join(waiting[:3])}{others} cannot be made yet. {problem}")
    for line in lost:
        console.warn(line)
    if rows:
        console.table(f"{len(rows)} assets of study {plan.study.name} are to be made", ["asset", "why"], rows)
    else:
        console.out.print(f"Everything of study {plan.study.name} is up to date.")


@app.command(rich_help_panel=START, epilog="Examples: m2v report · m2v report --open")
def report(
    study: Study = "published",
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Where the study's report is."""
    import webbrowser

    from m2v_assets import materialise
    from m2v_cli import console
    from m2v_resources.store.reports import figures, latest

    plan, instance, home = opened(study)
    path = latest(home, plan.study.name)
    if path is None:
        raise M2VError(f"There is no report of {study} yet. Make it with `m2v run --study {study}`.")
    behind = materialise.behind(plan, instance=instance)
    if behind:
        console.warn(console.not_current(behind, study=plan.study.name))
    if as_json:
        saved = figures(home, plan.study.name)
        console.line({"report": str(path), "json": str(saved) if saved else None, "is_current": not behind})
    else:
        console.out.print(str(path), soft_wrap=True)
    if show:
        webbrowser.open(path.as_uri())


@app.command(rich_help_panel=START, epilog="Example: m2v ui --study sample --port 3001")
def ui(
    study: Study = "published",
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Dagster's UI and daemon for a study, on this machine only, until Ctrl-C."""
    from m2v.catalog import study_file
    from m2v.files.checkout import CHECKOUT
    from m2v_assets import materialise
    from m2v_cli import console
    from m2v_resources.team.ui import serve

    plan, instance, home = opened(study)
    for error in materialise.observe(plan, home=home, instance=instance).values():
        console.warn(str(error))
    file = study_file(study)
    os.environ["M2V_STUDY"] = str(file.resolve()) if file else study
    os.chdir(CHECKOUT)
    console.out.print(f"Starting the UI on http://127.0.0.1:{port} (Ctrl-C stops it)")
    # The checkout's name, as `dg dev` calls it: what was switched on there stays so.
    serve(instance, port=port, location=CHECKOUT.name)
