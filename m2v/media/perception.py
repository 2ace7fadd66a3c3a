"""What CLIP sees in frames and what Whisper hears: real loading code, each file once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v.entries.pretrained import Perceiver
from m2v.files import row_cache, storage
from m2v.media import audio
from m2v.models import lean, loading, weights
from m2v.programs.progress import Report

BATCH = 64
# What is kept below the home's ``media``, of each file by its content.
EMBEDDINGS = {"frame_sha256": pl.String, "embedding": pl.List(pl.Float64)}
TRANSCRIPTS = {"sound_sha256": pl.String, "transcript": pl.String}


def embed(
    frames: Mapping[str, storage.Place], *, model: Perceiver, home: Path, report: Report
) -> dict[str, list[float]]:
    """CLIP's embedding of each frame, (dimensions,) at unit length, by its sha256.

    Args:
        frames: Files by their sha256.
        home: The platform's.
    """
    return _kept(frames, home / "media" / "embeddings", EMBEDDINGS, _embed, model=model, home=home, report=report)


def transcribe(sounds: Mapping[str, Path], *, model: Perceiver, home: Path, report: Report) -> dict[str, str]:
    """What Whisper hears in each file, by its sha256, in pieces of half a minute.

    Args:
        sounds: Files by their sha256.
        home: The platform's.
    """
    return _kept(
        sounds, home / "media" / "transcripts", TRANSCRIPTS, _transcribe, model=model, home=home, report=report
    )


def pooled(vectors: list[list[float]]) -> list[float]:
    """Their mean at unit length, (dimensions,)."""
    mean = np.mean(vectors, axis=0)
    return [float(each) for each in mean / max(float(np.linalg.norm(mean)), 1e-12)]


def _kept(
    files: Mapping[str, Any],
    root: Path,
    schema: row_cache.Schema,
    compute: Callable[..., None],
    *,
    model: Perceiver,
    home: Path,
    report: Report,
) -> dict[str, Any]:
    """What a model finds in each file, by its sha256, computed unless it is known."""
    folder = row_cache.folder(root, model.name, model.identity)
    known = row_cache.known(folder, schema)
    unknown = {digest: path for digest, path in files.items() if digest not in known}
    if unknown:
        with row_cache.journal(folder, schema) as keep:
            compute(unknown, keep, model=weights.whole(model, home=home), report=report)
    found = dict(row_cache.read(folder, schema).iter_rows())
    return {digest: found[digest] for digest in files}


def _embed(frames: Mapping[str, storage.Place], keep: row_cache.Keep, *, model: Path, report: Report) -> None:
    with lean.imports():
        import torch
        import transformers.modeling_utils
    from PIL import Image

    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoImageProcessor.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip = loading.pretrained(transformers.CLIPVisionModelWithProjection, model, besides=[loading.TEXT_TOWER])
    clip = clip.eval().to(device)
    items = list(frames.items())
    with torch.inference_mode():
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            pictures = [Image.open(storage.local(path)).convert("RGB") for _, path in batch]
            found = clip(**processor(pictures, return_tensors="pt").to(device)).image_embeds.float()
            found = (found / found.norm(dim=1, keepdim=True)).cpu().tolist()
            for (digest, _), vector in zip(batch, found, strict=True):
                keep(frame_sha256=digest, embedding=vector)
            report.step(start + len(batch), len(items), unit="frames embedded")


def _transcribe(sounds: Mapping[str, Path], keep: row_cache.Keep, *, model: Path, report: Report) -> None:
    with lean.imports():
        import torch
        import transformers.modeling_utils

    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoProcessor.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whisper = loading.pretrained(transformers.WhisperForConditionalGeneration, model)
    whisper = whisper.eval().to(device)
    for n_done, (digest, path) in enumerate(sounds.items(), start=1):
        said = []
        for piece in audio.pieces(path):
            inputs = processor(piece, sampling_rate=audio.RATE_HZ, return_tensors="pt").to(device)
            with torch.inference_mode():
                tokens = whisper.generate(inputs.input_features, do_sample=False)
            said.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
        keep(sound_sha256=digest, transcript=" ".join(filter(None, said)))
        report.step(n_done, len(sounds), unit="sounds transcribed")
