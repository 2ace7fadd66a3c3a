"""Items' texts as encoders see them."""

from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.entries import Encoder, MemeDataset, VideoDataset
from m2v.catalog.variants import variant
from m2v.media import texts
from m2v_assets.describe import code_version, fingerprint, key, table_asset
from m2v_resources.programs import Programs
from m2v_resources.tables import Tables


def text_features(encoder: Encoder, dataset: MemeDataset | VideoDataset) -> dg.AssetsDefinition:
    """One embedding per item, encoded once per distinct text and encoder version across all runs."""
    name = variant(encoder.name, dataset.name)
    label = dataset.label if isinstance(dataset, VideoDataset) else None
    table, item_id = (schemas.VIDEOS, "video_id") if label else (schemas.MEMES, "meme_id")
    identity = (encoder.hub, encoder.revision, encoder.weights_sha256, encoder.max_tokens)

    @table_asset(
        schemas.TEXT_FEATURES,
        name,
        stage="media",
        code=code_version("1", *identity, label),
        kinds=frozenset({"pytorch", "huggingface"}),
        tags={"m2v/model": encoder.name},
        deps=[key(table, variant(dataset.name))],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One embedding per item."""
        items = tables.read(table, variant(dataset.name))
        rows = texts.to_encode(items, item_id=item_id, label=label)
        wanted = rows.select("text_sha256", "text").unique("text_sha256", maintain_order=True)
        out = programs.folder("encode", name, fingerprint(identity, sorted(wanted["text_sha256"])))
        manifest = programs.run(
            context,
            module="m2v.media.encode",
            spec={
                "encoder": encoder.model_dump(mode="json"),
                "texts": str(programs.input(wanted, out / "texts.parquet")),
                "cache": str(Path(programs.home) / "encodings"),
            },
            out=out,
        )
        embeddings = pl.read_parquet(out / "embeddings.parquet")
        counts = {name: manifest[name] for name in ("n_texts", "n_encoded", "n_cached", "n_cut")}
        return tables.write(texts.features(rows, embeddings), schemas.TEXT_FEATURES, name, metadata=counts)

    return asset
