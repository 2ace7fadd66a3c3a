"""Program: what a vision-language model says about each item, asked unless the answer is known.

The spec says ``model`` and ``prompt`` (catalog entries), ``label`` (a target's definition), ``demonstrations`` and
``items`` (parquet, see ``m2v.prediction.demonstrations``), ``mode`` ("score" or "generate"), ``adapter`` (a folder,
or null) and ``home``. The folder gets ``answers.parquet`` with ``item_id``, ``probability`` (null where the model
wrote), ``outcome`` and ``request_sha256``.

Answers are kept by the hash of their request in ``<home>/requests``, as they come: a killed program goes on, and
nothing is asked twice, in no run and no study.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from m2v.files import row_cache, storage
from m2v.files.digests import file_sha256
from m2v.models import lean
from m2v.prediction import prompts, servers
from m2v.prediction.task import ANSWERS, PredictionTask
from m2v.programs import checkpoints, contract, pools, progress

ADAPTER = "adapter_model.safetensors"


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    given = {name: value for name, value in spec.items() if name not in {"items", "demonstrations"}}
    task = PredictionTask.model_validate(given)
    demonstrations = pl.read_parquet(spec["demonstrations"])
    with progress.reporting() as report:
        rows, facts = answers(task, pl.read_parquet(spec["items"]), demonstrations=demonstrations, report=report)
    rows.write_parquet(out / "answers.parquet")
    contract.finish(
        out,
        files=["answers.parquet"],
        packages=["torch", "transformers"],
        program="m2v.prediction.predict",
        outcomes=dict(rows.group_by("outcome").len().sort("outcome").iter_rows()),
        model=task.model.model_dump(mode="json"),
        prompt=task.prompt.model_dump(mode="json"),
        label=task.label.model_dump(mode="json"),
        mode=task.mode,
        server=task.server.url if task.server else None,
        seconds=time.monotonic() - began,
        **facts,
    )


def answers(
    task: PredictionTask, items: pl.DataFrame, *, demonstrations: pl.DataFrame | None, report: progress.Report
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return what the model says about each item, asked unless the answer is known, and counts.

    Args:
        items, demonstrations: As ``m2v.prediction.demonstrations`` makes them.

    Returns:
        Columns ``item_id``, ``probability`` (null where the model wrote), ``outcome``, ``request_sha256``, in the order
        of the items.

    Raises:
        StoreError: The adapter is damaged, or another model's.
    """
    if task.adapter:
        checkpoints.verified(task.adapter, weights=ADAPTER, base=(task.model.name, task.model.weights))
    rows = demonstrations.iter_rows(named=True) if demonstrations is not None else ()
    examples = [prompts.Demonstration(shown(row), row["label"]) for row in rows]
    by_name = {row["item_id"]: shown(row) for row in items.iter_rows(named=True)}
    adapter = file_sha256(task.adapter / ADAPTER) if task.adapter else None
    requests = requested(by_name, task=task, demonstrations=examples, adapter=adapter)
    folder = task.home / "requests" / task.model.name
    known = row_cache.known(folder, ANSWERS)
    # Two items that are the same request are asked about once.
    unknown = {digest: name for name, digest in requests.items() if digest not in known}
    counts: dict[str, Any] = {}
    if unknown:
        asked = {digest: by_name[name] for digest, name in unknown.items()}
        counts = ask(asked, names=unknown, task=task, demonstrations=examples, folder=folder, report=report)
    known_rows = pl.DataFrame({"item_id": list(requests), "request_sha256": list(requests.values())}).join(
        row_cache.read(folder, ANSWERS), on="request_sha256", how="left", maintain_order="left"
    )
    facts = {
        "n_items": len(by_name),
        "n_asked": len(unknown),
        "n_known": len(by_name) - len(unknown),
        "adapter_sha256": adapter,
        "demonstrations": [[prompts.identity(example.shown), example.label] for example in examples],
        **counts,
    }
    return known_rows.select("item_id", "probability", "outcome", "request_sha256"), facts


def ask(
    items: dict[str, prompts.Shown],
    *,
    names: dict[str, str],
    task: PredictionTask,
    demonstrations: list[prompts.Demonstration],
    folder: Path,
    report: progress.Report,
) -> dict[str, Any]:
    """Ask about items by request, keep each answer; give counts for the manifest.

    Args:
        names: The items' ids by request, for errors.
    """
    if not pools.is_spread():
        given = [*items.values(), *(example.shown for example in demonstrations)]
        storage.fetch(path for shown in given for path in shown.pictures)
    if task.server:
        # A server cuts what it must: only it knows the tokens.
        questions = {
            digest: prompts.ask(item, prompt=task.prompt, label=task.label, demonstrations=demonstrations)
            for digest, item in items.items()
        }
        model = task.server.model or task.model.hub or task.model.name
        with _keeping(folder, n_items=len(items), report=report) as keep:
            servers.ask(
                questions,
                names=names,
                server=task.server,
                model=model,
                label=task.label,
                mode=task.mode,
                keep=keep,
            )
        return {}
    # Only now torch is imported: a run that finds everything known takes no second.
    with lean.imports(quantisation=task.model.quantisation):
        # Under every model, and imported by the first one that is loaded.
        import transformers.modeling_utils  # noqa: F401

        from m2v.prediction import models, replicas

    planned = replicas.plan(items, names=names, task=task, demonstrations=demonstrations)
    if pools.is_spread():
        return replicas.spread(planned, task=task, folder=folder, report=report)
    models.share_cores()
    replica = replicas.Asker(planned.reader, task=task, words=planned.words)
    with _keeping(folder, n_items=len(items), report=report) as keep:
        replica.ask(planned.batches, keep=keep)
    return {"n_cut": planned.n_cut, **replica.counts()}


@contextmanager
def _keeping(folder: Path, *, n_items: int, report: progress.Report) -> Iterator[servers.Keep]:
    """Keep each answer as it comes, and say how far it is."""
    n_done, began = 0, time.monotonic()
    with row_cache.journal(folder, ANSWERS) as add:

        def keep(digest: str, probability: float | None, outcome: str) -> None:
            nonlocal n_done
            add(request_sha256=digest, probability=probability, outcome=outcome)
            n_done += 1
            report.step(n_done, n_items, unit="items", items_per_s=n_done / (time.monotonic() - began))

        yield keep


def requested(
    items: Mapping[str, prompts.Shown],
    *,
    task: PredictionTask,
    demonstrations: Sequence[prompts.Demonstration],
    adapter: str | None,
) -> dict[str, str]:
    """Return the hash of all that decides the answer about each item.

    Args:
        adapter: The sha256 of its weights.
    """
    model = {**task.model.identity, "adapter": adapter}
    decoding = {"mode": task.mode, "engine": "server" if task.server else "transformers"}
    return {
        name: prompts.request_sha256(
            item,
            prompt=task.prompt,
            label=task.label,
            demonstrations=demonstrations,
            model=model,
            decoding=decoding,
        )
        for name, item in items.items()
    }


def shown(row: dict[str, Any]) -> prompts.Shown:
    """Return an item or a demonstration out of the program's tables."""
    return prompts.Shown(
        text=row["text"],
        pictures=tuple(row["pictures"]),
        pictures_sha256=tuple(row["pictures_sha256"]),
        media=row["media"],
        description=row["description"],
    )


if __name__ == "__main__":
    main()
