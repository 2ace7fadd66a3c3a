"""Program: parts of items as an extractor sees them, each looked at unless it is known.

The spec says ``extractor`` (a catalog entry), ``parts`` (parquet with ``modality``, ``sha256``, ``text`` and ``path``,
each part once), ``media`` (the place that sounds lie below, or null) and ``home`` (the platform's, which pictures lie
below). The folder gets ``vectors.parquet`` with ``modality``, ``sha256``, ``token`` and ``vector``.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field, TypeAdapter

from m2v.entries.features import SoundStatistics
from m2v.entries.pretrained import Encoder, Perceiver
from m2v.features import clip, rows, sound, texts
from m2v.files import storage
from m2v.programs import contract, progress
from m2v.programs.progress import Report

# What computes the vectors of each kind of extractor.
KINDS: dict[str, Callable[..., tuple[pl.DataFrame, dict[str, int]]]] = {
    "encoder": texts.vectors,
    "clip": clip.vectors,
    "sound": sound.vectors,
}
EXTRACTOR: TypeAdapter[Encoder | Perceiver | SoundStatistics] = TypeAdapter(
    Annotated[Encoder | Perceiver | SoundStatistics, Field(discriminator="kind")]
)


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    parts = pl.read_parquet(spec["parts"])
    with progress.reporting() as report:
        rows_of, counts = vectors(spec, parts, report=report)
    rows_of.select(list(rows.VECTORS)).sort("modality", "sha256", "token").write_parquet(out / rows.FILE)
    contract.finish(
        out,
        files=[rows.FILE],
        packages=["polars"],
        program="m2v.features.program",
        n_parts=parts.height,
        n_known=parts.height - counts["n_computed"],
        seconds=time.monotonic() - began,
        **counts,
    )


def vectors(spec: dict[str, Any], parts: pl.DataFrame, *, report: Report) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the parts' vectors, and counts."""
    extractor = EXTRACTOR.validate_python(spec["extractor"])
    media = storage.given(spec["media"]) if spec["media"] else None
    rows_of, counts = KINDS[extractor.kind](extractor, parts, media=media, home=Path(spec["home"]), report=report)
    return rows_of.with_columns(pl.col("modality").cast(parts.schema["modality"])), counts


if __name__ == "__main__":
    main()
