"""Program: a detector is trained, or gives probabilities to items.

The spec is a ``Task`` (``m2v/detectors/family.py``) whose ``model`` says which family's program is meant. With
``items`` (parquet) and ``checkpoint`` (a folder that this program completed) they are scored: the folder gets
``probabilities.parquet`` with ``item_id`` and ``probability``, and where the model explains itself
``explanations.parquet``, rows of that table. With ``folds`` (how many) the model is trained without each fold of its
examples in turn: the folder gets ``out_of_fold.parquet``. With ``shares`` (of the examples), ``draws`` (of each share)
and ``items`` it is trained on each draw and scores the items: the folder gets ``learning_curve.parquet``. Else the
model is trained: the folder gets what the family leaves there. Started plainly, or by torchrun with as many processes
as the model says.
"""

import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import polars as pl

from m2v import schemas
from m2v.detectors import DETECTORS, examples
from m2v.detectors.family import Detector, FamilyProgram, Task
from m2v.errors import UnknownName
from m2v.programs import contract, progress
from m2v.programs.progress import Report

OUT_OF_FOLD, LEARNING_CURVE = "out_of_fold.parquet", "learning_curve.parquet"
# What a spec says besides its task: what is to be done.
ACTIONS = {"items", "checkpoint", "folds", "shares", "draws"}
PROBABILITIES, EXPLANATIONS = "probabilities.parquet", "explanations.parquet"


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    with progress.reporting() as report:
        run(spec, out, report)


def run(spec: dict[str, Any], out: Path, report: Report) -> None:
    """Do what the spec says, into a folder that is there."""
    given = {name: value for name, value in spec.items() if name not in ACTIONS}
    task = Task.model_validate({**given, "model": _family(spec["model"]["kind"]).model_validate(spec["model"])})
    if "shares" in spec:
        draws = [(share, draw) for share in spec["shares"] for draw in range(spec["draws"] if share < 1 else 1)]
        _learning_curve(task, draws=draws, items=Path(spec["items"]), out=out, report=report)
    elif "items" in spec:
        _score(task, checkpoint=Path(spec["checkpoint"]), items=Path(spec["items"]), out=out, report=report)
    elif "folds" in spec:
        _out_of_fold(task, n=spec["folds"], out=out, report=report)
    else:
        _train(task, out=out, report=report)


def _train(task: Task, *, out: Path, report: Report) -> None:
    began = time.monotonic()
    trained = _program(task.model).train(task, out=out, report=report)
    if trained is None:
        return
    for name in trained.scratch:
        shutil.rmtree(out / name, ignore_errors=True)
    contract.finish(
        out,
        files=trained.files,
        packages=trained.packages,
        program=__spec__.name,
        model=task.model.model_dump(mode="json"),
        base=task.base.model_dump(mode="json") if task.base else None,
        prompt=task.prompt.model_dump(mode="json") if task.prompt else None,
        seed=task.seed,
        threshold=trained.threshold,
        selection=dict(trained.selection),
        content=task.content,
        seconds=time.monotonic() - began,
        **trained.facts,
    )


def _score(task: Task, *, checkpoint: Path, items: Path, out: Path, report: Report) -> None:
    began = time.monotonic()
    rows = pl.read_parquet(items)
    probabilities = _program(task.model).score(task, checkpoint=checkpoint, items=rows, report=report)
    scored = rows.select("item_id", probability=pl.Series(probabilities, dtype=pl.Float64))
    scored.write_parquet(out / PROBABILITIES)
    files = [PROBABILITIES]
    if task.model.explains:
        reasons = _program(task.model).explain(task, checkpoint=checkpoint, items=rows, report=report)
        schemas.EXPLANATIONS.validate(reasons).write_parquet(out / EXPLANATIONS)
        files.append(EXPLANATIONS)
    _finish(task, out, files=files, packages=["numpy"], n_items=rows.height, seconds=time.monotonic() - began)


def _out_of_fold(task: Task, *, n: int, out: Path, report: Report) -> None:
    """Have each example scored by a detector that was trained without its fold, and nothing selected."""
    began = time.monotonic()
    assert task.train
    rows = pl.read_parquet(task.train)
    fold = examples.folds(rows, n=n, seed=task.seed)
    parts, key = (
        [],
        {**{name: rows.schema[name] for name in examples.KEY}, "fold": pl.UInt32, "probability": pl.Float64},
    )
    divided = rows.with_columns(fold) if fold is not None else rows.clear().with_columns(fold=pl.lit(0, pl.UInt32))
    for number in divided["fold"].unique().sort():
        folder = out / f"fold_{number}"
        held_out, rest = divided.filter(fold=number), divided.filter(pl.col("fold") != number).drop("fold")
        unselected = task.model_copy(update={"validation": None})
        _, said = _said(unselected, train=rest, items=held_out, folder=folder, report=report)
        parts.append(held_out.select(*examples.KEY, "fold", probability=said))
    pl.concat([pl.DataFrame(schema=key), *parts]).sort(examples.KEY).write_parquet(out / OUT_OF_FOLD)
    counts = {"n_items": rows.height, "n_folds": len(parts), "seconds": time.monotonic() - began}
    _finish(task, out, files=[OUT_OF_FOLD], packages=["scikit-learn", "numpy"], **counts)


def _learning_curve(task: Task, *, draws: list[tuple[float, int]], items: Path, out: Path, report: Report) -> None:
    """Have the items scored by detectors that were trained on shares of the examples, each selected as the whole is."""
    began = time.monotonic()
    assert task.train
    rows, asked = pl.read_parquet(task.train), pl.read_parquet(items)
    parts = []
    for number, (share, draw) in enumerate(draws):
        drawn = examples.drawn(rows, share=share, seed=draw)
        threshold, said = _said(task, train=drawn, items=asked, folder=out / f"draw_{number}", report=report)
        parts.append(
            asked.select(
                "item_id",
                share=pl.lit(share, pl.Float64),
                draw=pl.lit(draw, pl.UInt32),
                n_train=pl.lit(drawn.height, pl.UInt32),
                threshold=pl.lit(threshold, pl.Float64),
                probability=said,
            )
        )
        report.step(number + 1, len(draws), unit="draws of training data")
    pl.concat(parts).write_parquet(out / LEARNING_CURVE)
    counts = {"n_items": asked.height, "n_draws": len(draws), "seconds": time.monotonic() - began}
    _finish(task, out, files=[LEARNING_CURVE], packages=["scikit-learn", "numpy"], **counts)


def _said(
    task: Task, *, train: pl.DataFrame, items: pl.DataFrame, folder: Path, report: Report
) -> tuple[float, pl.Series]:
    """Return threshold and probabilities, (items,), f64, of a detector that is trained for this and not kept."""
    folder.mkdir(exist_ok=True)
    train.write_parquet(folder / "train.parquet")
    fitted = task.model_copy(update={"train": folder / "train.parquet"})
    _train(fitted, out=folder, report=report)
    manifest = contract.complete(folder)
    assert manifest  # it was just trained
    said = _program(task.model).score(fitted, checkpoint=folder, items=items, report=report)
    shutil.rmtree(folder)  # it knows items, and what it says of others is all that is asked
    return manifest["threshold"], pl.Series(said, dtype=pl.Float64)


def _finish(task: Task, out: Path, *, files: list[str], packages: list[str], **facts: Any) -> None:
    """Write the manifest of what detectors said."""
    model = task.model.model_dump(mode="json")
    contract.finish(out, files=files, packages=packages, program=__spec__.name, model=model, **facts)


def _family(kind: str) -> type[Detector]:
    families = {kind: family for family in DETECTORS for kind in family.kinds()}
    if kind not in families:
        raise UnknownName("kind of detector", kind, families)
    return families[kind]


def _program(model: Detector) -> FamilyProgram:
    """Return the program of the model's family, which stands beside its entry."""
    return cast(FamilyProgram, import_module(f"{type(model).__module__.rpartition('.')[0]}.program"))


if __name__ == "__main__":
    main()
