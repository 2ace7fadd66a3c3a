"""Statistics of videos' sound, each file's computed once."""

from pathlib import Path

import numpy as np
import polars as pl

from m2v.entries.features import SoundStatistics
from m2v.files import row_cache, storage
from m2v.media import audio
from m2v.programs.progress import Report

# What is kept of each file by its content: (40 + 40 + 13 + 13,).
STATISTICS = {"sound_sha256": pl.String, "vector": pl.List(pl.Float32)}


def vectors(
    extractor: SoundStatistics, parts: pl.DataFrame, *, media: storage.Place | None, home: Path, report: Report
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return statistics of each sound, computed unless they are known, and counts.

    Args:
        parts: Columns ``sha256`` and ``path``, each file once.
        media: The place that the paths lie below.
        home: The platform's.

    Returns:
        Columns ``modality``, ``sha256``, ``token`` (0), ``vector``: means and standard deviations of log-mel
        energies, then of the cepstrum; (106,).
    """
    assert media is not None
    folder = row_cache.folder(home / "media" / "sounds", extractor.name, extractor.identity)
    unknown = parts.filter(~pl.col("sha256").is_in(list(row_cache.known(folder, STATISTICS)))).sort("sha256")
    with row_cache.journal(folder, STATISTICS) as keep:
        for n_done, (digest, name) in enumerate(unknown.select("sha256", "path").iter_rows(), start=1):
            by_name = audio.statistics(storage.local(storage.join(media, name)))
            statistics = np.concatenate(
                [by_name[statistic] for statistic in ("mel_mean", "mel_std", "mfcc_mean", "mfcc_std")]
            )
            keep(sound_sha256=digest, vector=statistics.tolist())
            report.step(n_done, unknown.height, unit="sounds")
    known = row_cache.read(folder, STATISTICS).select(sha256="sound_sha256", vector="vector")
    rows = parts.select("sha256").join(known, on="sha256")
    return rows.select(pl.lit("sound").alias("modality"), "sha256", token=pl.lit(0, pl.UInt32), vector="vector"), {
        "n_computed": unknown.height,
        "n_cut": 0,
    }
