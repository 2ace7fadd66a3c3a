"""``m2v publish`` and ``m2v rehydrate``: releases on the Hugging Face Hub, and the memes' texts back into one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2v_cli.commands.options import Json, Study

if TYPE_CHECKING:
    from m2v.catalog.plan import StudyPlan
    from m2v.schemas import Table
    from m2v_resources.hub.releases import Preview, Release
    from m2v_resources.hub.uploads import Published

app = typer.Typer(help="Publish versions to the Hugging Face Hub, private and gated.", no_args_is_help=True)

To = Annotated[
    str | None,
    typer.Option("--to", help="user/name; default: the study's namespace, or yours, and the name.", show_default=False),
]
Dry = Annotated[
    bool, typer.Option("--dry-run", help="Write what would be uploaded, show what would change, upload nothing.")
]


@app.command(
    epilog="Examples: m2v publish dataset fhm_hatemm --dry-run · m2v publish dataset fhm_hatemm fhm_mhc --to me/fhm"
)
def dataset(
    names: Annotated[
        list[str], typer.Argument(help="One or several alignments; each is a config.", show_default=False)
    ],
    to: To = None,
    dry_run: Dry = False,
    study: Study = "published",
    as_json: Json = False,
) -> None:
    """Publish alignments as the next version of a dataset; unchanged content makes none."""
    from m2v import schemas
    from m2v.catalog import open_study
    from m2v_assets import publishing
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    plan = open_study(study)
    alignments = [plan.alignment(name) for name in dict.fromkeys(names)]
    repo = to or publishing.repository(alignments[0].name, namespace=_namespace(plan, dry_run=dry_run))
    release = publishing.dataset_release(alignments, plan, open_store(home()), repo=repo, home=home())
    _publish(
        release,
        plan,
        schemas.DATASET_RELEASES,
        names=[alignment.name for alignment in alignments],
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command(epilog="Example: m2v publish adapter minilm_lora_rm_ft_fhm_hatemm_s0 --dry-run")
def adapter(run: str, to: To = None, dry_run: Dry = False, study: Study = "published", as_json: Json = False) -> None:
    """Publish a run's LoRA adapter as the next version of a model; unchanged content makes none."""
    from m2v import schemas
    from m2v.catalog import open_study
    from m2v_assets import publishing
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    plan = open_study(study)
    trained = plan.run(run)
    repo = to or publishing.repository(trained.name, namespace=_namespace(plan, dry_run=dry_run))
    release = publishing.adapter_release(trained, plan, open_store(home()), repo=repo, home=home())
    _publish(release, plan, schemas.ADAPTER_RELEASES, names=[trained.name], dry_run=dry_run, as_json=as_json)


def rehydrate(
    release: Annotated[str, typer.Argument(help="user/name@tag, or a folder with a release.", show_default=False)],
    *,
    source: Annotated[Path, typer.Option("--source", help="Your copy: .csv, .tsv, .jsonl or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to; the ending chooses .csv or .parquet.")],
    config: Annotated[str | None, typer.Option("--config", help="Which alignment, where there are several.")] = None,
    id_column: Annotated[str, typer.Option("--id", help="The copy's column with ids.")] = "id",
    text_column: Annotated[str, typer.Option("--text-column", help="The copy's column with texts.")] = "text",
    layout: Annotated[
        str | None, typer.Option("--layout", help="Read the copy as datasets of this layout are: mami, hateful-memes …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Join your own copy of the memes back to published labels, by id and sha256."""
    from m2v.datasets import readers
    from m2v.publishing.rehydrate import rehydrate as joined
    from m2v_cli import console
    from m2v_resources.hub.client import Hub
    from m2v_resources.hub.releases import folder_rows, published_rows
    from m2v_resources.store.exports import export_table

    repo, _, tag = release.partition("@")
    own = readers.texts(source, id_column=id_column, text_column=text_column, layout=layout)
    if Path(release).is_dir():
        rows = folder_rows(Path(release), config=config)
    else:
        rows = published_rows(Hub(), repo, config=config, tag=tag or None)
    rehydrated = joined(rows, own)
    export_table(rehydrated.rows, output)
    counts = {
        reason: rehydrated.problems.filter(reason=reason)["meme_id"].to_list() for reason in ("missing", "changed")
    }
    if as_json:
        summary = {"output": str(output), "n_rows": rehydrated.rows.height, "n_unverified": rehydrated.n_unverified}
        console.line({**summary, **counts})
    else:
        console.out.print(f"Wrote {rehydrated.rows.height:,} of {rows.height:,} memes to {output}.", soft_wrap=True)
        for reason, ids in counts.items():
            if ids:
                console.warn(f"{len(ids):,} memes are {reason} in your copy, for example {', '.join(ids[:5])}.")
        if rehydrated.n_unverified:
            console.warn("The release names no sha256, so that texts were joined by id alone.")
    if not rehydrated.problems.is_empty():
        raise typer.Exit(1)


def _namespace(plan: "StudyPlan", *, dry_run: bool) -> str:
    from m2v.errors import NotSignedIn
    from m2v_resources.hub.client import Hub

    if plan.study.publish:
        return plan.study.publish.namespace
    try:
        return Hub().user()
    except NotSignedIn:
        if not dry_run:
            raise
        return "you"


def _publish(
    release: "Release", plan: "StudyPlan", table: "Table", *, names: list[str], dry_run: bool, as_json: bool
) -> None:
    from m2v_assets import publishing
    from m2v_resources.hub.releases import Releases, recorded
    from m2v_resources.store.home import home
    from m2v_resources.store.versions import open_store

    releases, store = Releases(home=str(home())), open_store(home())
    private = plan.study.publish.private if plan.study.publish else True
    if dry_run:
        _show_preview(releases.preview(release, private=private), as_json)
        return
    published = releases.publish(release, private=private)
    for name in names:
        rows = recorded(published, table, name=name, before=publishing.rows_before(store, table, name))
        parents = published.record["inputs"]
        store.write(
            rows, table, name, provenance={"run_id": None, "code_version": None, "parents": parents, "files": {}}
        )
    _show(published, as_json)


def _show(published: "Published", as_json: bool) -> None:
    from m2v_cli import console

    if as_json:
        console.line(
            {
                "repo": published.repo,
                "tag": published.tag,
                "commit": published.commit,
                "is_new": published.is_new,
                "content_sha256": published.record["content_sha256"],
                "files": dict(published.files),
            }
        )
    elif published.is_new:
        console.out.print(f"Published {published.repo}@{published.tag} ({published.commit[:12]}).", soft_wrap=True)
    else:
        console.out.print(f"{published.repo}@{published.tag} holds this content already; nothing was uploaded.")


def _show_preview(preview: "Preview", as_json: bool) -> None:
    from m2v_cli import console

    place = str(preview.folder) if preview.folder else None
    if not preview.is_compared:
        console.warn("There is no Hugging Face token, so this was compared with nothing on the Hub.")
    if as_json:
        rows = {config: dict(counts) for config, counts in preview.rows.items()}
        console.line(
            {
                "repo": preview.repo,
                "tag": f"v{preview.version}",
                "folder": place,
                "files": preview.files,
                "rows": rows,
                "is_compared": preview.is_compared,
            }
        )
        return
    if place is None:
        console.out.print(f"{preview.repo}@v{preview.version} holds this content already; nothing would be uploaded.")
        return
    console.table(
        f"{preview.repo}@v{preview.version} would be", ["file", "is"], [list(file) for file in preview.files.items()]
    )
    for config, changes in preview.rows.items():
        counts = ", ".join(f"{len(ids):,} {change}" for change, ids in changes.items())
        console.out.print(f"Rows of {config}: {counts}.")
    console.out.print(f"What would be uploaded: {place}", soft_wrap=True)
