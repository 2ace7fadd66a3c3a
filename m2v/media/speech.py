"""What Whisper hears in sounds: real loading code, each file once."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from m2v.entries.pretrained import Perceiver
from m2v.files import row_cache
from m2v.media import audio
from m2v.models import lean, loading, weights
from m2v.programs.progress import Report

# What is kept of each file by its content.
TRANSCRIPTS = {"sound_sha256": pl.String, "transcript": pl.String}


def transcribe(sounds: Mapping[str, Path], *, model: Perceiver, home: Path, report: Report) -> dict[str, str]:
    """Return what Whisper hears in each file, by its sha256, in pieces of half a minute; computed unless it is known.

    Args:
        sounds: Files by their sha256.
        home: The platform's.
    """
    folder = row_cache.folder(home / "media" / "transcripts", model.name, model.identity)
    known = row_cache.known(folder, TRANSCRIPTS)
    unknown = {digest: path for digest, path in sounds.items() if digest not in known}
    if unknown:
        with row_cache.journal(folder, TRANSCRIPTS) as keep:
            _transcribe(unknown, keep, model=weights.whole(model, home=home), report=report)
    heard = dict(row_cache.read(folder, TRANSCRIPTS).iter_rows())
    return {digest: heard[digest] for digest in sounds}


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
        sentences = []
        for piece in audio.pieces(path):
            inputs = processor(piece, sampling_rate=audio.RATE_HZ, return_tensors="pt").to(device)
            with torch.inference_mode():
                tokens = whisper.generate(inputs.input_features, do_sample=False)
            sentences.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
        keep(sound_sha256=digest, transcript=" ".join(filter(None, sentences)))
        report.step(n_done, len(sounds), unit="sounds transcribed")
