"""Program: the probabilities that a LoRA checkpoint gives to texts.

The spec says ``encoder`` (a catalog entry), ``checkpoint`` (a folder that ``finetune`` completed) and ``texts`` (parquet
with ``item_id`` and ``text``). The folder gets ``probabilities.parquet`` with ``item_id`` and ``probability``.
"""

import json
import os
import time
from pathlib import Path

import polars as pl
import torch
import transformers

from m2v import programfiles, progress
from m2v.catalog.entries import Encoder
from m2v.errors import StoreError
from m2v.training import adapters, collate


def main() -> None:
    spec, out = programfiles.arguments(__doc__ or "")
    if programfiles.finished(out):
        return
    began = time.monotonic()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(os.cpu_count() or 1)
    encoder = Encoder.model_validate(spec["encoder"])
    checkpoint = verified(Path(spec["checkpoint"]))
    model = adapters.load(encoder, checkpoint).to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = collate.tokenizer(encoder)
    rows = pl.read_parquet(spec["texts"])
    tokens = collate.tokenise(rows["text"].to_list(), tokenizer=tokenizer, max_tokens=encoder.max_tokens)
    with progress.reporting() as report:
        found = collate.probabilities(model, tokens, pad_token_id=int(tokenizer.pad_token_id or 0), report=report)  # pyright: ignore[reportArgumentType]
    rows.select("item_id", probability=pl.Series(found.numpy())).write_parquet(out / "probabilities.parquet")
    programfiles.finish(
        out,
        files=["probabilities.parquet"],
        packages=["torch", "transformers", "peft"],
        program="m2v.training.infer",
        n_texts=rows.height,
        seconds=time.monotonic() - began,
    )


def verified(checkpoint: Path) -> Path:
    """The checkpoint, whose files are those in its manifest.

    Raises:
        StoreError: Names what is missing or damaged.
    """
    try:
        manifest = json.loads((checkpoint / programfiles.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{checkpoint} is no complete checkpoint: it has no manifest that can be read. Check the path, or train it "
            "again: `m2v run --force --select checkpoints/<run>`."
        ) from error
    for name, expected in manifest["files"].items():
        path = checkpoint / name
        if not path.is_file() or programfiles.sha256(path) != expected:
            raise StoreError(
                f"{path} is missing or damaged: its sha256 is not the manifest's. Train the checkpoint again: "
                "`m2v run --force --select checkpoints/<run>`."
            )
    return checkpoint


if __name__ == "__main__":
    main()
