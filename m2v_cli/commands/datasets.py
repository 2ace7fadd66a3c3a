"""``m2v datasets``: what somebody's own files are."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2v_cli.commands.options import Json

if TYPE_CHECKING:
    from m2v.catalog.check import Checked

app = typer.Typer(help="Datasets on your disk: what they are, and how to use them.", no_args_is_help=True)

N_IDS = 3
N_CHARACTERS = 40


@app.command(epilog="Examples: m2v datasets check ~/hateful_memes · m2v datasets check . --layout hatemm --json")
def check(
    folder: Path,
    layout: Annotated[str | None, typer.Option("--layout", help="Try this layout only, and say all it lacks.")] = None,
    as_json: Json = False,
) -> None:
    """Which layout and release a folder's dataset is, what is wrong with it, and the YAML to write."""
    from m2v.catalog.check import check
    from m2v_cli import console

    report = check(folder, layout=layout)
    if as_json:
        console.line(report.summary())
        return
    for dataset in report.datasets:
        _show(dataset)
    command = f"m2v run --study {shlex.quote(str(folder / 'study.yaml'))}"
    _print(f"To use it, write these files into {folder}, then: {command}")
    for path, text in report.documents.items():
        _print(f"\n# {path}\n{text.rstrip()}")


@app.command(epilog="Example: m2v datasets diff ~/hateful_memes_phase_1 ~/hateful_memes_phase_2 -o changed.csv")
def diff(
    left: Path,
    right: Path,
    *,
    left_layout: Annotated[str | None, typer.Option("--left-layout", help="Of the first, where several fit.")] = None,
    right_layout: Annotated[str | None, typer.Option("--right-layout", help="Of the second.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write what differs to a CSV or parquet file, without texts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Which items of two copies of a dataset differ in label, split or text: releases, phases, others' splits."""
    from m2v.catalog.differences import differences
    from m2v_cli import console
    from m2v_resources.store.exports import export_table

    found = differences(left, right, layouts=(left_layout, right_layout))
    if output:
        export_table(found.rows, output)
    if as_json:
        console.line(found.summary() | {"written": str(output) if output else None})
        return
    about = found.summary()
    _print(f"{about['left']} and {about['right']}: {found.n_both:,} items in both.")
    for side, ids in (("first", found.only_left), ("second", found.only_right)):
        _print(f"{len(ids):,} items are in the {side} alone{_some(ids)}.")
    for what in ("label", "split", "text"):
        ids = tuple(found.rows.filter(what=what)["id"])
        _print(f"{len(ids):,} items have another {what}{_some(ids)}.")
    if output:
        _print(f"Written to {output}.")


def _some(ids: tuple[str, ...]) -> str:
    shown = ", ".join(name[:N_CHARACTERS] for name in ids[:N_IDS])
    more = f", and {len(ids) - N_IDS:,} more" if len(ids) > N_IDS else ""
    return f" ({shown}{more})" if shown else ""


def _show(dataset: "Checked") -> None:
    from m2v.catalog.check import counted
    from m2v_cli import console

    release = dataset.release or "unknown"
    _print(f"{dataset.dataset.name}: layout {dataset.dataset.layout}, {dataset.rows.height:,} items, release {release}")
    console.table("", ["split", "label 0", "label 1"], [[split, *n] for split, n in counted(dataset.rows).items()])
    for finding in dataset.findings:
        _print(f"{'fine' if finding.is_fine else 'look'}  {finding.summary}{_some(finding.ids)}")
    _print("")


def _print(text: str) -> None:
    from m2v_cli import console

    console.out.print(text, markup=False, highlight=False, soft_wrap=True)
