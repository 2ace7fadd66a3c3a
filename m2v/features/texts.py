"""Texts as a frozen encoder sees them, each encoded once."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from m2v.entries.pretrained import Encoder
from m2v.files import row_cache
from m2v.models import lean, loading, weights
from m2v.programs import pools
from m2v.programs.progress import Report

if TYPE_CHECKING:
    import torch

# What is kept of each text.
EMBEDDINGS = {"text_sha256": pl.String, "embedding": pl.List(pl.Float32)}
# Padded tokens per batch: on 2 cores, 1,024 is slower on short texts and from 4,096 on nothing changes.
BATCH_TOKENS = 4096
# A killed program loses at most about this many texts.
SHARD_TEXTS = 512


def vectors(
    encoder: Encoder, texts: pl.DataFrame, *, home: Path, report: Report, **_: object
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return each text's embedding, encoded unless it is known, and counts.

    Args:
        texts: Columns ``sha256`` and ``text``, each text once.
        home: The platform's.

    Returns:
        Columns ``modality``, ``sha256``, ``token`` (0), ``vector``.
    """
    folder = row_cache.folder(home / "encodings", encoder.name, encoder.identity)
    named = texts.select(text_sha256="sha256", text="text")
    unknown = named.join(row_cache.read(folder, EMBEDDINGS), on="text_sha256", how="anti").sort("text_sha256")
    # Only now torch is imported: a run that finds everything known takes no second.
    n_cut = encode(unknown, encoder=encoder, folder=folder, report=report) if unknown.height else 0
    embedded = named.select("text_sha256").join(row_cache.read(folder, EMBEDDINGS), on="text_sha256")
    rows = embedded.select(
        modality=pl.lit("text"), sha256="text_sha256", token=pl.lit(0, pl.UInt32), vector="embedding"
    )
    return rows, {"n_computed": unknown.height, "n_cut": n_cut}


def encode(texts: pl.DataFrame, *, encoder: Encoder, folder: Path, report: Report) -> int:
    """Encode texts into the cache, a shard at a time; give how many were longer than the encoder reads.

    Args:
        texts: Columns ``text_sha256``, ``text``.
    """
    with lean.imports():
        import transformers.modeling_utils

    tokenizer = transformers.AutoTokenizer.from_pretrained(weights.folder(encoder))
    # Without a limit here, so that what is cut can be counted.
    lengths = [len(ids) for ids in tokenizer(texts["text"].to_list(), truncation=False, verbose=False)["input_ids"]]
    batches = _batches([min(length, encoder.max_tokens) for length in lengths])
    given = {"encoder": encoder.model_dump(mode="json"), "folder": str(folder)}
    began, done = time.monotonic(), 0

    def hear(n_more: int) -> None:
        nonlocal done
        done += n_more
        report.step(done, texts.height, unit="texts", texts_per_s=done / (time.monotonic() - began))

    if pools.is_spread():
        cluster = pools.Cluster()
        planned = pools.shared(batches, n_replicas=cluster.n_replicas, largest=SHARD_TEXTS, n_items=len)
        rows = [[texts[places].rows() for places in shard] for shard in planned]
        for told in cluster.mapped("m2v.features.texts:EncoderReplica", given, rows):
            hear(told["n_texts"])
    else:
        replica = EncoderReplica(given, hear=hear)
        for shard in pools.shared(batches, largest=SHARD_TEXTS, n_items=len):
            replica([texts[places].rows() for places in shard])
    return sum(length > encoder.max_tokens for length in lengths)


class EncoderReplica:
    """A replica of the encoder: mean pooling over tokens and unit length, as all-MiniLM-L6-v2 defines itself.

    Args:
        given: ``encoder``, a catalog entry, and ``folder``, the cache.
        hear: Told after each batch how many texts it had.
    """

    def __init__(self, given: dict[str, Any], *, hear: Callable[[int], None] = lambda n_more: None) -> None:
        import torch
        import transformers

        self.hear = hear
        self.encoder, self.folder = Encoder.model_validate(given["encoder"]), Path(given["folder"])
        transformers.utils.logging.disable_progress_bar()
        path = weights.folder(self.encoder)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model = loading.pretrained(transformers.AutoModel, path, besides=[loading.HEADS], dtype=torch.float32)
        self.model = model.eval().to(self.device)

    def __call__(self, shard: list[list[tuple[str, str]]]) -> dict[str, Any]:
        """Encode a shard's batches of texts, given with their sha256, and keep them."""
        import torch

        parts = []
        with torch.inference_mode():
            for batch in shard:
                given = self.tokenizer(
                    [text for _, text in batch],
                    truncation=True,
                    max_length=self.encoder.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(self.device)
                parts.append(_pooled(self.model(**given).last_hidden_state, given["attention_mask"]).cpu())
                self.hear(len(batch))
        rows = pl.DataFrame({"text_sha256": [digest for batch in shard for digest, _ in batch]})
        embeddings = pl.Series("embedding", torch.cat(parts).numpy()).cast(EMBEDDINGS["embedding"])
        row_cache.append(self.folder, rows.with_columns(embeddings), EMBEDDINGS)
        return {"n_texts": rows.height}


def _pooled(states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """Return the mean of the tokens' states, (batch, tokens, dimensions), at unit length: (batch, dimensions)."""
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
