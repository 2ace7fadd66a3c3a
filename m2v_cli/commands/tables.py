"""``m2v tables``: read the stored tables and their versions."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2v.errors import M2VError, UnknownName
from m2v_cli.commands.options import Json

if TYPE_CHECKING:
    from m2v_resources.store.versions import TableStore, Version

app = typer.Typer(help="Read the stored tables and their versions.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="table/variant, or table/variant@version.", show_default=False)]


@app.command("list", epilog="Example: m2v tables list --json")
def list_tables(as_json: Json = False) -> None:
    """Every stored table with its latest version."""
    from m2v_cli import console

    versions = _store().all_latest()
    if as_json:
        console.line([{"name": version.name, **asdict(version)} for version in versions])
        return
    rows = [[version.name, version.n_rows, version.rows_hash[:12], version.created_at] for version in versions]
    console.table("Stored tables", ["version", "rows", "rows hash", "written (UTC)"], rows)


@app.command(
    epilog="Examples: m2v tables show memes/fhm@1 --text · m2v tables show results/published --columns run,macro_f1"
)
def show(
    name: Name,
    n_rows: Annotated[int, typer.Option("--rows", min=0, help="How many rows.")] = 20,
    text: Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")] = False,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Which columns, with commas between.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a version's first rows, without item texts unless asked for."""
    from m2v import schemas
    from m2v_cli import console

    store, version = _version(name)
    frame = store.read(version.table, version.variant, number=version.number)
    table = schemas.table(version.table)
    shown = frame.head(n_rows).drop([] if text else table.hidden, strict=False)
    wanted = list(dict.fromkeys(part.strip() for part in columns.split(","))) if columns else shown.columns
    for column in wanted:
        if column in table.hidden and not text:
            raise M2VError(f"{column} of {version.table} holds item texts, which may be hateful; see it with --text.")
        if column not in shown.columns:
            raise UnknownName(f"column of {version.table}", column, shown.columns)
    shown = shown.select(wanted)
    if as_json:
        console.line({"name": version.name, "n_rows": frame.height, "rows": shown.to_dicts()})
        return
    console.rows(
        f"{version.name}: {frame.height:,} row{'s' * (frame.height != 1)}",
        shown.to_dicts(),
        key=[column for column in table.key if column in wanted],
        how_to_see_all=f"Choose with --columns, or see all: --json, or `m2v tables export {version.name} -o rows.csv`.",
    )


@app.command(epilog="Example: m2v tables export voted_labels/fhm_hatemm -o votes.csv")
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to; the ending chooses .csv or .parquet.")],
    as_json: Json = False,
) -> None:
    """Write a version's rows, item texts included, to a CSV or parquet file."""
    from m2v_cli import console
    from m2v_resources.store.exports import export_table

    store, version = _version(name)
    export_table(store.read(version.table, version.variant, number=version.number), output)
    if as_json:
        console.line({"name": version.name, "n_rows": version.n_rows, "output": str(output)})
    else:
        console.out.print(f"Wrote {version.n_rows:,} rows of {version.name} to {output}.", soft_wrap=True)


@app.command(epilog="Example: m2v tables diff voted_labels/fhm_hatemm@1 @2")
def diff(
    before: Name,
    after: Annotated[str, typer.Argument(help="@version, or another table/variant@version of the same table.")],
    text: Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")] = False,
    as_json: Json = False,
) -> None:
    """Which rows changed between two versions."""
    from m2v import schemas
    from m2v.lineage.changes import changes
    from m2v_cli import console

    store, first = _version(before)
    _, second = _version(f"{first.table}/{first.variant}{after}" if after.startswith("@") else after)
    if first.table != second.table:
        raise M2VError(f"{first.name} and {second.name} are of different tables; compare versions of one table.")
    table = schemas.table(first.table)
    rows = changes(
        *(store.read(version.table, version.variant, number=version.number) for version in (first, second)), table=table
    )
    shown = rows if text else rows.drop([f"{column}_{end}" for column in table.hidden for end in ("before", "after")])
    if as_json:
        console.line({"before": first.name, "after": second.name, "rows": shown.to_dicts()})
        return
    title = f"{rows.height:,} rows differ between {first.name} and {second.name}"
    console.changes(title, shown.to_dicts(), key=list(table.key))


def _store() -> "TableStore":
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    return open_store(home())


def _version(name: str) -> tuple["TableStore", "Version"]:
    store = _store()
    table, _, rest = name.partition("/")
    variant, _, number = rest.partition("@")
    if not variant or (number and not number.isdecimal()):
        raise M2VError(f"{name!r} names no table. Write table/variant or table/variant@version; see `m2v tables list`.")
    return store, store.version(table, variant, number=int(number) if number else None)
