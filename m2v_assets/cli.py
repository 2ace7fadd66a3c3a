"""The ``m2v`` command: run a study, see what is stale, read its tables and its report."""

import os
import sys
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2v.catalog import CHECKOUT, load, open_study
from m2v.errors import M2VError, MissingSource

if TYPE_CHECKING:
    import dagster as dg

    from m2v.catalog.variants import StudyPlan
    from m2v_resources.store import TableStore, Version

app = typer.Typer(
    help="Re-annotate hateful memes under a video dataset's definition, and train hateful-video detectors on them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
tables_app = typer.Typer(help="Read the stored tables and their versions.", no_args_is_help=True)
study_app = typer.Typer(help="Studies: what there is, and a copy of one to work on.", no_args_is_help=True)
app.add_typer(tables_app, name="tables")
app.add_typer(study_app, name="study")

Study = Annotated[str, typer.Option("--study", envvar="M2V_STUDY", help="A study's name, or the path of its YAML.")]
Select = Annotated[
    str | None, typer.Option("--select", help="A table, table/variant, or Dagster's asset selection syntax.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Name = Annotated[str, typer.Argument(help="table/variant, or table/variant@version.", show_default=False)]


def main() -> None:
    """Entry point: an error that a user can put right is one message and exit code 1."""
    try:
        app()
    except M2VError as error:
        from m2v_assets import console

        console.fail(str(error))
        sys.exit(1)


@app.command(epilog="Examples: m2v run · m2v run --study sample · m2v run --select voted_labels/fhm_hatemm")
def run(
    study: Study = "published",
    select: Select = None,
    force: Annotated[bool, typer.Option("--force", help="Make the selection anew even where it is fresh.")] = False,
    fallback: Annotated[
        str | None, typer.Option("--fallback", help="Study to run where the first one's sources cannot be had.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Materialise what is stale, with all that it rests on, and nothing else."""
    from m2v_assets import console, materialise
    from m2v_resources.home import only_run

    plan, instance, home = _open(study)
    with only_run(home), console.Watch() as watch:
        try:
            _observe(plan, instance, home)
        except MissingSource as error:
            if not fallback:
                raise
            console.warn(f"{error}\n\nRunning the study {fallback!r} instead of {study!r}.")
            plan = open_study(fallback)
            _observe(plan, instance, home)
        outcome = materialise.run(plan, instance=instance, selection=select, force=force, listen=watch)
    if as_json:
        console.line(outcome.summary())
    else:
        console.show(outcome)
        console.show_report(home, plan)
    if outcome.errors:
        raise typer.Exit(1)


@app.command(epilog="Examples: m2v status · m2v status --study sample --json")
def status(study: Study = "published", select: Select = None, as_json: Json = False) -> None:
    """What is stale, and why."""
    from m2v_assets import console, materialise

    plan, instance, home = _open(study)
    problems = materialise.observe(plan, home=home, instance=instance)
    pending = materialise.pending(plan, instance=instance, selection=select)
    rows = [[asset.to_user_string(), why.reason] for asset, why in pending.items()]
    if as_json:
        stale = [{"asset": asset, "reason": reason} for asset, reason in rows]
        console.line({"stale": stale, "missing_sources": {name: str(error) for name, error in problems.items()}})
        return
    for error in problems.values():
        console.warn(str(error))
    if rows:
        console.table(f"{len(rows)} stale assets of study {plan.study.name}", ["asset", "why"], rows)
    else:
        console.out.print(f"Everything of study {plan.study.name} is up to date.")


@app.command(epilog="Examples: m2v report · m2v report --open")
def report(
    study: Study = "published",
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Where the study's report is."""
    from m2v_assets import console
    from m2v_resources.home import home
    from m2v_resources.reports import latest

    path = latest(home(), open_study(study).study.name)
    if path is None:
        raise M2VError(f"There is no report of {study} yet. Make it with `m2v run --study {study}`.")
    if as_json:
        console.line({"report": str(path)})
    else:
        console.out.print(str(path), soft_wrap=True)
    if show:
        webbrowser.open(path.as_uri())


@app.command(epilog="Example: m2v ui --study sample --port 3001")
def ui(
    study: Study = "published",
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Dagster's UI and daemon for a study, on this machine only, until Ctrl-C."""
    from m2v_assets import console, materialise

    plan, instance, home = _open(study)
    for error in materialise.observe(plan, home=home, instance=instance).values():
        console.warn(str(error))
    is_file = Path(study).suffix in {".yaml", ".yml"}
    os.environ["M2V_STUDY"] = str(Path(study).resolve()) if is_file else study
    # `dg dev` looks for the project in the working folder.
    os.chdir(CHECKOUT)
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--host", "127.0.0.1", "--port", str(port)]
    console.out.print(f"Starting the UI on http://127.0.0.1:{port} (Ctrl-C stops it)")
    os.execv(command[0], command)  # noqa: S606 (no shell on purpose)


@tables_app.command("list", epilog="Example: m2v tables list --json")
def list_tables(as_json: Json = False) -> None:
    """Every stored table with its latest version."""
    from m2v_assets import console

    versions = _store().all_latest()
    if as_json:
        console.line([{"name": version.name, **asdict(version)} for version in versions])
        return
    rows = [[version.name, version.n_rows, version.rows_hash[:12], version.created_at] for version in versions]
    console.table("Stored tables", ["version", "rows", "rows hash", "written (UTC)"], rows)


@tables_app.command(epilog="Examples: m2v tables show voted_labels/fhm_hatemm · m2v tables show memes/fhm@1 --text")
def show(
    name: Name,
    n_rows: Annotated[int, typer.Option("--rows", min=0, help="How many rows.")] = 20,
    text: Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")] = False,
    as_json: Json = False,
) -> None:
    """A version's first rows, without item texts unless asked for."""
    from m2v import schemas
    from m2v_assets import console

    store, version = _version(name)
    frame = store.read(version.table, version.variant, number=version.number)
    shown = frame.head(n_rows).drop([] if text else schemas.table(version.table).hidden)
    if as_json:
        console.line({"name": version.name, "n_rows": frame.height, "rows": shown.to_dicts()})
        return
    console.table(f"{version.name}: {frame.height:,} rows", shown.columns, [list(row) for row in shown.iter_rows()])


@tables_app.command(epilog="Example: m2v tables export voted_labels/fhm_hatemm -o votes.csv")
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to; the ending chooses .csv or .parquet.")],
    as_json: Json = False,
) -> None:
    """Write a version's rows, item texts included, to a CSV or parquet file."""
    from m2v_assets import console
    from m2v_resources.exports import export_table

    store, version = _version(name)
    export_table(store.read(version.table, version.variant, number=version.number), output)
    if as_json:
        console.line({"name": version.name, "n_rows": version.n_rows, "output": str(output)})
    else:
        console.out.print(f"Wrote {version.n_rows:,} rows of {version.name} to {output}.", soft_wrap=True)


@tables_app.command(epilog="Example: m2v tables diff voted_labels/fhm_hatemm@1 @2")
def diff(
    before: Name,
    after: Annotated[str, typer.Argument(help="@version, or another table/variant@version of the same table.")],
    text: Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")] = False,
    as_json: Json = False,
) -> None:
    """Which rows changed between two versions."""
    from m2v import schemas
    from m2v_assets import console
    from m2v_resources.changes import changes

    store, first = _version(before)
    _, second = _version(f"{first.table}/{first.variant}{after}" if after.startswith("@") else after)
    if first.table != second.table:
        raise M2VError(f"{first.name} and {second.name} are of different tables; compare versions of one table.")
    table = schemas.table(first.table)
    rows = changes(*(store.read(each.table, each.variant, number=each.number) for each in (first, second)), table=table)
    shown = rows if text else rows.drop([f"{column}_{end}" for column in table.hidden for end in ("before", "after")])
    if as_json:
        console.line({"before": first.name, "after": second.name, "rows": shown.to_dicts()})
        return
    title = f"{rows.height:,} rows differ between {first.name} and {second.name}"
    console.changes(title, shown, key=list(table.key))


@study_app.command("list", epilog="Example: m2v study list")
def list_studies(as_json: Json = False) -> None:
    """The studies that come with M2V."""
    from m2v_assets import console

    studies = load().studies.values()
    if as_json:
        console.line([study.model_dump(mode="json") for study in studies])
    else:
        console.table("Studies", ["name", "title"], [[study.name, study.title] for study in studies])


@study_app.command(epilog="Example: m2v study copy sample my-study && m2v run --study my-study/study.yaml")
def copy(study: str, folder: Path, as_json: Json = False) -> None:
    """Copy a study with its catalog entries and files into a folder, to edit there."""
    from m2v.datasets import sources
    from m2v.datasets.copy import copy_study
    from m2v_assets import console
    from m2v_resources.home import home

    plan = open_study(study)
    files = {source.name: sources.find(source, home=home()) for source in plan.sources}
    path = copy_study(plan, folder=folder, files=files)
    if as_json:
        console.line({"study": str(path)})
    else:
        console.out.print(f"Copied. Edit what is in {folder}, then: m2v run --study {path}", soft_wrap=True)


def _open(study: str) -> tuple["StudyPlan", "dg.DagsterInstance", Path]:
    import dagster as dg

    from m2v_resources.home import home, use_dagster_home

    plan = open_study(study)
    use_dagster_home(home())
    return plan, dg.DagsterInstance.get(), home()


def _observe(plan: "StudyPlan", instance: "dg.DagsterInstance", home: Path) -> None:
    from m2v_assets import materialise

    for error in materialise.observe(plan, home=home, instance=instance).values():
        raise error


def _store() -> "TableStore":
    from m2v_resources.home import home
    from m2v_resources.store import TableStore

    return TableStore(home() / "tables")


def _version(name: str) -> tuple["TableStore", "Version"]:
    store = _store()
    table, _, rest = name.partition("/")
    variant, _, number = rest.partition("@")
    if not variant or (number and not number.isdecimal()):
        raise M2VError(f"{name!r} names no table. Write table/variant or table/variant@version; see `m2v tables list`.")
    return store, store.version(table, variant, number=int(number) if number else None)
