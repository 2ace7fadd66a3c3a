"""Copies of a model that share a plan: what each says does not depend on what became of the others."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from m2v.files import row_cache
from m2v.files.digests import text_sha256
from m2v.prediction import predict, replicas
from m2v.prediction.task import ANSWERS, PredictionTask
from tests import vlms


def test_a_batch_that_a_dead_copy_began_gives_the_answers_of_a_whole_one(tmp_path: Path) -> None:
    rows = vlms.garden(tmp_path / "pictures", 12)
    for place, row in enumerate(rows):
        row["text"] += " and the soup and the leek" * place
    task = PredictionTask(
        model=vlms.entry("mllama"),
        prompt=vlms.PROMPT,
        label=vlms.LABEL,
        mode="score",
        home=tmp_path,
    )
    items = {row["item_id"]: predict.shown(row) for row in rows}
    planned = replicas.plan(items, names={name: name for name in items}, task=task, demonstrations=[])

    def asked(folder: str) -> pl.DataFrame:
        given: dict[str, Any] = {"task": task.model_dump(mode="json"), "folder": str(tmp_path / folder)}
        replicas.VlmReplica({**given, "words": replicas.WORDS.dump_python(planned.words)})(
            replicas.packed(planned.batches)
        )
        return row_cache.read(tmp_path / folder, ANSWERS)

    whole = asked("whole")
    journal = text_sha256("".join(each.item for batch in planned.batches for each in batch.questions))
    last = [each.item for each in planned.batches[-1].questions]
    assert len(last) > 2
    for n_kept in range(1, len(last)):
        folder = tmp_path / f"died after {n_kept}"
        folder.mkdir()
        kept = whole.filter(pl.col("request_sha256").is_in(last[:n_kept]))
        lines = "".join(json.dumps(row) + "\n" for row in kept.to_dicts())
        (folder / f"{journal}.jsonl").write_text(lines, encoding="utf-8")
        assert asked(folder.name).equals(whole)
