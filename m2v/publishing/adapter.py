"""An adapter release: which of a checkpoint's files leave, and what is said of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from m2v import schemas
from m2v.catalog.plan import Run
from m2v.entries.base import Licence
from m2v.errors import M2VError, StoreError
from m2v.programs.contract import complete
from m2v.publishing.release import FORMAT, digest
from m2v.publishing.worth import Worth

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class AdapterRelease:
    """A run's adapter.

    Attributes:
        folder: The checkpoint; only its weights and its config leave, never what it was trained on.
        split, split_digest: In which the run was trained, selected and scored.
        scores: Value and ends of the 95 % interval, by score.
        worth: What the scores are worth.
        recipe: Settings, seed, processes and package versions, as the training program wrote them down.
        datasets: Repositories whose newest release is what the adapter was trained on.
        inputs: Version and rows hash of each table read, by ``table/variant``.
    """

    repo: str
    run: str
    folder: Path
    files: Mapping[str, str]
    base_model: str
    base_revision: str
    base_weights_sha256: str | None
    target: str
    target_title: str
    label: Mapping[str, str]
    strategy: str
    memes_title: str | None
    languages: tuple[str, ...]
    licence: str
    licence_link: str | None
    threshold: float
    n_train: int
    split: str
    split_digest: str
    n_scored: int
    coverage_share: float
    scores: Mapping[str, tuple[float, float, float]]
    selection: Mapping[str, Any]
    recipe: Mapping[str, Any]
    training_data: str
    worth: Worth
    defects: tuple[str, ...]
    datasets: tuple[str, ...]
    inputs: Mapping[str, Mapping[str, Any]]
    gated: str | bool = "manual"
    contact: str | None = None

    @property
    def configs(self) -> list[str]:
        """The one run that is in it."""
        return [self.run]

    @property
    def content_sha256(self) -> str:
        """The hash of the weights and of what is said of them; not of the tables' version numbers."""
        words = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in {"repo", "folder", "inputs", "datasets", "worth"}
        }
        return digest({"format": FORMAT, **words, "worth": self.worth.plain})

    def config(self) -> bytes:
        """Return the adapter's config with the base model and its pinned revision, which training leaves open."""
        config = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        config |= {"base_model_name_or_path": self.base_model, "revision": self.base_revision}
        return json.dumps(config, indent=2, sort_keys=True).encode()


def describe(
    run: Run,
    *,
    repo: str,
    folder: Path,
    checkpoint: pl.DataFrame,
    metrics: pl.DataFrame,
    licence: Licence,
    inputs: Mapping[str, Mapping[str, Any]],
    training_data: str,
    worth: Worth,
    defects: tuple[str, ...] = (),
    datasets: tuple[str, ...] = (),
    gated: str | bool = "manual",
    contact: str | None = None,
) -> AdapterRelease:
    """Return the release of a run.

    Args:
        folder: Of its checkpoint.
        checkpoint, metrics: The run's row of the tables of these names.
        training_data: Name and rows hash of what it was trained on.
        worth: What its scores are worth.

    Raises:
        M2VError: The run has no adapter.
        StoreError: The checkpoint is not whole.
    """
    base = _publishable_base(run)
    row, scored = checkpoint.row(0, named=True), metrics.row(0, named=True)
    manifest = _manifest(run, folder, weights_sha256=row["weights_sha256"])
    return AdapterRelease(
        repo=repo,
        run=run.name,
        folder=folder,
        files={name: manifest["files"][name] for name in (WEIGHTS, CONFIG)},
        **base,
        base_weights_sha256=run.base.weights_sha256 if run.base else None,
        target=run.target.name,
        target_title=run.target.title,
        label=run.target.label.model_dump(),
        strategy=run.training_set.strategy,
        memes_title=run.training_set.memes.title if run.training_set.memes else None,
        languages=run.target.languages,
        licence=licence.name,
        licence_link=licence.link,
        threshold=row["threshold"],
        n_train=row["n_train"],
        split=scored["split"] if scored["fold"] is None else f"{scored['split']}, fold {scored['fold']}",
        split_digest=scored["split_digest"],
        n_scored=scored["n_scored"],
        coverage_share=scored["coverage_share"],
        scores=_scores(scored),
        selection=json.loads(row["selection"]),
        recipe={name: manifest[name] for name in ("model", "seed", "n_processes", "zero_stage", "versions")},
        training_data=training_data,
        worth=worth,
        defects=defects,
        datasets=datasets,
        inputs=inputs,
        gated=gated,
        contact=contact,
    )


def _publishable_base(run: Run) -> dict[str, str]:
    """Return repository and revision of what the run's adapter stands on, by their names in a release.

    Raises:
        M2VError: It has no adapter, or one of weights that nobody else has.
    """
    if not (run.model.is_adapter and run.is_trained and run.base):
        raise M2VError(
            f"{run.name} has no adapter; only trained runs of LoRA models are published. "
            "`m2v study list` shows a study's models."
        )
    if run.base.hub is None or run.base.revision is None:
        raise M2VError(
            f"{run.name} stands on {run.base.name}, which is built on the spot; nobody else has its weights."
        )
    return {"base_model": run.base.hub, "base_revision": run.base.revision}


def _manifest(run: Run, folder: Path, *, weights_sha256: str) -> dict[str, Any]:
    """Return what the checkpoint's program wrote down.

    Raises:
        StoreError: The checkpoint is not whole, or not the one with these weights.
    """
    manifest = complete(folder)
    if manifest is None or manifest["files"].get(WEIGHTS) != weights_sha256:
        raise StoreError(
            f"{folder} is missing or damaged: its files are not those of its manifest. Recompute it: "
            f"`m2v run --force --select checkpoints/{run.name}`."
        )
    return manifest


def _scores(scored: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    return {
        score: (scored[score], scored[f"{score}_low"], scored[f"{score}_high"])
        for score in schemas.SCORES
        if scored[score] is not None
    }
