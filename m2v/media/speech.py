"""What a model hears in sounds: real loading code, each file once."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from m2v.entries.pretrained import Perceiver
from m2v.entries.readers import FasterWhisper
from m2v.errors import MissingSource
from m2v.files import row_cache
from m2v.media import audio
from m2v.models import lean, loading, weights
from m2v.programs.progress import Report

Listener: TypeAlias = Perceiver | FasterWhisper

# What is kept of each file by its content; of models that look for voices also how many seconds of them there are.
TRANSCRIPTS = {"sound_sha256": pl.String, "transcript": pl.String}
VOICED = {**TRANSCRIPTS, "voice_s": pl.Float64}
# Of sound at a time; ten hours in one piece would take 2.3 GB.
PIECE_S = 300.0


@dataclass(frozen=True)
class Heard:
    """What is said in a file.

    Attributes:
        voice_s: Seconds with a voice; None where nothing looked for one.
    """

    transcript: str
    voice_s: float | None = None


def listener(entry: Mapping[str, Any]) -> Listener:
    """Return a catalog entry of a model that listens, from plain data."""
    return FasterWhisper.model_validate(entry) if entry["kind"] == "faster-whisper" else Perceiver.model_validate(entry)


def transcribe(sounds: Mapping[str, Path], *, model: Listener, home: Path, report: Report) -> dict[str, Heard]:
    """Return what is said in each file, by its sha256; heard unless it is known.

    Args:
        sounds: Files by their sha256.
        home: The platform's.

    Raises:
        MissingSource: The model or what runs it is not on this machine; says how to get it.
    """
    schema = VOICED if isinstance(model, FasterWhisper) else TRANSCRIPTS
    folder = row_cache.folder(home / "media" / "transcripts", model.name, model.identity)
    known = row_cache.known(folder, schema)
    unknown = {digest: path for digest, path in sounds.items() if digest not in known}
    if unknown:
        with row_cache.journal(folder, schema) as keep:
            heard = (
                _by_faster_whisper(unknown, model)
                if isinstance(model, FasterWhisper)
                else _by_transformers(unknown, weights.whole(model, home=home))
            )
            for n_done, (digest, said) in enumerate(heard, start=1):
                row = {"sound_sha256": digest, "transcript": said.transcript, "voice_s": said.voice_s}
                keep(**{name: row[name] for name in schema})
                report.step(n_done, len(unknown), unit="sounds transcribed")
    rows = row_cache.read(folder, schema)
    heard_before = {row["sound_sha256"]: Heard(row["transcript"], row.get("voice_s")) for row in rows.to_dicts()}
    return {digest: heard_before[digest] for digest in sounds}


def _by_transformers(sounds: Mapping[str, Path], model: Path) -> Iterator[tuple[str, Heard]]:
    """Yield what Whisper hears, in pieces of half a minute."""
    with lean.imports():
        import torch
        import transformers.modeling_utils

    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoProcessor.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whisper = loading.pretrained(transformers.WhisperForConditionalGeneration, model)
    whisper = whisper.eval().to(device)
    for digest, path in sounds.items():
        sentences = []
        for piece in audio.pieces(path):
            inputs = processor(piece, sampling_rate=audio.RATE_HZ, return_tensors="pt").to(device)
            with torch.inference_mode():
                tokens = whisper.generate(inputs.input_features, do_sample=False)
            sentences.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
        yield digest, Heard(" ".join(filter(None, sentences)))


def _by_faster_whisper(sounds: Mapping[str, Path], entry: FasterWhisper) -> Iterator[tuple[str, Heard]]:
    """Yield what Whisper hears where there is a voice, in pieces of five minutes."""
    try:
        importlib.metadata.version("faster-whisper")
    except importlib.metadata.PackageNotFoundError:
        problem = f"{entry.name} needs faster-whisper, which is not here: pip install '.[speech]'."
        raise MissingSource(problem) from None
    import faster_whisper
    from faster_whisper.vad import get_speech_timestamps

    folder = weights.of_faster_whisper(entry)
    model = faster_whisper.WhisperModel(str(folder), device="auto", compute_type=entry.compute)
    for digest, path in sounds.items():
        sentences, voice_s, language = [], 0.0, entry.language
        for piece in audio.pieces(path, piece_s=PIECE_S):
            voices = get_speech_timestamps(piece) if entry.voice_only else []
            voice_s += sum(voice["end"] - voice["start"] for voice in voices) / audio.RATE_HZ
            if entry.voice_only and not voices:
                continue
            # The most likely words and no others: a second run hears the same.
            said, about = model.transcribe(
                piece,
                language=language,
                beam_size=entry.beams,
                temperature=0.0,
                condition_on_previous_text=False,
                vad_filter=entry.voice_only,
            )
            sentences += [part.text.strip() for part in said]
            language = language or about.language
        yield digest, Heard(" ".join(filter(None, sentences)), voice_s if entry.voice_only else None)
