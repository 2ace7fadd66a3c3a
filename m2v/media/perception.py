"""What CLIP sees in frames and what Whisper hears: real loading code, each file once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v.catalog import weights
from m2v.catalog.entries import Perceiver
from m2v.media import audio
from m2v.programfiles import replace, sha256
from m2v.progress import Report

BATCH = 64


def embed(
    pictures: Mapping[str, Sequence[str]], *, model: Perceiver | None, home: Path, report: Report
) -> dict[str, list[list[float]]]:
    """CLIP's embedding of each picture, (pictures, dimensions) at unit length, by item; none without a model.

    Args:
        pictures: Paths by item.
        home: The platform's; embeddings are kept below it, a picture is known by its content.
    """
    if model is None:
        return {}
    cache = home / "media" / "embeddings"
    places = {
        path: cache / _identity(model) / f"{sha256(Path(path))}.json" for each in pictures.values() for path in each
    }
    unknown = [path for path, place in places.items() if not place.exists()]
    if unknown:
        _embed(unknown, places, model=weights.whole(model, home=home), report=report)
    read = {path: json.loads(place.read_text(encoding="utf-8")) for path, place in places.items()}
    return {item: [read[path] for path in each] for item, each in pictures.items() if each}


def pooled(vectors: Sequence[Sequence[float]]) -> list[float]:
    """Their mean at unit length, (dimensions,)."""
    mean = np.mean(vectors, axis=0)
    return [float(each) for each in mean / max(float(np.linalg.norm(mean)), 1e-12)]


def transcribe(sounds: Mapping[str, str], *, model: Perceiver | None, home: Path, report: Report) -> dict[str, str]:
    """What Whisper hears in each file, by item, in pieces of half a minute; nothing without a model.

    Args:
        sounds: Path by item.
    """
    if model is None:
        return {}
    cache = home / "media" / "transcripts"
    places = {item: cache / _identity(model) / f"{sha256(Path(path))}.json" for item, path in sounds.items()}
    unknown = {item: path for item, path in sounds.items() if not places[item].exists()}
    if unknown:
        _transcribe(unknown, places, model=weights.whole(model, home=home), report=report)
    return {item: json.loads(place.read_text(encoding="utf-8")) for item, place in places.items()}


def _embed(paths: Sequence[str], places: Mapping[str, Path], *, model: Path, report: Report) -> None:
    import torch
    import transformers
    from PIL import Image

    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoImageProcessor.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip: Any = transformers.CLIPVisionModelWithProjection.from_pretrained(model, use_safetensors=True)
    clip = clip.eval().to(device)
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            inputs = processor([Image.open(path).convert("RGB") for path in batch], return_tensors="pt").to(device)
            found = clip(**inputs).image_embeds.float()
            found = (found / found.norm(dim=1, keepdim=True)).cpu().tolist()
            for path, vector in zip(batch, found, strict=True):
                _keep(places[path], vector)
            report.step(start + len(batch), len(paths), unit="frames embedded")


def _transcribe(sounds: Mapping[str, str], places: Mapping[str, Path], *, model: Path, report: Report) -> None:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    processor = transformers.AutoProcessor.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whisper: Any = transformers.WhisperForConditionalGeneration.from_pretrained(model, use_safetensors=True)
    whisper = whisper.eval().to(device)
    for n_done, (item, path) in enumerate(sounds.items(), start=1):
        said = []
        for piece in audio.pieces(Path(path)):
            inputs = processor(piece, sampling_rate=audio.RATE_HZ, return_tensors="pt").to(device)
            with torch.inference_mode():
                tokens = whisper.generate(inputs.input_features, do_sample=False)
            said.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
        _keep(places[item], " ".join(filter(None, said)))
        report.step(n_done, len(sounds), unit="sounds transcribed")


def _identity(model: Perceiver) -> str:
    said = json.dumps(model.identity, sort_keys=True)
    return f"{model.name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def _keep(place: Path, found: Any) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    replace(place, json.dumps(found).encode())
