"""Embeddings by text, kept for ever: a text is encoded once per encoder version, across all runs and studies."""

import hashlib
from pathlib import Path

import polars as pl

from m2v import shards
from m2v.catalog.entries import Encoder

SCHEMA = {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)}


def folder(root: Path, encoder: Encoder) -> Path:
    """The folder of one encoder version: whatever changes an embedding changes its name."""
    identity = encoder.model_dump_json(include={"hub", "revision", "weights_sha256", "max_tokens"})
    return root / f"{encoder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def read(folder: Path) -> pl.DataFrame:
    """Every known embedding, columns ``text_sha256`` and ``embedding``, a text once, sorted by text.

    Raises:
        StoreError: A file is damaged.
    """
    return shards.read(folder, SCHEMA)


def append(folder: Path, rows: pl.DataFrame) -> None:
    """Add embeddings in a file of their own, named by its content, whole or not at all."""
    shards.append(folder, rows, SCHEMA)
