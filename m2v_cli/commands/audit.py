"""``m2v audit``: where a label, checkpoint, number or release comes from, and whether the record holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from m2v_cli.commands.options import Json

if TYPE_CHECKING:
    from m2v.lineage.graph import Node
    from m2v_resources.audit.stories import Stories

app = typer.Typer(help="Where anything comes from, and whether the record holds.", no_args_is_help=True)

Text = Annotated[bool, typer.Option("--text", help="Show item texts too; they may be hateful.")]
Item = Annotated[
    str | None,
    typer.Option("--meme", help="dataset/id: also its rows in exactly the versions below.", show_default=False),
]
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
def checkpoint(run: str, of: Item = None, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """Show what a checkpoint was trained on, down to source files, and what rests on it."""
    stories = _stories(text)
    _tell(stories, stories.checkpoint(run, item=of), output, as_json)


@app.command(epilog="Example: m2v audit metric minilm_probe_rm_ft_fhm_hatemm_s0")
def metric(run: str, of: Item = None, text: Text = False, output: Output = None, as_json: Json = False) -> None:
    """Show what a run's scores rest on, or a table as in robustness/published, down to source files."""
    stories = _stories(text)
    _tell(stories, stories.metric(run, item=of), output, as_json)


@app.command(epilog="Example: m2v audit release me/fhm-hatemm@v1 --meme fhm/37408")
def release(
    name: Annotated[str, typer.Argument(help="user/name@tag, or the tag where it is the only one.")],
    of: Item = None,
    text: Text = False,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Show what a release was made of, down to the rows and source files."""
    stories = _stories(text)
    _tell(stories, stories.release(name, item=of), output, as_json)


@app.command(epilog="Example: m2v audit impact meme fhm/37408")
def impact(
    kind: Annotated[Literal["meme"], typer.Argument(help="What kind of thing.")], item: str, as_json: Json = False
) -> None:
    """Show what would go stale if a meme's label changed."""
    from m2v_cli import console

    affected = _stories(False).impact(item)
    if as_json:
        console.line(affected)
        return
    console.table(
        f"{len(affected['stale'])} tables rest on {item}", ["version"], [[name] for name in affected["stale"]]
    )
    console.out.print(
        f"Releases that rest on it: {', '.join(release['tag'] for release in affected['releases']) or 'none'}."
    )


@app.command(epilog="Examples: m2v audit diff voted_labels/fhm_hatemm@1 @2 · m2v audit diff me/fhm-hatemm@v1 @v2")
def diff(before: str, after: str, as_json: Json = False) -> None:
    """Which rows differ between two versions or two releases, and the first cause upstream."""
    from m2v_cli import console

    difference = _stories(False).diff(before, after)
    if as_json:
        console.line(difference)
        return
    for place, rows in difference["rows"].items():
        _show_rows(f"{len(rows):,} rows of {place} differ", place, rows)
    columns = ["kind", "before", "after", "detail"]
    console.table("First causes", columns, [[cause[column] for column in columns] for cause in difference["causes"]])
    for cause in difference["causes"]:
        place = cause["before"].partition("@")[0]
        if cause["rows"] and place not in difference["rows"]:
            _show_rows(f"{len(cause['rows']):,} rows of {place} differ there", place, cause["rows"])


def _show_rows(title: str, place: str, rows: list[dict[str, Any]]) -> None:
    from m2v import schemas
    from m2v_cli import console

    known = schemas.TABLES.get(place.partition("/")[0])
    console.changes(title, rows, key=list(known.key) if known and rows else [])


@app.command(epilog="Examples: m2v audit verify · m2v audit verify --rows --json")
def verify(
    with_rows: Annotated[bool, typer.Option("--rows", help="Also hash the rows of every table; much slower.")] = False,
    as_json: Json = False,
) -> None:
    """Recompute every recorded hash; exit code 1 where anything does not match."""
    from dataclasses import asdict

    from m2v_cli import console
    from m2v_resources.audit import verification
    from m2v_resources.store.home import home

    with console.bytes_hashed() as listen:
        n_checked, problems = verification.verify(home(), with_rows=with_rows, listen=listen)
    if as_json:
        listed = [asdict(problem) for problem in problems]
        console.line({"n_checked": n_checked, "problems": listed, "unprovable": list(verification.UNPROVABLE)})
    else:
        for problem in problems:
            console.fail(f"{problem.where}: {problem.what}.")
        console.out.print(f"{n_checked:,} files checked, {len(problems)} problems.")
        for line in verification.UNPROVABLE:
            console.out.print(f"Not proved: {line}", soft_wrap=True)
    if problems:
        raise typer.Exit(1)


def _stories(with_text: bool) -> "Stories":
    from m2v_resources.audit.stories import Stories
    from m2v_resources.store.home import home
    from m2v_resources.store.record import Record
    from m2v_resources.store.versions import open_store

    return Stories(Record(open_store(home())), with_text=with_text)


def _tell(stories: "Stories", story: dict[str, Any], output: list[Path] | None, as_json: bool) -> None:
    from m2v.lineage import in_words
    from m2v_cli import cells, console
    from m2v_resources.audit.stories import graph_of

    story = {**story, "in_words": in_words.sentences(story)}
    nodes = graph_of(story, stories.whole)
    for path in output or []:
        _write(story, nodes, path)
    if as_json:
        console.line(story)
        return
    for sentence in story["in_words"]:
        console.out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if "forgotten" in story:
        rows_of = [[name, value] for name, value in story["forgotten"].items()]
        console.table(f"{story['item']} was forgotten", ["", ""], rows_of)
    released = story.get("release")
    for told in [released] if released else []:
        rows_of = {column: told[column] for column in ("repo", "tag", "commit", "content_sha256", "published_at")}
        console.table(f"{told['repo']}@{told['tag']}", ["", ""], [[name, value] for name, value in rows_of.items()])
        console.table("Its files", ["file", "sha256"], [list(file) for file in sorted(told["files"].items())])
    for told in story.get("rows", []):
        rows = [[name, cells.text(value)] for name, value in told["row"].items()]
        rows += [["written (UTC)", told["written_at"]], ["code", told["code_version"]]]
        console.table(told["version"], ["column", "value"], rows)
    shown = story.get("demonstrations", [])
    for version in dict.fromkeys(row["version"] for row in shown):
        rows = [row["row"] for row in shown if row["version"] == version]
        console.table(f"Demonstrations in the prompt: {version}", list(rows[0]), [list(row.values()) for row in rows])
    for told in story["asked"]:
        rows = [[name, value] for name, value in told.items() if name != "version"]
        console.table(f"How a model was asked for {told['version']}", ["", ""], rows)
    for table in ("training_examples", "checkpoints", "metrics", "results"):
        if story.get(table):
            console.table(f"{table} that contain or rest on it", ["version"], [[name] for name in story[table]])
    if "releases" in story:
        names = [[f"{release['repo']}@{release['tag']}", release["commit"]] for release in story["releases"]]
        console.table("Releases that rest on it", ["release", "commit"], names)
    versions = [[node.name, node.n_rows, node.rows_hash[:12], node.created_at, node.code_version] for node in nodes]
    console.table("Versions that it rests on", ["version", "rows", "rows hash", "written", "code"], versions)
    files = [[name, digest] for name, digest in sorted(story["files"].items())]
    console.table("Source files below them", ["file", "sha256"], files)
    for gap in story["gaps"]:
        console.warn(f"Not in the record: {gap}.")


def _write(story: dict[str, Any], nodes: list["Node"], path: Path) -> None:
    from m2v.errors import M2VError
    from m2v.lineage import openlineage, page, provenance
    from m2v_resources.store.exports import write_text

    if path.name.endswith(".prov.json"):
        write_text(provenance.document(nodes), path)
    elif path.suffix == ".jsonl":
        write_text("".join(f"{line}\n" for line in openlineage.events(nodes)), path)
    elif path.suffix == ".html":
        write_text(page.page(story, nodes), path)
    else:
        raise M2VError(f"{path} ends in none of .html, .prov.json and .jsonl; the ending chooses what is written.")
