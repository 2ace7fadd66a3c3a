"""Pulls from a server whose clock was put back."""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.m2v_resources.annotators.asking import leeks, plan, question, rounds, tasks
from tests.people import Person


@pytest.mark.parametrize("put_back_s", [5, 3600])
def test_an_answer_that_a_clock_puts_before_the_last_pull_is_found(
    label_studio: Path, people: list[Person], put_back_s: int
) -> None:
    found = rounds(label_studio, f"clock_{put_back_s}")
    (this,) = found.open(plan(n_annotators=1), question(leeks(2)))
    where = tasks(found, this)
    first = people[0].answer(where["leek 0000"], "positive").json()
    found.pull()
    pulled = found.ledger.pulled(this)
    assert pulled.until
    # The server's clock was put back since, or the answer was stored late.
    later = timedelta(seconds=put_back_s)
    stamped = found.ledger.annotations(this).with_columns(pl.col("updated_at") + later)
    found.ledger.record(this, replace(pulled, until=pulled.until + later), annotations=stamped)
    people[0].answer(where["leek 0001"], "negative")
    people[0].edit(first["id"], "negative").raise_for_status()
    assert found.pull() == 2
    assert found.ledger.judged(this).answers["label"].to_list() == [0, 0], "what is stamped earlier was said later"
    after = found.ledger.pulled(this)
    assert after.until
    assert after.until < pulled.until + timedelta(minutes=5), "and goes on by the server's clock"


def test_answers_of_an_hour_that_the_clock_repeats_are_found(label_studio: Path, people: list[Person]) -> None:
    found = rounds(label_studio, "twice")
    (this,) = found.open(plan(n_annotators=1), question(leeks(3)))
    where = tasks(found, this)
    people[0].answer(where["leek 0000"], "positive")
    found.pull()
    people[0].answer(where["leek 0001"], "negative")
    # It was given half an hour after the clock was put back by an hour, and nobody pulled for long.
    with sqlite3.connect(label_studio / "label_studio" / "data" / "label_studio.sqlite3", timeout=30) as database:
        earlier = "UPDATE task SET updated_at = datetime(updated_at, '-30 minutes') WHERE id = ?"
        database.execute(earlier, [where["leek 0001"]])
    people[0].answer(where["leek 0002"], "positive")
    assert found.pull() == 2
    assert found.ledger.judged(this).answers.height == 3
