"""Memes' labels under the target's definition, as a model sees them."""

import dagster as dg

from m2v import schemas
from m2v.annotation import agreement
from m2v.catalog.entries import Source
from m2v.catalog.variants import Alignment, variant
from m2v.datasets import readers
from m2v_assets.describe import code_version, file_key, key, table_asset
from m2v_resources.sources import Sources
from m2v_resources.tables import Tables


def predictions(alignment: Alignment, source: Source) -> dg.AssetsDefinition:
    """Predictions that were recorded elsewhere; a live model is a further source behind the same table."""
    recorded = alignment.recorded
    deps = [key(schemas.MEMES, variant(alignment.memes.name)), file_key(source, recorded.predictions.file)]
    if alignment.target.demonstrations:
        deps.append(key(schemas.DEMONSTRATIONS, variant(alignment.target.name)))

    @table_asset(
        schemas.PREDICTIONS,
        alignment.name,
        stage="prediction",
        code=code_version("1", recorded.predictions, recorded.model, recorded.revision),
        checks=("agreement_with_original",),
        tags={"m2v/model": recorded.model},
        deps=deps,
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """One prediction per meme."""
        memes = tables.read(schemas.MEMES, variant(alignment.memes.name))
        rows = readers.recorded_predictions(alignment, files=sources.find(source), memes=memes)
        findings = agreement.prediction_findings(rows, variant=alignment.name)
        return tables.write(rows, schemas.PREDICTIONS, alignment.name, findings=findings)

    return asset
