"""Program: the embedding of each distinct text, encoded unless it is known.

The spec says ``encoder`` (a catalog entry), ``texts`` (parquet with ``text_sha256`` and ``text``) and ``cache`` (a folder
for all programs). The folder gets ``embeddings.parquet`` with ``text_sha256`` and ``embedding``.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from m2v import programfiles, progress
from m2v.catalog import weights
from m2v.catalog.entries import Encoder
from m2v.media import cache

if TYPE_CHECKING:
    import torch

# Padded tokens per batch: measured fastest on 2 cores between 1,024 and 16,384 (docs/experiments.md).
BATCH_TOKENS = 4096
# A killed program loses at most this many texts.
SHARD_TEXTS = 512


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.finished(out):
        return
    began = time.monotonic()
    encoder = Encoder.model_validate(spec["encoder"])
    texts = pl.read_parquet(spec["texts"]).unique("text_sha256").sort("text_sha256")
    folder = cache.folder(Path(spec["cache"]), encoder)
    unknown = texts.join(cache.read(folder), on="text_sha256", how="anti")
    n_cut = encode(unknown, encoder=encoder, folder=folder) if unknown.height else 0
    found = texts.select("text_sha256").join(cache.read(folder), on="text_sha256").sort("text_sha256")
    found.write_parquet(out / "embeddings.parquet")
    programfiles.finish(
        out,
        files=["embeddings.parquet"],
        packages=["torch", "transformers", "polars"],
        program="m2v.media.encode",
        n_texts=texts.height,
        n_encoded=unknown.height,
        n_cached=texts.height - unknown.height,
        n_cut=n_cut,
        seconds=time.monotonic() - began,
    )


def encode(texts: pl.DataFrame, *, encoder: Encoder, folder: Path) -> int:
    """Encode texts into the cache, a shard at a time; give how many were longer than the encoder reads.

    Mean pooling over tokens and unit length, as sentence-transformers/all-MiniLM-L6-v2 defines itself.

    Args:
        texts: Columns ``text_sha256``, ``text``.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    path = weights.folder(encoder)
    tokenizer = AutoTokenizer.from_pretrained(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval().to(device)
    # Without a limit here, so that what is cut can be counted.
    tokens = tokenizer(texts["text"].to_list(), add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
    lengths = [len(each) for each in tokens]
    # Shards in a random order of lengths make the progress even; each is sorted by itself, so padding stays small.
    order = texts.with_row_index("place").with_columns(length=pl.Series(lengths)).sample(fraction=1, shuffle=True, seed=0)
    done = 0
    with progress.reporting() as report, torch.inference_mode():
        began = time.monotonic()
        for shard in order.iter_slices(SHARD_TEXTS):
            rows = shard.sort("length")
            parts = []
            for places in _batches(rows["place"].to_list(), [min(n, encoder.max_tokens) for n in rows["length"]]):
                batch = tokenizer(
                    [texts["text"][place] for place in places],
                    truncation=True,
                    max_length=encoder.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(device)
                parts.append(_pooled(model(**batch).last_hidden_state, batch["attention_mask"]).cpu())
                done += len(places)
                speed = done / (time.monotonic() - began)
                report.step(done, texts.height, unit="texts", texts_per_s=speed)
            embeddings = torch.cat(parts).numpy()
            cache.append(folder, rows.select("text_sha256", embedding=pl.Series(embeddings).cast(pl.List(pl.Float32))))
    return sum(length > encoder.max_tokens for length in lengths)


def _pooled(states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """The mean of the tokens' states at unit length: (batch, tokens, dimensions), (batch, tokens) → (batch, dimensions)."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    return mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _batches(places: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Runs of places, sorted by length, whose padded size stays below the budget."""
    batch: list[int] = []
    for place, length in zip(places, lengths, strict=True):
        if batch and length * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


if __name__ == "__main__":
    main()
