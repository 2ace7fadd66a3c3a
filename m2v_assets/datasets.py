"""Files of the sources, and the tables read from them: memes, videos, demonstrations."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import StudyPlan
from m2v.datasets import details, identity, integrity, layouts, readers
from m2v.datasets import splits as dividing
from m2v.entries.datasets import MemeDataset, Source, VideoDataset
from m2v.entries.variants import TargetSplit, variant
from m2v_assets.describe import OWNERS, code_version, file_key, key, observed, policy, spec, table_asset, tags_of
from m2v_resources.audit.forgetting import forgotten_ids
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables


def files(source: Source) -> dg.AssetsDefinition:
    """Yield the source's files, which nobody here makes; observing them records their sha256 as their data version."""
    specs = [
        dg.AssetSpec(
            file_key(source, file),
            group_name="datasets",
            description=f"{file} of {source.title}. Licence: {source.licence.name}.",
            owners=OWNERS,
            kinds={"csv" if file.endswith((".csv", ".tsv")) else "file"},
            tags=tags_of("datasets", "files"),
        )
        for file in source.files
    ]

    @observed(f"files__{variant(source.name)}", specs)
    def asset(sources: Sources) -> Iterator[dg.ObserveResult]:
        for file, version in sources.versions(source).items():
            yield dg.ObserveResult(asset_key=file_key(source, file), data_version=dg.DataVersion(version))

    return asset


def forgotten(dataset: MemeDataset) -> dg.AssetsDefinition:
    """Memes that were taken out by `m2v forget`, which writes the table; observing it records its version."""
    about = dg.AssetSpec(
        key(schemas.FORGOTTEN, variant(dataset.name)),
        group_name="datasets",
        description=f"{dataset.title}. One row is {schemas.FORGOTTEN.row}: `m2v forget meme {dataset.name}/ID`.",
        owners=OWNERS,
        kinds={"parquet"},
        tags=tags_of("datasets", schemas.FORGOTTEN.name),
    )

    @observed(f"forgotten__{variant(dataset.name)}", [about])
    def asset(tables: Tables) -> Iterator[dg.ObserveResult]:
        latest = tables.store.latest(*about.key.path)
        if latest:
            yield dg.ObserveResult(asset_key=about.key, data_version=dg.DataVersion(latest.rows_hash))

    return asset


def memes(dataset: MemeDataset, source: Source) -> dg.AssetsDefinition:
    @table_asset(
        schemas.MEMES,
        variant(dataset.name),
        stage="datasets",
        of=dataset.title,
        code=code_version(
            "2", layout=layouts.of(dataset).identity, files=dataset.files, split_shares=dataset.split_shares
        ),
        checks=("texts_unique", "texts_present", "rows_used"),
        deps=[*(file_key(source, file) for file in dataset.files), key(schemas.FORGOTTEN, variant(dataset.name))],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """Memes as their dataset has them, with its own label, but for those that were forgotten."""
        gone = forgotten_ids(tables.store, dataset.name)
        read = readers.items(dataset, files=sources.find(source))
        rows = readers.table(dataset, read).filter(~pl.col("meme_id").is_in(gone))
        refuse_another(tables, schemas.MEMES, dataset, rows)
        findings = integrity.meme_findings(rows, variant=variant(dataset.name))
        findings.append(details.rows_used(read.left_out, table=schemas.MEMES, variant=variant(dataset.name)))
        return tables.write(rows, schemas.MEMES, variant(dataset.name), findings=findings)

    return asset


def videos(dataset: VideoDataset, source: Source) -> dg.AssetsDefinition:
    @table_asset(
        schemas.VIDEOS,
        variant(dataset.name),
        stage="datasets",
        of=dataset.title,
        code=code_version(
            "2", layout=layouts.of(dataset).identity, files=dataset.files, split_shares=dataset.split_shares
        ),
        checks=("ids_in_one_split", "texts_in_one_split", "texts_present", "audio_present", "rows_used"),
        deps=[file_key(source, file) for file in dataset.files],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """Write the target's videos in their splits."""
        read = readers.items(dataset, files=sources.find(source))
        rows = readers.table(dataset, read)
        refuse_another(tables, schemas.VIDEOS, dataset, rows)
        findings = integrity.video_findings(rows, variant=variant(dataset.name))
        findings.append(details.rows_used(read.left_out, table=schemas.VIDEOS, variant=variant(dataset.name)))
        return tables.write(rows, schemas.VIDEOS, variant(dataset.name), findings=findings)

    return asset


def refuse_another(
    tables: Tables, table: schemas.Table, dataset: MemeDataset | VideoDataset, rows: pl.DataFrame
) -> None:
    """Raise where the home has another dataset of that name, as far as its rows can be read."""
    name = variant(dataset.name)
    latest = tables.store.latest(table.name, name)
    if latest and tables.store.is_whole(latest):
        before = tables.store.read(table.name, name, number=latest.number)
        identity.refuse_another(before, rows, name=f"{table.name}/{name}", title=dataset.title)


def splits(target: VideoDataset, split: TargetSplit, plan: StudyPlan) -> dg.AssetsDefinition:
    """Return one of the target's splits besides its own."""
    how = target.splits[split.split]
    source = plan.source_called(target.split_source(split.split))
    name = variant(target.name, *split.names)
    facets = [key(schemas.FACETS, variant(target.name))] if how.grouped_by else []

    @table_asset(
        schemas.ITEM_SPLITS,
        name,
        stage="datasets",
        of=f"{target.title}, split {' '.join(split.names)}",
        code=code_version("1", how, split.fold),
        checks=("ids_divided",),
        deps=[
            key(schemas.VIDEOS, variant(target.name)),
            *facets,
            *(file_key(source, file) for file in how.files),
        ],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """Write which part of the split each video stands in."""
        videos = tables.read(schemas.VIDEOS, variant(target.name))
        rows, left_out = dividing.assigned(
            how,
            target,
            fold=split.fold,
            videos=videos,
            facets=tables.read(schemas.FACETS, variant(target.name)) if facets else None,
            files=sources.find(source) if how.files else {},
        )
        findings = [dividing.finding(left_out, videos, rows, variant=name)]
        return tables.write(rows, schemas.ITEM_SPLITS, name, findings=findings)

    return asset


def demonstrations(dataset: VideoDataset, source: Source) -> dg.AssetsDefinition:
    name = variant(dataset.name)

    @table_asset(
        schemas.DEMONSTRATIONS,
        name,
        stage="datasets",
        of=f"{dataset.title}. {policy(dataset.label)}",
        code=code_version("1", policy=dataset.label),
        checks=("demonstrations_held_out",),
        deps=[file_key(source, dataset.demonstrations or ""), key(schemas.VIDEOS, name)],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """Few-shot examples of the target's label, in prompt order."""
        rows = readers.demonstrations(dataset, files=sources.find(source))
        findings = integrity.demonstration_findings(rows, tables.read(schemas.VIDEOS, name), variant=name)
        return tables.write(rows, schemas.DEMONSTRATIONS, name, findings=findings)

    return asset


def annotations(dataset: MemeDataset | VideoDataset, source: Source) -> dg.AssetsDefinition | None:
    """Return what else the dataset's authors say of its items, where its layout or that of its annotations has any.

    Args:
        source: Whose files say it.
    """
    about = dataset.annotated
    layout, name, is_joined = layouts.of(about), variant(dataset.name), dataset.annotations is not None
    items, item_id = (schemas.VIDEOS, "video_id") if layout.items == "videos" else (schemas.MEMES, "meme_id")
    made = details.tables(layout)
    if not made:
        return None
    deps = [*(file_key(source, file) for file in about.files), key(items, name)]
    code = code_version("2", layout.identity, about.files)

    @dg.multi_asset(
        name=f"annotations__{name}",
        specs=[spec(table, name, stage="datasets", of=dataset.title, code=code, deps=deps) for table in made],
        check_specs=[
            dg.AssetCheckSpec(check, asset=key(table, name))
            for table in made
            for check in details.checks(table, is_joined=is_joined)
        ],
    )
    def asset(tables: Tables, sources: Sources) -> Iterator[dg.MaterializeResult]:
        """Write facets, segments and source votes as the dataset's own files have them."""
        rows = tables.read(items, name)
        files = sources.find(source)
        missing = None if files else sources.places(source)
        parts = readers.parts(dataset, files=files, ids=set(rows[item_id]))
        for table in made:
            findings = details.findings(table, parts, rows, variant=name)
            if is_joined:
                findings += details.joined(table, parts, rows, variant=name, missing=missing)
            yield tables.write(details.rows(table, parts), table, name, findings=findings)

    return asset
