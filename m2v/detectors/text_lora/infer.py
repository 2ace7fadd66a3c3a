"""Program: the probabilities that a LoRA checkpoint gives to texts.

The spec says ``encoder`` (a catalog entry), ``checkpoint`` (a folder that ``finetune`` completed) and ``texts``
(parquet with ``item_id`` and ``text``). The folder gets ``probabilities.parquet`` with ``item_id`` and ``probability``.
"""

import json
import time
from pathlib import Path

import polars as pl

from m2v.entries.pretrained import Encoder
from m2v.errors import StoreError
from m2v.files import digests
from m2v.models import lean
from m2v.programs import contract, cores, progress


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    encoder = Encoder.model_validate(spec["encoder"])
    checkpoint = verified(Path(spec["checkpoint"]), encoder=encoder)
    with lean.imports():
        import torch
        import transformers

        from m2v.detectors.trainer import adapters, collate
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(cores.n_cores())
    model = adapters.load(encoder, checkpoint).to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = collate.tokenizer(encoder)
    rows = pl.read_parquet(spec["texts"])
    tokens = collate.tokenise(rows["text"].to_list(), tokenizer=tokenizer, max_tokens=encoder.max_tokens)
    with progress.reporting() as report:
        found = collate.probabilities(model, tokens, pad_token_id=int(tokenizer.pad_token_id or 0), report=report)  # pyright: ignore[reportArgumentType]
    rows.select("item_id", probability=pl.Series(found.numpy())).write_parquet(out / "probabilities.parquet")
    contract.finish(
        out,
        files=["probabilities.parquet"],
        packages=["torch", "transformers", "peft"],
        program="m2v.detectors.text_lora.infer",
        n_texts=rows.height,
        seconds=time.monotonic() - began,
    )


def verified(checkpoint: Path, *, encoder: Encoder) -> Path:
    """The checkpoint, whose files are those in its manifest, and which was trained on this encoder.

    Raises:
        StoreError: Names what is missing, damaged or of another encoder.
    """
    way_out = "Check the path, or train it again: `m2v run --force --select checkpoints/<run>`."
    try:
        manifest = json.loads((checkpoint / contract.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{checkpoint} is no checkpoint: it has no manifest that can be read. {way_out}") from error
    if manifest.get("base", {}).get("weights_sha256") != encoder.weights_sha256:
        raise StoreError(f"{checkpoint} was not trained by finetune on {encoder.name}'s weights. {way_out}")
    for name, expected in manifest["files"].items():
        path = checkpoint / name
        if not path.is_file() or digests.file_sha256(path) != expected:
            raise StoreError(f"{path} is missing or damaged: its sha256 is not the manifest's. {way_out}")
    return checkpoint


if __name__ == "__main__":
    main()
