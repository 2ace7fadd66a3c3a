"""Program: a text encoder's LoRA adapter and head, trained by the Hugging Face Trainer under DeepSpeed ZeRO.

The spec says ``model`` and ``base`` (catalog entries), ``train`` (parquet with ``text`` and ``label``), ``validation``
(the same, or null: then nothing is selected), ``seed``, ``content`` (copied into the manifest) and optionally
``save_steps``. Started plainly, or by torchrun with as many processes as the entry says.

After each epoch the validation split is scored; the epoch with the best AUROC is kept. The folder gets the adapter,
``history.parquet``, ``validation.parquet``, a draft of a model card and, last, ``manifest.json``. A run that was killed
goes on from its last complete state below ``state/``, with the same losses.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from m2v.detectors.text_lora.entry import Lora
from m2v.entries.pretrained import Encoder
from m2v.models import lean
from m2v.programs import contract, progress


class Task(BaseModel):
    """The spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Lora
    base: Encoder
    train: Path
    validation: Path | None
    seed: int
    content: dict[str, Any]
    save_steps: int = 50


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    task = Task.model_validate(spec)
    with lean.imports():
        from m2v.detectors.text_lora import texts
        from m2v.detectors.trainer import processes
    with processes.joined(out), progress.reporting() as report:
        texts.train(task, out=out, report=report)


if __name__ == "__main__":
    main()
