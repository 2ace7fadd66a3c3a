"""Pictures and texts as CLIP sees them, each once: pooled, or token by token."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from m2v.entries.pretrained import Perceiver
from m2v.files import row_cache, storage
from m2v.models import lean, loading, weights
from m2v.programs.progress import Report

if TYPE_CHECKING:
    import torch

BATCH = 64
# What is kept of each picture and text by its content; of one that is seen token by token, a vector for each.
PICTURES = {
    "pooled": {"frame_sha256": pl.String, "embedding": pl.List(pl.Float64)},
    "tokens": {"frame_sha256": pl.String, "vectors": pl.List(pl.List(pl.Float32))},
}
TEXTS = {
    "pooled": {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)},
    "tokens": {"text_sha256": pl.String, "vectors": pl.List(pl.List(pl.Float32))},
}


def vectors(
    model: Perceiver, parts: pl.DataFrame, *, home: Path, report: Report, **_: object
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the vectors of pictures, frames and texts, computed unless they are known, and counts.

    Args:
        parts: Columns ``modality``, ``sha256``, ``text``, ``path`` (below the home), each part once.
        home: The platform's.

    Returns:
        Columns ``modality``, ``sha256``, ``token``, ``vector`` (at unit length).
    """
    texts = parts.filter(modality="text")
    pictures = parts.filter(pl.col("modality") != "text")
    vectors_by_kind, n_computed = [], 0
    for rows, root, schemas, look in (
        (pictures, home / "media" / "embeddings", PICTURES, _look),
        (texts, home / "encodings", TEXTS, _read),
    ):
        folder = row_cache.folder(root, model.name, model.identity)
        schema = schemas[model.level]
        new = (
            rows.filter(~pl.col("sha256").is_in(list(row_cache.known(folder, schema)))).unique("sha256").sort("sha256")
        )
        if new.height:
            n_computed += new.height
            with row_cache.journal(folder, schema) as keep:
                look(new, keep, model=model, home=home, report=report)
        key, value = schema
        seen = row_cache.read(folder, schema).select(sha256=key, vector=value)
        vectors_by_kind.append(_by_token(rows.select("modality", "sha256").join(seen, on="sha256"), level=model.level))
    return pl.concat(vectors_by_kind), {"n_computed": n_computed, "n_cut": 0}


def _by_token(rows: pl.DataFrame, *, level: str) -> pl.DataFrame:
    """Return a row for each token, numbered from 0."""
    if level == "pooled":
        return rows.select(
            "modality", "sha256", token=pl.lit(0, pl.UInt32), vector=pl.col("vector").cast(pl.List(pl.Float32))
        )
    numbered = rows.with_columns(token=pl.int_ranges(pl.col("vector").list.len())).explode("token", "vector")
    return numbered.select(
        "modality", "sha256", token=pl.col("token").cast(pl.UInt32), vector=pl.col("vector").cast(pl.List(pl.Float32))
    )


def _look(rows: pl.DataFrame, keep: row_cache.Keep, *, model: Perceiver, home: Path, report: Report) -> None:
    from PIL import Image

    torch, hf, path, device = _loaded(model, home)
    processor = hf.AutoImageProcessor.from_pretrained(path)
    clip = loading.pretrained(hf.CLIPVisionModelWithProjection, path, besides=[loading.TEXT_TOWER]).eval().to(device)

    def see(batch: Sequence[Mapping[str, Any]]) -> "list[torch.Tensor]":
        pictures = [Image.open(storage.local(storage.place(home, part["path"]))).convert("RGB") for part in batch]
        given = processor(pictures, return_tensors="pt").to(device)
        if model.level == "pooled":
            return list(clip(**given).image_embeds)
        states = clip.vision_model(**given).last_hidden_state
        return list(clip.visual_projection(clip.vision_model.post_layernorm(states)))

    _in_batches(rows, see, keep, key="frame_sha256", level=model.level, unit="pictures", report=report, torch=torch)


def _read(rows: pl.DataFrame, keep: row_cache.Keep, *, model: Perceiver, home: Path, report: Report) -> None:
    torch, hf, path, device = _loaded(model, home)
    tokenizer = hf.AutoTokenizer.from_pretrained(path)
    clip = loading.pretrained(hf.CLIPTextModelWithProjection, path, besides=[loading.VISION_TOWER]).eval().to(device)
    longest = clip.config.max_position_embeddings

    def see(batch: Sequence[Mapping[str, Any]]) -> "list[torch.Tensor]":
        texts = [part["text"] for part in batch]
        # Longer texts are cut on the right, as CLIP was trained.
        given = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(device)
        if model.level == "pooled":
            return list(clip(**given).text_embeds)
        states = clip.text_projection(clip.text_model(**given).last_hidden_state)
        lengths = given["attention_mask"].sum(1).tolist()
        return [state[:length] for state, length in zip(states, lengths, strict=True)]

    _in_batches(rows, see, keep, key="text_sha256", level=model.level, unit="texts", report=report, torch=torch)


def _loaded(model: Perceiver, home: Path) -> tuple[Any, Any, Path, str]:
    with lean.imports():
        import torch
        import transformers.modeling_utils

    transformers.utils.logging.disable_progress_bar()
    path = weights.whole(model, home=home)
    return torch, transformers, path, "cuda" if torch.cuda.is_available() else "cpu"


def _in_batches(
    rows: pl.DataFrame,
    see: "Callable[[Sequence[Mapping[str, Any]]], list[torch.Tensor]]",
    keep: row_cache.Keep,
    *,
    key: str,
    level: str,
    unit: str,
    report: Report,
    torch: Any,
) -> None:
    """Keep what is seen of each row, at unit length, as batches are done."""
    column = "embedding" if level == "pooled" else "vectors"
    with torch.inference_mode():
        for start in range(0, rows.height, BATCH):
            batch = rows.slice(start, BATCH).to_dicts()
            for part, seen in zip(batch, see(batch), strict=True):
                vector = seen.float()
                keep(**{key: part["sha256"], column: (vector / vector.norm(dim=-1, keepdim=True)).cpu().tolist()})
            report.step(start + len(batch), rows.height, unit=f"{unit} embedded")
