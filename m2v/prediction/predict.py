"""Program: what a vision-language model says about each item, asked unless the answer is known.

The spec says ``model`` and ``prompt`` (catalog entries), ``label`` (a target's definition), ``demonstrations`` and
``items`` (parquet, see ``read``), ``mode`` ("score" or "generate"), ``adapter`` (a folder, or null) and ``home``. The
folder gets ``answers.parquet`` with ``item_id``, ``probability`` (null where the model wrote), ``outcome`` and
``request_sha256``.

Answers are kept by the hash of their request in ``<home>/requests``, as they come: a killed program goes on, and
nothing is asked twice, in no run and no study.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from m2v import programfiles, progress, shards
from m2v.catalog.entries import LabelDefinition, Prompt, Server, Vlm
from m2v.errors import StoreError
from m2v.prediction import prompts

ADAPTER = "adapter_model.safetensors"
ANSWERS = {"request_sha256": pl.String, "probability": pl.Float64, "outcome": pl.String}
SHOWN = {
    "text": pl.String,
    "pictures": pl.List(pl.String),
    "pictures_sha256": pl.List(pl.String),
    "media": pl.String,
    "description": pl.String,
}
ITEMS = {"item_id": pl.String, **SHOWN}
DEMONSTRATIONS = {"label": pl.Boolean, **SHOWN}


class Task(BaseModel):
    """The spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Vlm
    prompt: Prompt
    label: LabelDefinition
    demonstrations: Path
    items: Path
    mode: Literal["score", "generate"]
    adapter: Path | None = None
    server: Server | None = None
    home: Path


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.complete(out):
        return
    began = time.monotonic()
    task = Task.model_validate(spec)
    if task.adapter:
        refuse_other(task.adapter, task.model)
    demonstrations = [
        prompts.Demonstration(shown(row), row["label"])
        for row in pl.read_parquet(task.demonstrations).iter_rows(named=True)
    ]
    items = {row["item_id"]: shown(row) for row in pl.read_parquet(task.items).iter_rows(named=True)}
    requests = {name: request(item, task=task, demonstrations=demonstrations) for name, item in items.items()}
    folder = task.home / "requests" / task.model.name
    absorb(folder)
    known = shards.read(folder, ANSWERS)
    # Two items that are the same request are asked about once.
    unknown = {digest: name for name, digest in requests.items() if digest not in set(known["request_sha256"])}
    counts: dict[str, Any] = {}
    with progress.reporting() as report:
        if unknown:
            asked = {digest: items[name] for digest, name in unknown.items()}
            counts = ask(asked, names=unknown, task=task, demonstrations=demonstrations, folder=folder, report=report)
    found = pl.DataFrame({"item_id": list(requests), "request_sha256": list(requests.values())}).join(
        shards.read(folder, ANSWERS), on="request_sha256", how="left", maintain_order="left"
    )
    found.select("item_id", "probability", "outcome", "request_sha256").write_parquet(out / "answers.parquet")
    programfiles.finish(
        out,
        files=["answers.parquet"],
        packages=["torch", "transformers"],
        program="m2v.prediction.predict",
        n_items=len(items),
        n_asked=len(unknown),
        n_known=len(items) - len(unknown),
        outcomes=dict(found.group_by("outcome").len().sort("outcome").iter_rows()),
        prompt=task.prompt.model_dump(mode="json"),
        demonstrations=[[prompts.identity(each.shown), each.label] for each in demonstrations],
        seconds=time.monotonic() - began,
        **counts,
    )


def ask(
    items: dict[str, prompts.Shown],
    *,
    names: dict[str, str],
    task: Task,
    demonstrations: list[prompts.Demonstration],
    folder: Path,
    report: progress.Report,
) -> dict[str, Any]:
    """Ask about items by request, keep each answer; give counts for the manifest.

    Args:
        names: The items' ids by request, for errors.
    """
    if task.server:
        from m2v.prediction import served

        # A server cuts what it must: only it knows the tokens.
        questions = {
            digest: prompts.ask(item, prompt=task.prompt, label=task.label, demonstrations=demonstrations)
            for digest, item in items.items()
        }
        model = task.server.model or task.model.hub or task.model.name
        with _Keeper(folder, n_items=len(items), report=report) as keeper:
            return served.ask(
                questions,
                names=names,
                server=task.server,
                model=model,
                label=task.label,
                mode=task.mode,
                keep=keeper.keep,
            )
    # Only now torch is imported: a run that finds everything known takes no second.
    import torch

    from m2v.prediction import models, scoring

    models.share_cores()
    loaded = models.load(task.model, home=task.home, adapter=task.adapter)
    cut = scoring.Cutter(loaded)
    asked = {
        digest: prompts.ask(item, prompt=task.prompt, label=task.label, demonstrations=demonstrations, cut=cut)
        for digest, item in items.items()
    }
    questions = scoring.questions([(digest, each, names[digest]) for digest, each in asked.items()], loaded=loaded)
    with _Keeper(folder, n_items=len(items), report=report) as keeper:
        if task.mode == "score":
            first = questions[0]
            said = scoring.words(first, asked[first.item], label=task.label, loaded=loaded)
            scorer = scoring.Scorer(loaded, words=said)
            for digest, probability in scorer.probabilities(questions):
                keeper.keep(digest, probability, "positive" if probability > 0.5 else "negative")
        else:
            scorer = scoring.Scorer(loaded, words=None)
            for digest, outcome in scorer.outcomes(questions, label=task.label):
                keeper.keep(digest, None, outcome)
    return {
        "n_cut": cut.n_cut,
        "n_prefixes": scorer.counts.n_prefixes,
        "n_halved": scorer.counts.n_halved,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


class _Keeper:
    """Keeps each answer as it comes, in a journal, and all of them in a shard however the asking ends."""

    def __init__(self, folder: Path, *, n_items: int, report: progress.Report) -> None:
        self.folder, self.n_items, self.report = folder, n_items, report
        self.n_done, self.began = 0, time.monotonic()

    def __enter__(self) -> "_Keeper":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{os.getpid()}-{time.time_ns()}.jsonl"
        self.journal = self.path.open("a", encoding="utf-8")
        # Held as long as we live: whoever finds it free takes over what a killed program left.
        fcntl.flock(self.journal, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()
        absorb(self.folder)

    def keep(self, digest: str, probability: float | None, outcome: str) -> None:
        """Keep one answer."""
        row = {"request_sha256": digest, "probability": probability, "outcome": outcome}
        self.journal.write(json.dumps(row) + "\n")
        self.journal.flush()
        self.n_done += 1
        rate = self.n_done / (time.monotonic() - self.began)
        self.report.step(self.n_done, self.n_items, unit="items", items_per_s=rate)


def absorb(folder: Path) -> None:
    """Turn the journals of programs that ended, or were killed, into shards."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("r+", encoding="utf-8") as journal:
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Somebody writes it.
                continue
            # A line that a kill cut off has no end.
            rows = [json.loads(line) for line in journal if line.endswith("\n")]
            if rows:
                shards.append(folder, pl.DataFrame(rows, schema=ANSWERS), ANSWERS)
            path.unlink(missing_ok=True)


def refuse_other(adapter: Path, entry: Vlm) -> None:
    """Nothing, where a folder holds an adapter of this model: a mistyped path must never ask the base model.

    Raises:
        StoreError: Its files are not those of its manifest, or it was trained on other weights.
    """
    way_out = "Check the path, or train it again: `m2v run --force --select checkpoints/<run>`."
    manifest = programfiles.complete(adapter)
    if manifest is None or ADAPTER not in manifest["files"]:
        raise StoreError(f"{adapter} is no LoRA checkpoint, or damaged: its files are not its manifest's. {way_out}")
    base = manifest.get("base", {})
    if {name: base.get(name) for name in entry.weights} != entry.weights:
        raise StoreError(f"{adapter} was trained on {base.get('name')}, not on {entry.name}'s weights. {way_out}")


def request(item: prompts.Shown, *, task: Task, demonstrations: Iterable[prompts.Demonstration]) -> str:
    """The hash of all that decides the answer about an item."""
    model = {**task.model.identity, "adapter": _adapter_sha256(task.adapter)}
    decoding: dict[str, Any] = {"mode": task.mode, "engine": "server" if task.server else "transformers"}
    return prompts.request_sha256(
        item,
        prompt=task.prompt,
        label=task.label,
        demonstrations=list(demonstrations),
        model=model,
        decoding=decoding,
    )


def frame(rows: list[dict[str, Any]], schema: shards.Schema) -> pl.DataFrame:
    """Items or demonstrations as the program reads them."""
    return pl.DataFrame(rows, schema=dict(schema))


def shown(row: dict[str, Any]) -> prompts.Shown:
    return prompts.Shown(
        text=row["text"],
        pictures=tuple(row["pictures"]),
        pictures_sha256=tuple(row["pictures_sha256"]),
        media=row["media"],
        description=row["description"],
    )


def _adapter_sha256(adapter: Path | None) -> str | None:
    return programfiles.sha256(adapter / ADAPTER) if adapter else None


if __name__ == "__main__":
    main()
