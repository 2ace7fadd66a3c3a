"""``m2v study``: what studies there are, and a copy of one to work on."""

from pathlib import Path

import typer

from m2v_cli.commands.options import Json

app = typer.Typer(help="Studies: what there is, and a copy of one to work on.", no_args_is_help=True)


@app.command("list", epilog="Example: m2v study list")
def list_studies(as_json: Json = False) -> None:
    """List the studies that come with M2V."""
    from m2v.catalog import load
    from m2v_cli import console

    studies = load().studies.values()
    if as_json:
        console.line([study.model_dump(mode="json") for study in studies])
    else:
        console.table("Studies", ["name", "title"], [[study.name, study.title] for study in studies])


@app.command(epilog="Example: m2v study copy sample my-study && m2v run --study my-study/study.yaml")
def copy(study: str, folder: Path, as_json: Json = False) -> None:
    """Copy a study with its catalog entries and files into a folder, to edit there."""
    from m2v.catalog import open_study
    from m2v.catalog.copy_study import copy_study
    from m2v.datasets import sources
    from m2v_cli import console
    from m2v_resources.store.home import home

    plan = open_study(study)
    files = {source.name: sources.find(source, home=home()) for source in plan.sources}
    datasets = (*plan.memes, *plan.targets) if plan.shows_pictures else ()
    media = {dataset.name: sources.media(dataset, plan.source(dataset), home=home()) for dataset in datasets}
    path = copy_study(plan, folder=folder, files=files, media=media)
    if as_json:
        console.line({"study": str(path)})
    else:
        console.out.print(f"Copied. Edit what is in {folder}, then: m2v run --study {path}", soft_wrap=True)
