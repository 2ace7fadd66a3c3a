"""Tiny vision-language models, pictures, and the programs that ask and train them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt
from m2v.prediction import demonstrations
from tests import encoders

LABEL = LabelDefinition(
    positive="insulting",
    negative="neighbourly",
    positive_definition="attacks a kind of vegetable for what it is.",
    negative_definition="speaks well of vegetables, or of nothing in particular.",
)
PROMPT = Prompt(name="short", title="Short", instruction="Text: '{text}' Is it {positive} or {negative}?")
ARCHITECTURES = ("mllama", "llava_next_video", "smolvlm", "qwen3_vl")


def entry(architecture: str, **changes: Any) -> Vlm:
    """A tiny model of an architecture."""
    settings: dict[str, Any] = {
        "name": f"tiny-{architecture.replace('_', '-')}",
        "title": "Tiny",
        "kind": "vlm",
        "built": architecture,
        "dtype": "float32",
        "max_text_tokens": 64,
        "context_tokens": 4096,
        **({"n_frames": 2, "video_as": "video"} if architecture == "llava_next_video" else {}),
    }
    return Vlm(**{**settings, **changes})


def lora(**changes: Any) -> VlmLora:
    """An adapter that a few examples are enough for."""
    settings: dict[str, Any] = {
        "name": "tiny-vlm-lora",
        "title": "Tiny",
        "kind": "vlm_lora",
        "vlm": "tiny",
        "epochs": 6,
        "batch_size": 4,
        "dropout": 0.0,
        "rank": 16,
        "alpha": 32,
        "learning_rate": 1e-2,
        "warmup_share": 0.0,
        "schedule": "constant",
        "checkpoints_gradients": False,
        "projections": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    }
    return VlmLora(**{**settings, **changes})


def picture(folder: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    Image.new("RGB", size, colour).save(path)
    return path


def shown(folder: Path, name: str, *, label: bool, text: str, as_video: bool = False) -> dict[str, Any]:
    """An item as programs read it: red pictures are positive, green ones are not."""
    colour = (200, 30, 30) if label else (30, 200, 30)
    paths = [picture(folder, f"{name}-{place}", colour) for place in range(2 if as_video else 1)]
    return {
        "item_id": name,
        "label": label,
        "text": text,
        "pictures": [str(path) for path in paths],
        "pictures_sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths],
        "media": "video" if as_video else "image",
        "description": None,
    }


def garden(folder: Path, n: int = 16, *, as_video: bool = False, start: int = 0) -> list[dict[str, Any]]:
    """Items of both labels in turn, with words that say nothing."""
    nouns = encoders.WORDS
    return [
        shown(
            folder,
            f"v{place}",
            label=place % 2 == 0,
            text=f"the {nouns[place % len(nouns)]}" + " and the soup" * (place % 3),
            as_video=as_video,
        )
        for place in range(start, start + n)
    ]


SCHEMA = demonstrations.ITEMS | demonstrations.DEMONSTRATIONS


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    """Items in a file."""
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(path)
    return path


def spec(path: Path, **content: Any) -> Path:
    """A spec in a file; entries as plain data, paths as text."""
    plain = {
        name: each.model_dump(mode="json") if hasattr(each, "model_dump") else each for name, each in content.items()
    }
    path.write_text(json.dumps(plain, default=str), encoding="utf-8")
    return path
