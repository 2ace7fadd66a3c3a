"""A million items in a round's ledger, three answers to each: every step in a process of its own, no server.

The steps are those of ``m2v rounds open`` and ``pull`` without their requests; what the requests take is in
``rounds.py``. Run by ``scale.py``.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from figure import peak_mib
from m2v.annotation import answers, rounds
from m2v.entries.study import RoundPlan
from m2v_resources.annotators.label_studio import AnnotationServer, LabelStudioAddress
from m2v_resources.annotators.ledger import SEEN_COLUMNS, Pulled
from m2v_resources.annotators.rounds import RoundQuestion, Rounds

N_ITEMS, N_PEOPLE = 1_000_000, 3
STEPS = {
    "intend": "worked out and written down",
    "send": "readied for sending",
    "record": "3 M answers merged and written down",
    "one_more": "one changed answer",
    "judge": "3 M answers judged",
    "cover": "judged, and found complete",
    "ask_again": "found answered, so not asked again",
}
PLAN = RoundPlan(n_annotators=N_PEOPLE, accept_imports=True)
NO = pl.lit("negative")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def measured(step: str, folder: Path) -> dict[str, Any]:
    """Seconds of a step and the highest resident size of this process, its input included."""
    live = Rounds(folder, "carrots", AnnotationServer(LabelStudioAddress("http://127.0.0.1:9", "no token", "salt")))
    call = globals()[step](live)
    began = time.perf_counter()
    call()
    return {"seconds": time.perf_counter() - began, "peak_mib": peak_mib()}


def intend(live: Rounds):
    """What is to be asked, worked out and written down."""
    asked = question()
    return lambda: live._intend(PLAN, asked)


def send(live: Rounds):
    """The round's items as they are sent."""
    (opened,), asked = live.ledger.rounds(), question()

    def call() -> None:
        assert len(live._data(opened, asked)) == N_ITEMS

    return call


def record(live: Rounds):
    """A first pull of everything, merged and written down."""
    (opened,) = live.ledger.rounds()
    pulled = pl.concat([answered(live.ledger.items(opened), opened, person) for person in range(N_PEOPLE)])
    seen = pl.DataFrame({"task_id": pl.int_range(N_ITEMS, eager=True)}).select(
        pl.lit(1, pl.Int64).alias("project_id"),
        "task_id",
        pl.lit(AT).cast(SEEN_COLUMNS["changed_at"]).alias("changed_at"),
    )

    def call() -> None:
        rows = answers.merged(live.ledger.annotations(opened), pulled)
        live.ledger.record(opened, Pulled(until=AT), annotations=rows, seen=seen)

    return call


def one_more(live: Rounds):
    """One changed answer among three million."""
    (opened,) = live.ledger.rounds()

    def call() -> None:
        known = live.ledger.annotations(opened)
        changed = known.tail(1).with_columns(pl.col("updated_at") + pl.duration(days=1))
        live.ledger.record(opened, Pulled(until=AT), annotations=answers.merged(known, changed))

    return call


def judge(live: Rounds):
    """Every answer sorted into what counts and what does not."""

    def call() -> None:
        assert live.ledger.all_judged().answers.height == N_ITEMS * N_PEOPLE

    return call


def cover(live: Rounds):
    """Whether the round is done; then it is, for the next step."""
    (opened,) = live.ledger.rounds()

    def call() -> None:
        judged = live.ledger.judged(opened)
        done = rounds.coverage(live.ledger.items(opened), answers=judged.answers, skips=judged.skips, asked=opened)
        assert done["is_done"].all()
        live.ledger.record(opened, Pulled(until=AT, state="complete"))

    return call


def ask_again(live: Rounds):
    """The same question again: all of it was answered, so nothing is asked."""
    asked = question()

    def call() -> None:
        live._intend(PLAN, asked)
        assert len(live.ledger.rounds()) == 1

    return call


def question() -> RoundQuestion:
    """Conflicts about a million vegetables."""
    ids = pl.DataFrame({"meme_id": pl.select(pl.format("{}", pl.int_range(N_ITEMS))).to_series().str.zfill(16)})
    memes = ids.with_columns(
        text=pl.format("a text of the usual length, about leek number {}", "meme_id"),
        image=pl.lit(None, pl.String),
        text_sha256=pl.col("meme_id").hash().cast(pl.String).str.zfill(64),
    )
    conflicts = ids.with_columns(original=True, predicted=False, reason=pl.lit("disagreement"))
    return RoundQuestion(
        conflicts, memes, pl.DataFrame(schema={"meme_id": pl.String, "label": pl.Boolean}), "a guideline"
    )


def answered(items: pl.DataFrame, opened: rounds.Round, person: int) -> pl.DataFrame:
    """One person's answers to every item, as they are pulled."""
    return items.with_row_index("n").select(
        project_id=pl.lit(1, pl.Int64),
        annotation_id=pl.col("n").cast(pl.Int64) + person * N_ITEMS,
        item_key="item_key",
        annotator=pl.lit(f"annotator-{person:08}"),
        author=pl.lit(f"annotator-{person:08}"),
        was_cancelled=False,
        created_at=pl.lit(AT).cast(SEEN_COLUMNS["changed_at"]) + pl.duration(seconds="n"),
        updated_at=pl.lit(AT).cast(SEEN_COLUMNS["changed_at"]) + pl.duration(seconds="n"),
        duration_s=pl.lit(5.0),
        labels=pl.concat_list(pl.when((pl.col("n") + person) % 3 > 0).then(pl.lit("positive")).otherwise(NO)),
        skips=pl.lit([], pl.List(pl.String)),
        confidence=pl.lit(2, pl.UInt8),
        comment=pl.lit(None, pl.String),
        seen_config_sha256=pl.lit(opened.definition.config_sha256),
    )  # fmt: skip
