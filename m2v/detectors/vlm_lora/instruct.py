"""Program: a vision-language model's LoRA adapter, trained to answer with the label's word under DeepSpeed ZeRO.

The spec says ``model``, ``base`` and ``prompt`` (catalog entries), ``label`` (a target's definition), ``train``
(parquet as ``m2v.prediction.predict`` reads demonstrations), ``validation`` (the same, or null: then nothing is
selected), ``home``, ``seed``, ``content`` (copied into the manifest) and optionally ``save_steps``.

The conversation about an example is the one that labelling has, and the loss is over the answer alone. What is kept,
and how a killed run goes on, is as ``m2v.detectors.text_lora.finetune`` says.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt
from m2v.models import lean, weights
from m2v.programs import contract, progress


class Task(BaseModel):
    """The spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: VlmLora
    base: Vlm
    prompt: Prompt
    label: LabelDefinition
    train: Path
    validation: Path | None
    home: Path
    seed: int
    content: dict[str, Any]
    save_steps: int = 50


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    task = Task.model_validate(spec)
    with lean.imports(quantisation=task.model.quantisation):
        from m2v.detectors.trainer import processes
        from m2v.detectors.vlm_lora import conversations
    if os.environ.get("LOCAL_RANK", "0") == "0":
        # One process of a machine downloads or builds; the others wait for it where they join.
        weights.whole(task.base, home=task.home)
    with processes.joined(out), progress.reporting() as report:
        conversations.train(task, out=out, report=report)


if __name__ == "__main__":
    main()
