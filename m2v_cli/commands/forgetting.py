"""``m2v forget``: a take-down request."""

from typing import Annotated, Literal

import typer

from m2v_cli.commands.options import Json


def forget(
    kind: Annotated[Literal["meme"], typer.Argument(help="What kind of thing.")],
    item: Annotated[str, typer.Argument(help="dataset/id.")],
    *,
    why: Annotated[str, typer.Option("--why", help="Kept for ever; so nothing of the item's content.")],
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete earlier versions that hold it and weights trained on it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Purge without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Take an item out of every table, list what was trained on it, and keep a tombstone without content."""
    from dataclasses import asdict

    from m2v_cli import console
    from m2v_resources.audit import forgetting
    from m2v_resources.store.home import home, only_run

    if purge and not yes:
        typer.confirm(
            f"Delete every earlier version that holds {item}, and weights trained on it, for good?", abort=True
        )
    with only_run(home()):
        forgotten = forgetting.forget(home(), item, why=why, purge=purge)
    if as_json:
        console.line(asdict(forgotten))
        return
    lists = {
        f"Without {item} since now": forgotten.rewritten,
        "Tainted, for they were trained on it": forgotten.tainted,
        "Deleted": forgotten.purged,
    }
    for title, names in lists.items():
        if names:
            console.table(title, ["name"], [[name] for name in names])
    for remaining in forgotten.remains:
        console.warn(f"Still there: {remaining}.")
    console.out.print("Run `m2v run` to train and score again without it.")
