"""Items asked about by replicas of a vision-language model: by one here, or by many on the hosts of a cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from m2v.files import row_cache, storage
from m2v.files.digests import text_sha256
from m2v.prediction import models, prompts, scoring
from m2v.prediction.servers import Keep
from m2v.prediction.task import ANSWERS, PredictionTask
from m2v.programs import pools
from m2v.programs.progress import Report

WORDS, PICTURES = TypeAdapter(scoring.Words | None), TypeAdapter(tuple[prompts.Shown, ...])
# Progress is told by shard.
LARGEST_SHARD = 512


@dataclass(frozen=True)
class Plan:
    """What is to be asked.

    Attributes:
        words: Where the two answers part; None where the model is to write.
        n_cut: Texts that were too long.
    """

    reader: models.Loaded
    batches: list[scoring.Batch]
    words: scoring.Words | None
    n_cut: int


def plan(
    items: Mapping[str, prompts.Shown],
    *,
    names: Mapping[str, str],
    task: PredictionTask,
    demonstrations: Sequence[prompts.Demonstration],
) -> Plan:
    """Batches of questions, made without the model's weights.

    Args:
        items, names: By request.
    """
    reader = models.reader(task.model, home=task.home)
    cut = scoring.Cutter(reader)
    asked = {
        digest: prompts.ask(item, prompt=task.prompt, label=task.label, demonstrations=demonstrations, cut=cut)
        for digest, item in items.items()
    }
    questions = scoring.questions(
        [(digest, question, names[digest]) for digest, question in asked.items()], loaded=reader
    )
    if task.mode == "generate":
        return Plan(reader, scoring.batches(questions, loaded=reader, shares_prefix=False), None, cut.n_cut)
    words = scoring.words(questions[0], asked[questions[0].item], label=task.label, loaded=reader)
    return Plan(reader, scoring.batches(questions, loaded=reader), words, cut.n_cut)


class Asker:
    """A replica of the model with its weights."""

    def __init__(self, reader: models.Loaded, *, task: PredictionTask, words: scoring.Words | None) -> None:
        self.task = task
        loaded = models.with_weights(reader, home=task.home, adapter=task.adapter)
        self.scorer = scoring.Scorer(loaded, words=words)

    def ask(self, batches: Iterable[scoring.Batch], *, keep: Keep) -> None:
        """Keep what the model says, by request, as batches are done."""
        if self.task.mode == "score":
            for digest, probability in self.scorer.scored(batches):
                keep(digest, probability, "positive" if probability > 0.5 else "negative")
        else:
            for digest, outcome in self.scorer.written(batches, label=self.task.label):
                keep(digest, None, outcome)

    def counts(self) -> dict[str, Any]:
        """For the manifest."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return {"n_prefixes": self.scorer.counts.n_prefixes, "n_halved": self.scorer.counts.n_halved, "device": device}


def spread(planned: Plan, *, task: PredictionTask, folder: Path, report: Report) -> dict[str, Any]:
    """Have replicas on every host of the cluster ask; give counts for the manifest."""
    cluster = pools.Cluster()
    n_items = sum(len(batch.questions) for batch in planned.batches)
    given = {
        "task": task.model_dump(mode="json"),
        "words": WORDS.dump_python(planned.words),
        "folder": str(folder),
    }
    n_done, told = 0, []
    planned_shards = pools.shared(
        planned.batches,
        n_replicas=cluster.n_replicas,
        largest=LARGEST_SHARD,
        n_items=lambda batch: len(batch.questions),
    )
    for answer in cluster.mapped(
        "m2v.prediction.replicas:VlmReplica", given, [packed(shard) for shard in planned_shards]
    ):
        n_done += answer["n_items"]
        told.append(answer)
        report.step(n_done, n_items, unit="items", hosts=len({one["host"] for one in told}))
    return {
        "n_cut": planned.n_cut,
        "n_prefixes": sum(answer["n_prefixes"] for answer in told),
        "n_halved": sum(answer["n_halved"] for answer in told),
        "device": ", ".join(sorted({answer["device"] for answer in told})),
        "hosts": sorted({answer["host"] for answer in told}),
    }


class VlmReplica:
    """A replica on some host; what another one kept of its shard before it died is not asked again."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.task = PredictionTask.model_validate(given["task"])
        self.folder = Path(given["folder"])
        words = WORDS.validate_python(given["words"])
        self.asker = Asker(models.reader(self.task.model, home=self.task.home), task=self.task, words=words)

    def __call__(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Ask about a shard's batches."""
        batches = unpacked(shard)
        # Here, where they are looked at; the program that plans needs none.
        given = (shown for batch in batches for question in batch.questions for shown in question.all_pictures)
        storage.fetch(path for shown in given for path in shown.pictures)
        digests = [question.item for batch in batches for question in batch.questions]
        before = self.asker.counts()
        with row_cache.part(self.folder, ANSWERS, name=text_sha256("".join(digests))) as (known, add):

            def keep(digest: str, probability: float | None, outcome: str) -> None:
                if digest not in known:
                    add(request_sha256=digest, probability=probability, outcome=outcome)

            self.asker.ask(_unknown(batches, known), keep=keep)
        after = self.asker.counts()
        return {
            **{name: after[name] - before[name] for name in ("n_prefixes", "n_halved")},
            "device": after["device"],
            "host": pools.host(),
            "n_items": len(digests),
        }


def _unknown(batches: Iterable[scoring.Batch], known: set[str]) -> Iterator[scoring.Batch]:
    """Yield the batches of which an answer is missing, whole: in a smaller one the last digits would be others."""
    return (batch for batch in batches if not known.issuperset(question.item for question in batch.questions))


def packed(batches: Sequence[scoring.Batch]) -> dict[str, Any]:
    """Return a shard as plain data; what questions share stands there once."""
    beginnings: dict[tuple[str, tuple[prompts.Shown, ...]], int] = {}

    def plain(asked: scoring.Question) -> dict[str, Any]:
        place = beginnings.setdefault((asked.before, asked.pictures_before), len(beginnings))
        own = {"item": asked.item, "name": asked.name, "after": asked.after, "n_tokens": asked.n_tokens}
        return {**own, "beginning": place, "pictures": PICTURES.dump_python(asked.pictures)}

    rows = [
        {"is_shared": bool(batch.before), "questions": [plain(question) for question in batch.questions]}
        for batch in batches
    ]
    return {"batches": rows, "beginnings": [[text, PICTURES.dump_python(shown)] for text, shown in beginnings]}


def unpacked(shard: Mapping[str, Any]) -> list[scoring.Batch]:
    """Return a shard's batches."""
    beginnings = [(before, PICTURES.validate_python(shown)) for before, shown in shard["beginnings"]]

    def question(plain: dict[str, Any]) -> scoring.Question:
        before, shown = beginnings[plain.pop("beginning")]
        pictures = PICTURES.validate_python(plain.pop("pictures"))
        return scoring.Question(**plain, before=before, pictures_before=shown, pictures=pictures)

    batches = []
    for batch in shard["batches"]:
        questions = tuple(question(dict(plain_question)) for plain_question in batch["questions"])
        batches.append(scoring.Batch(questions[0].before if batch["is_shared"] else "", questions))
    return batches
