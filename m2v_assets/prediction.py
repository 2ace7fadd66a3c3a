"""Memes' labels under the target's definition, as a model sees them."""

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.annotation import agreement
from m2v.catalog.plan import Asking, StudyPlan
from m2v.datasets import integrity, readers
from m2v.entries.datasets import Source, VideoDataset
from m2v.entries.study import Study
from m2v.entries.variants import Alignment, variant
from m2v.prediction import demonstrations, prompts
from m2v_assets import vlm_requests
from m2v_assets.describe import ACCELERATOR, code_version, file_key, key, named, table_asset
from m2v_assets.texts import items_keys, read_items
from m2v_resources.launching.programs import Programs
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables


def predictions(alignment: Alignment, plan: StudyPlan) -> dg.AssetsDefinition:
    """Return what was recorded elsewhere, or what a model says that the study asks."""
    if plan.asking:
        return asked_predictions(alignment, plan.asking, plan.study)
    return recorded_predictions(alignment, plan.source(alignment.memes))


def recorded_predictions(alignment: Alignment, source: Source) -> dg.AssetsDefinition:
    recorded = alignment.recorded
    assert recorded.predictions
    deps = [key(schemas.MEMES, variant(alignment.memes.name)), file_key(source, recorded.predictions.file)]
    if alignment.target.demonstrations:
        deps.append(key(schemas.DEMONSTRATIONS, variant(alignment.target.name)))

    @table_asset(
        schemas.PREDICTIONS,
        alignment.name,
        stage="prediction",
        of=f"Labelled elsewhere by {recorded.model}. {named(alignment)}",
        code=code_version("1", columns=recorded.predictions, model=recorded.model, revision=recorded.revision),
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


def asked_predictions(alignment: Alignment, asking: Asking, study: Study) -> dg.AssetsDefinition:
    memes, target = variant(alignment.memes.name), variant(alignment.target.name)
    given = asking.demonstrations(alignment.target)
    shows = asking.plan.pictures
    settings = asking.plan.model_dump(mode="json", exclude={"model", "prompt", "server"})

    @table_asset(
        schemas.PREDICTIONS,
        alignment.name,
        stage="prediction",
        of=f"Labelled by {asking.model.title} with the prompt {asking.prompt.name}. {named(alignment)}",
        code=code_version(
            "1", model=asking.model, prompt=asking.prompt, policy=alignment.target.label, settings=settings
        ),
        checks=("agreement_with_original",),
        kinds=frozenset({"pytorch", "huggingface"}),
        tags={"m2v/model": asking.model.name},
        pool=None if asking.plan.server else ACCELERATOR,
        deps=[
            *items_keys(alignment.memes, study),
            *([key(schemas.MEME_IMAGES, memes)] if shows else []),
            *([key(schemas.DEMONSTRATIONS, given)] if given else []),
            *([key(schemas.VIDEO_FEATURES, target)] if shows and given else []),
        ],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """One prediction per meme, asked of the model unless it is known."""
        asked = read_items(tables, alignment.memes, study)
        images = tables.read(schemas.MEME_IMAGES, memes) if shows else None
        items = demonstrations.of_memes(asked, images)
        answers, manifest = vlm_requests.ask(
            context,
            programs,
            name=alignment.name,
            model=asking.model,
            prompt=asking.prompt,
            label=alignment.target.label,
            items=items,
            examples=vlm_requests.demonstrated(
                tables,
                given,
                target,
                videos=tables.read(schemas.VIDEOS, target),
                model=asking.model,
                pictures=shows,
            ),
            mode=asking.plan.mode,
            server=asking.plan.server,
        )
        rows = labelled(asked, answers, model=asking.model.name)
        findings = agreement.prediction_findings(rows, variant=alignment.name)
        counts = {name: manifest[name] for name in ("n_items", "n_asked", "n_known")}
        n_blind = items.filter(pl.col("pictures").list.len() == 0).height if shows else 0
        outcomes = {f"n_{name}": count for name, count in manifest["outcomes"].items()}
        metadata = {**counts, **outcomes, "n_cut": manifest.get("n_cut", 0), "n_without_picture": n_blind}
        metadata["asked"] = prompts.asked(asking.prompt, alignment.target.label)
        return tables.write(rows, schemas.PREDICTIONS, alignment.name, findings=findings, metadata=metadata)

    return asset


def drawn_demonstrations(target: VideoDataset, asking: Asking, study: Study) -> dg.AssetsDefinition:
    """Few-shot examples out of a split of the target, where the study says so."""
    name, plan = asking.demonstrations(target), asking.plan
    assert name

    @table_asset(
        schemas.DEMONSTRATIONS,
        name,
        stage="prediction",
        of=f"{target.title}, drawn from its {plan.demonstrations} videos",
        code=code_version("1", plan.demonstrations, plan.n_demonstrations, plan.seed),
        checks=("demonstrations_held_out",),
        deps=items_keys(target, study),
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Few-shot examples of the target's label, drawn by seed, in prompt order."""
        videos = read_items(tables, target, study)
        leaks = integrity.leaks(videos, dataset=target.name)
        rows = demonstrations.draw(
            videos, split=plan.demonstrations, n=plan.n_demonstrations, seed=plan.seed, leaks=leaks
        )
        findings = integrity.demonstration_findings(rows, videos, variant=name)
        return tables.write(rows, schemas.DEMONSTRATIONS, name, findings=findings)

    return asset


def labelled(memes: pl.DataFrame, answers: pl.DataFrame, *, model: str) -> pl.DataFrame:
    """Rows of ``predictions``: what was neither of the two words is no label."""
    label = pl.when(pl.col("outcome") == "positive").then(True).when(pl.col("outcome") == "negative").then(False)
    joined = memes.join(answers, left_on="meme_id", right_on="item_id").sort("meme_id")
    return joined.select(
        "meme_id",
        original="label",
        predicted=label,
        probability="probability",
        model=pl.lit(model),
        request_sha256="request_sha256",
    )
