"""``m2v rounds``: people answer in Label Studio, where labels disagree."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from m2v.errors import InvalidCatalog, LabelStudioError, MissingSource
from m2v_cli.commands.options import Json, Study, opened

if TYPE_CHECKING:
    import dagster as dg

    from m2v.catalog.plan import StudyPlan
    from m2v_resources.annotators.rounds import Rounds

app = typer.Typer(help="Rounds of questions to people, in Label Studio.", no_args_is_help=True)


@app.command("open", epilog="Example: m2v rounds open --study sample-live")
def open_rounds(study: Study = "published", as_json: Json = False) -> None:
    """Ask people about conflicts that nobody was asked about, after making these up to date."""
    from m2v_assets import materialise
    from m2v_cli import console
    from m2v_resources.store.home import only_run

    plan, instance, home = _live(study)
    made = []
    with only_run(home), console.RunDisplay() as watch:
        for error in materialise.observe(plan, home=home, instance=instance).values():
            raise error
        for alignment in plan.alignments:
            name = f"rounds/{alignment.name}"
            materialise.run(plan, instance=instance, selection=f"conflicts/{alignment.name}", listen=watch)
            outcome = materialise.run(plan, instance=instance, selection=name, force=True, listen=watch)
            made.append(outcome)
    _show(plan, home, as_json=as_json)
    for outcome in made:
        for step, text in outcome.errors.items():
            console.fail(f"{step}: {text}")
        if outcome.errors:
            raise typer.Exit(1)


@app.command(epilog="Example: m2v rounds status --study sample-live")
def status(study: Study = "published", as_json: Json = False) -> None:
    """Where the rounds are, by what was pulled so far: answers, agreement, each annotator's counts."""
    plan, _, home = _live(study)
    _show(plan, home, as_json=as_json)


@app.command(epilog="Example: m2v rounds pull --study sample-live && m2v run --study sample-live")
def pull(
    study: Study = "published",
    full: Annotated[bool, typer.Option("--full", help="Look at everything, not only at what changed.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch new and changed answers."""
    from m2v_assets import materialise
    from m2v_cli import console

    plan, instance, home = _live(study)
    n_new = {name: rounds.pull(full=full) for name, rounds in _rounds(plan, home).items()}
    materialise.observe(plan, home=home, instance=instance)
    if as_json:
        console.line({"new": n_new})
    else:
        for name, n in n_new.items():
            console.out.print(f"{name}: {n} annotations are new or changed.")
        console.out.print("`m2v run` carries them into the vote and everything below it.")


@app.command(epilog="Example: m2v rounds close fhm_hatemm_001")
def close(name: str, study: Study = "published", as_json: Json = False) -> None:
    """End a round by hand: its answers count, what was not answered may be asked again in another one."""
    from m2v_assets import materialise
    from m2v_cli import console

    plan, instance, home = _live(study)
    for rounds in _rounds(plan, home).values():
        if any(opened.name == name for opened in rounds.ledger.rounds()):
            rounds.close(name)
            materialise.observe(plan, home=home, instance=instance)
            console.line({"closed": name}) if as_json else console.out.print(f"Closed {name}.")
            return
    raise LabelStudioError(f"No round of study {study!r} is called {name!r}; `m2v rounds status` lists them.")


@app.command(epilog="Example: m2v rounds invite")
def invite(
    new: Annotated[bool, typer.Option("--new", help="A new link; no earlier one opens an account any more.")] = False,
    as_json: Json = False,
) -> None:
    """Print the link under which an annotator opens an account: a key, which whoever has it can pass on."""
    from m2v_cli import console

    link = _server().invitation(is_new=new)
    console.line({"link": link}) if as_json else console.out.print(link, soft_wrap=True)


@app.command(epilog="Example: m2v rounds annotators")
def annotators(
    names: Annotated[
        bool, typer.Option("--names", help="Say whose each is, as the server knows them: to name an adjudicator, say.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Each account's number on the server and its pseudonym, the only name it has outside."""
    from m2v_cli import console

    server = _server()
    us = server.check()
    rows = [
        {"account": number, "annotator": server.pseudonym(number), "is_platform": number == us}
        | ({"address": known} if names else {})
        for number, known in server.accounts().items()
    ]
    if as_json:
        console.line(rows)
        return
    shown = [[*row.values()] for row in rows]
    console.table("Annotators", list(rows[0]), shown)


@app.command(epilog="Example: m2v rounds serve --port 8081 --items-per-day 100")
def serve(  # noqa: PLR0917 (options, not arguments)
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 8080,
    items_per_day: Annotated[int, typer.Option(help="What an annotator sees in a day.")] = 200,
    minutes_per_day: Annotated[float, typer.Option(help="How long an annotator labels in a day.")] = 120,
    work_minutes: Annotated[float, typer.Option(help="How long without a break.")] = 25,
    break_minutes: Annotated[float, typer.Option(help="How long a break is.")] = 5,
    time_zone: Annotated[
        str | None, typer.Option(help="Where a day ends, as in Europe/Berlin. Default: this machine's.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=1, help="How many accounts the server takes, its own among them.")] = 100,
) -> None:
    """Label Studio on this machine only, until Ctrl-C (``make label-studio`` installs it first)."""
    from m2v_cli import console
    from m2v_resources.annotators import label_studio_server as server
    from m2v_resources.store.home import home

    server.end_with_us()
    exposure = server.Exposure(
        items_per_day, minutes_per_day, work_minutes, break_minutes, accounts, time_zone or server.local_zone()
    )
    console.out.print(f"Starting Label Studio (the first time takes half a minute) on port {port}")
    process = server.start(home(), port=port, exposure=exposure)
    console.out.print(f"Label Studio runs at http://127.0.0.1:{port} (Ctrl-C stops it).")
    console.out.print(f"Its own account's password is in {home() / server.CREDENTIALS}; annotators: m2v rounds invite")
    raise typer.Exit(server.wait(process))


def pull_before_run(plan: "StudyPlan", instance: "dg.DagsterInstance", home: Path) -> None:
    """Fetch answers where rounds are open; without a server the run goes on with what was pulled before."""
    from m2v_assets import materialise
    from m2v_cli import console

    if plan.study.answers != "live":
        return
    try:
        for rounds in _rounds(plan, home).values():
            if rounds.ledger.rounds():
                rounds.pull()
    except (LabelStudioError, MissingSource) as error:
        console.warn(f"No new answers: {error}")
    materialise.observe(plan, home=home, instance=instance)


def _live(study: str) -> tuple["StudyPlan", "dg.DagsterInstance", Path]:
    plan, instance, home = opened(study)
    if plan.study.answers != "live":
        raise InvalidCatalog(
            plan.study.name,
            "its answers are recorded ones. Write `answers: live` into a study of your own (`m2v study copy`), or look "
            "at the study sample-live.",
        )
    return plan, instance, home


def _server():
    from m2v_resources.annotators.address import address
    from m2v_resources.annotators.label_studio import AnnotationServer
    from m2v_resources.store.home import home

    server = AnnotationServer(address(home()))
    server.check()
    return server


def _rounds(plan: "StudyPlan", home: Path) -> dict[str, "Rounds"]:
    from m2v_resources.annotators.rounds import Rounds

    server = _server()
    return {alignment.name: Rounds(home, alignment.name, server) for alignment in plan.alignments}


def _show(plan: "StudyPlan", home: Path, *, as_json: bool) -> None:
    from m2v.annotation import alarms
    from m2v_cli import console
    from m2v_resources.annotators.annotators import WANTING_OTHERS, standing
    from m2v_resources.annotators.ledger import Ledger
    from m2v_resources.store.versions import open_store

    shown = {}
    store = open_store(home)
    for alignment in plan.alignments:
        now = standing(Ledger(home, alignment.name))
        conflicts = store.read("conflicts", alignment.name) if store.latest("conflicts", alignment.name) else None
        people = []
        if conflicts is not None:
            report = alarms.per_annotator(now.judged.answers, now.items, conflicts, skips=now.judged.skips)
            people = report.to_dicts()
        shown[alignment.name] = {**now.state, "rounds": now.rounds.to_dicts(), "annotators": people}
    if as_json:
        console.line(shown)
        return
    for name, value in shown.items():
        columns = ["round", "role", "mode", "n_conflicts", "n_audit", "n_gold", "state"]
        rows = [
            [*(row[column] for column in columns[:-1]), _with_pictures(row), row["state"]] for row in value["rounds"]
        ]
        console.table(f"Rounds of {name}", [*columns[:-1], "with pictures", "state"], rows)
        counts = [[count, value] for count, value in value.items() if count not in {"rounds", "annotators"}]
        console.table("State", ["", "now"], counts)
        for count, n in value.items():
            about, _, figure = count.partition(": ")
            if figure == WANTING_OTHERS:
                console.warn(
                    f"Round {about} cannot end yet: {n} items have too few answers, and everybody who spoke in it has "
                    f"answered or skipped them. Invite others (`m2v rounds invite`), or `m2v rounds close {about}`."
                )
        if value["annotators"]:
            columns = ["annotator", "n_answers", "n_skips", "gold_accuracy", "rest_agreement_share", "exposure_min"]
            console.table("Annotators", columns, [[row[column] for column in columns] for row in value["annotators"]])


def _with_pictures(row: dict[str, Any]) -> str:
    return f"{row['n_pictures']} of {row['n_conflicts'] + row['n_audit'] + row['n_gold']}"
