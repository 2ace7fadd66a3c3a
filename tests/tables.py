"""Small frames, built from the rows that a test is about; what it does not say takes a harmless value."""

import hashlib
from collections.abc import Iterable
from typing import Any

import polars as pl

from m2v import schemas


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def frame(table: schemas.Table, rows: Iterable[dict[str, Any]], **defaults: Any) -> pl.DataFrame:
    """Rows of a table, validated; ``defaults`` fill what a row leaves out, then nulls where the table allows them."""
    filled = [{**dict.fromkeys(table.nullable), **defaults, **row} for row in rows]
    for row in filled:
        if "text" in row and "text_sha256" in table.columns:
            row.setdefault("text_sha256", sha256(row["text"]))
    return table.validate(pl.DataFrame(filled, schema=dict(table.columns)))


def memes(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.MEMES, rows, split="train", text="a leek", label=False)


def videos(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.VIDEOS, rows, split="train", text="a leek", label=False)


def predictions(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.PREDICTIONS, rows, model="turnip", request_sha256="0" * 64)


def answers(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.HUMAN_LABELS, rows, annotator="a1", round="r1", role="annotator", mode="unrecorded")
