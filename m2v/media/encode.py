"""Program: the embedding of each distinct text, encoded unless it is known.

The spec says ``encoder`` (a catalog entry), ``texts`` (parquet with ``text_sha256`` and ``text``) and ``cache`` (a
folder for all programs). The folder gets ``embeddings.parquet`` with ``text_sha256`` and ``embedding``.
"""

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from m2v import programfiles, progress, shards
from m2v.catalog import weights
from m2v.catalog.entries import Encoder

if TYPE_CHECKING:
    import torch

# What is kept of each text.
EMBEDDINGS = {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)}
# Padded tokens per batch: on 2 cores, 1,024 is slower on short texts and from 4,096 on nothing changes.
BATCH_TOKENS = 4096
# A killed program loses at most about this many texts.
SHARD_TEXTS = 512


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.complete(out):
        return
    began = time.monotonic()
    encoder = Encoder.model_validate(spec["encoder"])
    texts = pl.read_parquet(spec["texts"]).unique("text_sha256").sort("text_sha256")
    folder = shards.folder(Path(spec["cache"]), encoder.name, encoder.identity)
    unknown = texts.join(shards.read(folder, EMBEDDINGS), on="text_sha256", how="anti")
    # Only now torch is imported: a run that finds everything known takes no second.
    with progress.reporting() as report:
        n_cut = encode(unknown, encoder=encoder, folder=folder, report=report) if unknown.height else 0
    found = texts.select("text_sha256").join(shards.read(folder, EMBEDDINGS), on="text_sha256").sort("text_sha256")
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


def encode(texts: pl.DataFrame, *, encoder: Encoder, folder: Path, report: progress.Report) -> int:
    """Encode texts into the cache, a shard at a time; give how many were longer than the encoder reads.

    Mean pooling over tokens and unit length, as sentence-transformers/all-MiniLM-L6-v2 defines itself.

    Args:
        texts: Columns ``text_sha256``, ``text``.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    path = weights.folder(encoder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval().to(device)
    # Without a limit here, so that what is cut can be counted.
    lengths = [len(ids) for ids in tokenizer(texts["text"].to_list(), truncation=False, verbose=False)["input_ids"]]
    began, done = time.monotonic(), 0
    with torch.inference_mode():
        for shard in _shards(_batches([min(length, encoder.max_tokens) for length in lengths])):
            parts = []
            for places in shard:
                batch = tokenizer(
                    texts["text"].gather(places).to_list(),
                    truncation=True,
                    max_length=encoder.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(device)
                parts.append(_pooled(model(**batch).last_hidden_state, batch["attention_mask"]).cpu())
                done += len(places)
                report.step(done, texts.height, unit="texts", texts_per_s=done / (time.monotonic() - began))
            rows = texts.select(pl.col("text_sha256").gather([place for places in shard for place in places]))
            embeddings = pl.Series("embedding", torch.cat(parts).numpy()).cast(EMBEDDINGS["embedding"])
            shards.append(folder, rows.with_columns(embeddings), EMBEDDINGS)
    return sum(length > encoder.max_tokens for length in lengths)


def _pooled(states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """The mean of the tokens' states, (batch, tokens, dimensions), at unit length: (batch, dimensions)."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    return mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of texts of like length, as many as keep the padded batch in its budget; short and long ones mixed.

    Sorted over all texts, not shard by shard, which pads 3 % instead of 48 % on memes; shuffled, so that the progress
    is even.
    """
    batches: list[list[int]] = [[]]
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batches[-1] and lengths[place] * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(place)
    random.Random(0).shuffle(batches)  # noqa: S311 (no secret)
    return batches


def _shards(batches: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Batches that together hold about as many texts as may be lost."""
    shard: list[list[int]] = []
    for batch in batches:
        shard.append(batch)
        if sum(map(len, shard)) >= SHARD_TEXTS:
            yield shard
            shard = []
    if shard:
        yield shard


if __name__ == "__main__":
    main()
