"""``m2v audit``: where a label, checkpoint, number or release comes from, and whether the record holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from m2v_assets.commands.options import Json

if TYPE_CHECKING:
    from m2v.lineage.graph import Node
    from m2v_resources.stories import Stories

app = typer.Typer(help="Where anything comes from, and whether the record holds.", no_args_is_help=True)

Text = Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="Also write a file; the ending chooses: .html a page with the graph drawn, .prov.json W3C PROV-JSON, "
        ".jsonl OpenLineage events. May be repeated.",
    ),
]


@app.command(epilog="Example: m2v audit meme fhm/37408 -o story.html")
def meme(item: str, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """Everything about one meme: its label, its answers, what was trained on it and what rests on that."""
    stories = _stories(text)
    _tell(stories, stories.meme(item), output, as_json)


@app.command(epilog="Example: m2v audit checkpoint minilm_probe_rm_ft_fhm_hatemm_s0")
def checkpoint(run: str, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """What a checkpoint was trained on, down to source files, and what rests on it."""
    stories = _stories(text)
    _tell(stories, stories.checkpoint(run), output, as_json)


@app.command(epilog="Example: m2v audit metric minilm_probe_rm_ft_fhm_hatemm_s0")
def metric(run: str, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """What a run's scores rest on, down to source files."""
    stories = _stories(text)
    _tell(stories, stories.metric(run), output, as_json)


@app.command(epilog="Example: m2v audit release v1")
def release(tag: str, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """What a release was made of, down to source files."""
    stories = _stories(text)
    _tell(stories, stories.release(tag), output, as_json)


@app.command(epilog="Example: m2v audit impact meme fhm/37408")
def impact(
    kind: Annotated[Literal["meme"], typer.Argument(help="What kind of thing.")], item: str, as_json: Json = False
) -> None:
    """What would go stale if a meme's label changed."""
    from m2v_assets import console

    found = _stories(False).impact(item)
    if as_json:
        console.line(found)
        return
    console.table(f"{len(found['stale'])} tables rest on {item}", ["version"], [[name] for name in found["stale"]])
    console.out.print(f"Releases that rest on it: {', '.join(each['tag'] for each in found['releases']) or 'none'}.")


@app.command(epilog="Example: m2v audit diff voted_labels/fhm_hatemm@1 @2")
def diff(before: str, after: str, as_json: Json = False) -> None:
    """Which rows differ between two versions, and the first cause upstream."""
    from dataclasses import asdict

    from m2v import schemas
    from m2v.errors import M2VError
    from m2v.lineage.cause import causes
    from m2v_assets import console
    from m2v_resources.changes import changes

    stories = _stories(False)
    first = stories.graph.node(before)
    second = stories.graph.node(f"{first.place}{after}" if after.startswith("@") else after)
    if first.table != second.table:
        raise M2VError(f"{first.name} and {second.name} are of different tables; compare versions of one table.")
    table = schemas.table(first.table)
    store = stories.record.store
    rows = changes(*(store.read(each.table, each.variant, number=each.number) for each in (first, second)), table=table)
    shown = rows.drop([f"{column}_{end}" for column in table.hidden for end in ("before", "after")])
    found = [asdict(cause) for cause in causes(stories.graph, first.name, second.name)]
    if as_json:
        console.line({"before": first.name, "after": second.name, "causes": found, "rows": shown.to_dicts()})
        return
    console.changes(f"{rows.height:,} rows differ between {first.name} and {second.name}", shown, key=list(table.key))
    console.table("First causes", ["kind", "before", "after", "detail"], [list(cause.values()) for cause in found])


@app.command(epilog="Example: m2v audit verify --json")
def verify(as_json: Json = False) -> None:
    """Recompute every recorded hash; exit code 1 where anything does not match."""
    from dataclasses import asdict

    from m2v_assets import console
    from m2v_resources import verification
    from m2v_resources.home import home

    n_checked, problems = verification.verify(home())
    if as_json:
        found = [asdict(problem) for problem in problems]
        console.line({"n_checked": n_checked, "problems": found, "unprovable": list(verification.UNPROVABLE)})
    else:
        for problem in problems:
            console.fail(f"{problem.where}: {problem.what}.")
        console.out.print(f"{n_checked} records checked, {len(problems)} problems.")
        for line in verification.UNPROVABLE:
            console.out.print(f"Not proved: {line}", soft_wrap=True)
    if problems:
        raise typer.Exit(1)


def _stories(with_text: bool) -> "Stories":
    from m2v_resources.home import home
    from m2v_resources.record import Record
    from m2v_resources.store import TableStore
    from m2v_resources.stories import Stories

    return Stories(Record(TableStore(home() / "tables")), with_text=with_text)


def _tell(stories: "Stories", story: dict[str, Any], output: list[Path] | None, as_json: bool) -> None:
    from m2v_assets import console
    from m2v_resources.stories import graph_of

    nodes = graph_of(story, stories.graph)
    for path in output or []:
        _write(story, nodes, path)
    if as_json:
        console.line(story)
        return
    for each in story.get("rows", []):
        rows = [[name, value] for name, value in each["row"].items()]
        console.table(f"{each['version']} (written {each['written_at']}, code {each['code_version']})", ["", ""], rows)
    for table in ("training_examples", "checkpoints", "metrics", "results"):
        if story.get(table):
            console.table(f"{table} that contain or rest on it", ["version"], [[name] for name in story[table]])
    files = [[name, digest] for name, digest in sorted(story["files"].items())]
    console.table(f"Source files below {len(nodes)} versions", ["file", "sha256"], files)
    for gap in story["gaps"]:
        console.warn(f"Not in the record: {gap}.")


def _write(story: dict[str, Any], nodes: list["Node"], path: Path) -> None:
    from m2v.errors import M2VError
    from m2v.lineage import openlineage, page, provenance
    from m2v_resources.exports import write_text

    if path.name.endswith(".prov.json"):
        write_text(provenance.document(nodes), path)
    elif path.suffix == ".jsonl":
        write_text("".join(f"{line}\n" for line in openlineage.events(nodes)), path)
    elif path.suffix == ".html":
        write_text(page.page(story, nodes), path)
    else:
        raise M2VError(f"{path} ends in none of .html, .prov.json and .jsonl; the ending chooses what is written.")
