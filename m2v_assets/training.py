"""What each strategy trains on, and what it trains: heads on frozen features, and LoRA adapters."""

import json
from pathlib import Path

import dagster as dg
import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.datasets import integrity
from m2v.detectors import examples, selection
from m2v.detectors.probe import regression
from m2v.detectors.probe.entry import Probe
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.pretrained import Vlm
from m2v.entries.study import Study
from m2v.entries.variants import TrainingSet, variant
from m2v.media import texts
from m2v.programs.contract import finish
from m2v_assets import vlm_requests
from m2v_assets.describe import ACCELERATOR, code_version, fingerprint, key, spec, table_asset
from m2v_resources.launching.programs import Programs
from m2v_resources.store.tables import Tables


def training_examples(training_set: TrainingSet, study: Study) -> dg.AssetsDefinition:
    """The examples, and what a policy kept out of them."""
    target = variant(training_set.target.name)
    memes = key(schemas.MEMES, variant(training_set.memes.name)) if training_set.memes else None
    votes = key(schemas.VOTED_LABELS, training_set.alignment.name) if training_set.alignment else None
    demonstrations = key(schemas.DEMONSTRATIONS, target) if training_set.target.demonstrations else None
    deps = [each for each in (key(schemas.VIDEOS, target), memes, votes, demonstrations) if each]
    drops_leaks = study.leaks == "drop_from_train" and not training_set.paper_mode
    about = {
        "stage": "training",
        "code": code_version("1", training_set.strategy, training_set.paper_mode, drops_leaks),
        "tags": {"m2v/strategy": training_set.strategy},
    }
    check = "demonstrations_not_trained_on"

    @dg.multi_asset(
        name=f"training_examples__{training_set.name}",
        specs=[
            spec(schemas.TRAINING_EXAMPLES, training_set.name, deps=deps, **about),
            spec(schemas.REJECTS, training_set.name, deps=deps, **about),
        ],
        check_specs=[dg.AssetCheckSpec(check, asset=key(schemas.TRAINING_EXAMPLES, training_set.name))]
        if demonstrations
        else [],
    )
    def asset(tables: Tables):
        """Examples to train on, and the rejects with their reasons."""
        videos = tables.read(schemas.VIDEOS, target)
        leaks = integrity.leaks(videos, dataset=training_set.target.name) if drops_leaks else schemas.REJECTS.empty()
        rows, rejects = examples.build(
            training_set,
            videos=videos,
            memes=tables.read(schemas.MEMES, memes.path[1]) if memes else None,
            votes=tables.read(schemas.VOTED_LABELS, votes.path[1]) if votes else None,
            leaks=leaks,
        )
        findings = []
        if demonstrations:
            findings = integrity.training_findings(
                rows,
                tables.read(schemas.DEMONSTRATIONS, target),
                target=training_set.target.name,
                variant=training_set.name,
            )
        yield tables.write(rows, schemas.TRAINING_EXAMPLES, training_set.name, findings=findings)
        yield tables.write(rejects, schemas.REJECTS, training_set.name)

    return asset


def checkpoint(run: Run, study: Study) -> dg.AssetsDefinition:
    """The run's trained model; the kind of model decides how."""
    if isinstance(run.model, VlmLora):
        return vlm_checkpoint(run, study)
    return lora_checkpoint(run, study) if isinstance(run.model, Lora) else probe_checkpoint(run, study)


def features_of(run: Run) -> list[str]:
    """Variants of ``text_features`` that hold the run's texts."""
    datasets = [run.target, *([run.training_set.memes] if run.training_set.memes else [])]
    return [variant(run.base.name, dataset.name) for dataset in datasets]


def probe_checkpoint(run: Run, study: Study) -> dg.AssetsDefinition:
    is_trained = run.training_set.strategy != "no_ft"
    target = variant(run.target.name)
    assert isinstance(run.model, Probe)
    model = run.model

    @_checkpoint_asset(
        run,
        study,
        kinds=frozenset({"scikitlearn"}),
        deps=[
            key(schemas.VIDEOS, target),
            *(key(schemas.TEXT_FEATURES, each) for each in features_of(run)),
            *([key(schemas.TRAINING_EXAMPLES, run.training_set.name)] if is_trained else []),
        ],
    )
    def asset(tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """A head on frozen features."""
        features = pl.concat([tables.read(schemas.TEXT_FEATURES, each) for each in features_of(run)])
        held_out = validation(run, study, videos=tables.read(schemas.VIDEOS, target))
        selection = (
            (texts.matrix(held_out, features=features), held_out["label"].to_numpy()) if held_out is not None else None
        )
        content = {"model": model.model_dump(mode="json"), "seed": run.seed}
        if is_trained:
            rows = tables.read(schemas.TRAINING_EXAMPLES, run.training_set.name)
            matrix, labels = texts.matrix(rows, features=features), rows["label"].to_numpy()
            head = regression.fit(matrix, labels, probe=model, validation=selection)
            content["training_examples"] = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name).rows_hash
        else:
            rows = schemas.TRAINING_EXAMPLES.empty()
            head = regression.zero_shot(*texts.definitions(features), validation=selection)
        content["text_features"] = [tables.version(schemas.TEXT_FEATURES, each).rows_hash for each in features_of(run)]
        folder = programs.folder("checkpoints", run.name, fingerprint(content))
        manifest = regression.save(head, folder, content=content)
        return _write(tables, run, manifest=manifest, folder=folder, home=programs.home, n_train=rows.height)

    return asset


def lora_checkpoint(run: Run, study: Study) -> dg.AssetsDefinition:
    target = variant(run.target.name)
    assert isinstance(run.model, Lora)
    model = run.model

    @_checkpoint_asset(
        run,
        study,
        kinds=frozenset({"pytorch", "huggingface"}),
        pool=ACCELERATOR,
        deps=[key(schemas.VIDEOS, target), key(schemas.TRAINING_EXAMPLES, run.training_set.name)],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """A LoRA adapter and its head, trained by a program of its own."""
        held_out = validation(run, study, videos=tables.read(schemas.VIDEOS, target))
        examples_version = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name)
        content = {
            "model": model.model_dump(mode="json"),
            "base": run.base.model_dump(mode="json"),
            "training_examples": examples_version.rows_hash,
            "validation": fingerprint(held_out.select("text_sha256", "label").rows()) if held_out is not None else None,
            "seed": run.seed,
        }
        folder = programs.folder("checkpoints", run.name, fingerprint(content))
        manifest = programs.run(
            context,
            module="m2v.detectors.text_lora.finetune",
            spec={
                "model": content["model"],
                "base": content["base"],
                "train": str(tables.store.path(examples_version)),
                "validation": str(programs.input(held_out.select("text", "label"), folder / "held_out.parquet"))
                if held_out is not None
                else None,
                "seed": run.seed,
                "content": content,
            },
            out=folder,
            n_processes=model.n_processes,
            gpus=run.base.gpus,
        )
        return _write(tables, run, manifest=manifest, folder=folder, home=programs.home, n_train=manifest["n_train"])

    return asset


def vlm_checkpoint(run: Run, study: Study) -> dg.AssetsDefinition:
    target, memes = variant(run.target.name), run.training_set.memes
    assert isinstance(run.model, VlmLora)
    assert isinstance(run.base, Vlm)
    assert run.prompt
    model, base, prompt = run.model, run.base, run.prompt
    is_trained = run.training_set.strategy != "no_ft"

    @_checkpoint_asset(
        run,
        study,
        kinds=frozenset({"pytorch", "huggingface"}),
        pool=ACCELERATOR,
        deps=[
            key(schemas.VIDEOS, target),
            key(schemas.VIDEO_FEATURES, target),
            *([key(schemas.TRAINING_EXAMPLES, run.training_set.name)] if is_trained else []),
            *([key(schemas.MEME_IMAGES, variant(memes.name))] if memes else []),
            *([key(schemas.DEMONSTRATIONS, run.demonstrations)] if run.demonstrations else []),
        ],
    )
    def asset(context: dg.AssetExecutionContext, tables: Tables, programs: Programs) -> dg.MaterializeResult:
        """An adapter of a vision-language model, trained by a program of its own; or what an untrained one needs."""
        held_out = validation(run, study, videos=tables.read(schemas.VIDEOS, target))
        if not is_trained:
            return untrained(context, tables, programs, held_out=held_out)
        examples_version = tables.version(schemas.TRAINING_EXAMPLES, run.training_set.name)
        train = vlm_requests.examples(tables, tables.read(schemas.TRAINING_EXAMPLES, run.training_set.name), run)
        selected = None
        if held_out is not None:
            selected = vlm_requests.videos(tables, held_out, run).drop("item_id").with_columns(label=held_out["label"])
        home = Path(programs.home)
        settings = {
            "model": model.model_dump(mode="json"),
            "base": base.model_dump(mode="json"),
            "prompt": prompt.model_dump(mode="json"),
            "label": run.target.label.model_dump(mode="json"),
            "seed": run.seed,
        }
        content = {
            "training_examples": examples_version.rows_hash,
            "train": fingerprint(vlm_requests.plain(train)),
            "validation": fingerprint(vlm_requests.plain(selected)) if selected is not None else None,
        }
        folder = programs.folder("checkpoints", run.name, fingerprint(settings, content))
        given = {"train": train, "validation": selected}
        manifest = programs.run(
            context,
            module="m2v.detectors.vlm_lora.instruct",
            spec={
                **settings,
                **{
                    name: str(programs.input(vlm_requests.at_home(rows, home), folder / f"{name}_items.parquet"))
                    if rows is not None
                    else None
                    for name, rows in given.items()
                },
                "home": str(home),
                "content": content,
            },
            out=folder,
            n_processes=model.n_processes,
            gpus=run.base.gpus,
        )
        return _write(tables, run, manifest=manifest, folder=folder, home=programs.home, n_train=manifest["n_train"])

    def untrained(
        context: dg.AssetExecutionContext, tables: Tables, programs: Programs, *, held_out: pl.DataFrame | None
    ) -> dg.MaterializeResult:
        """The threshold of the model as it is."""
        found, chosen = 0.5, {}
        if held_out is not None and model.fidelity == "best":
            answers, _ = vlm_requests.ask(
                context,
                programs,
                name=f"{run.name}_validation",
                model=evaluated(model, base),
                prompt=prompt,
                target=run.target,
                items=vlm_requests.videos(tables, held_out, run),
                examples=vlm_requests.demonstrated(tables, run.demonstrations, target, model=base),
            )
            labels = held_out["label"].to_numpy()
            probabilities = held_out.join(answers, left_on="video_id", right_on="item_id", maintain_order="left")
            said = probabilities["probability"].to_numpy()
            found, chosen = selection.threshold(labels, said), {"validation_auroc": selection.auroc(labels, said)}
        folder = programs.folder("checkpoints", run.name, fingerprint(model, base, prompt, run.target.label, found))
        folder.mkdir(parents=True, exist_ok=True)
        manifest = finish(
            folder, files=[], packages=[], base=base.model_dump(mode="json"), threshold=found, selection=chosen
        )
        return _write(tables, run, manifest=manifest, folder=folder, home=programs.home, n_train=0)

    return asset


def evaluated(model: VlmLora, base: Vlm) -> Vlm:
    """The base as its adapter is evaluated on it: as in training, unless the entry says otherwise."""
    return base.model_copy(update={"quantisation": model.evaluated_in or model.quantisation})


def validation(run: Run, study: Study, *, videos: pl.DataFrame) -> pl.DataFrame | None:
    """The split on which the run selects; none in paper mode, which trains on it."""
    if run.training_set.paper_mode:
        return None
    drops_leaks = study.leaks == "drop_from_train"
    leaks = integrity.leaks(videos, dataset=run.target.name) if drops_leaks else schemas.REJECTS.empty()
    return examples.validation(videos, leaks=leaks)


def _checkpoint_asset(
    run: Run, study: Study, *, kinds: frozenset[str], deps: list[dg.AssetKey], pool: str | None = None
):
    return table_asset(
        schemas.CHECKPOINTS,
        run.name,
        stage="training",
        code=code_version(
            "1", run.model, run.base, run.prompt, run.seed, run.training_set.paper_mode, study.leaks, *_asked(run)
        ),
        deps=deps,
        kinds=kinds,
        tags={"m2v/model": run.model.name, "m2v/strategy": run.training_set.strategy, "m2v/target": run.target.name},
        pool=pool,
    )


def _asked(run: Run) -> list[object]:
    """What else decides a vision-language model's training: the target's words."""
    return [run.target.label] if run.prompt else []


def _write(tables: Tables, run: Run, *, manifest: dict, folder: Path, home: str, n_train: int) -> dg.MaterializeResult:
    row = {
        "run": run.name,
        "folder": str(folder.relative_to(home)),
        "weights_sha256": next(
            (each for name, each in manifest["files"].items() if name.endswith(".safetensors")), None
        ),
        "threshold": manifest["threshold"],
        "selection": json.dumps(manifest["selection"], sort_keys=True),
        "n_train": n_train,
    }
    rows = pl.DataFrame([row], schema=dict(schemas.CHECKPOINTS.columns))
    metadata = {"folder": dg.MetadataValue.path(str(folder)), "n_train": n_train, **manifest["selection"]}
    return tables.write(rows, schemas.CHECKPOINTS, run.name, metadata=metadata)
