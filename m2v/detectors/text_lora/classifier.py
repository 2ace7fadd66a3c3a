"""A text encoder with a LoRA adapter and a linear head."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModel

from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.trainer.adapters import ADAPTER, CONFIG
from m2v.entries.pretrained import Encoder
from m2v.errors import StoreError
from m2v.models import loading, weights


class TextClassifier(nn.Module):
    """The mean of the encoder's token states, and one logit for the positive label."""

    def __init__(self, encoder: nn.Module, *, positive_weight: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 1)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        self.positive_weight = positive_weight

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Logits (batch,), and the loss where labels (batch,) are given; tokens are (batch, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)  # (batch, hidden)
        logits = self.head(pooled).squeeze(-1)
        if labels is None:
            return {"logits": logits}
        weight = torch.tensor(self.positive_weight, device=logits.device)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weight)
        return {"loss": loss, "logits": logits}


def fresh(model: Lora, encoder: Encoder, *, positive_weight: float, seed: int) -> PeftModel:
    """Return the pretrained encoder with a new adapter and head; only these two are trained."""
    frozen = _pretrained(encoder)
    for module in frozen.modules():
        if isinstance(module, nn.Dropout):
            # What is frozen needs no dropout, the adapter has its own; drawing it takes a fifth of a step on a CPU.
            module.p = 0.0
    classifier = TextClassifier(frozen, positive_weight=positive_weight)
    # peft draws the adapter's first weights here.
    torch.manual_seed(seed)
    nn.init.normal_(classifier.head.weight, std=0.02)
    nn.init.zeros_(classifier.head.bias)
    config = LoraConfig(
        r=model.rank,
        lora_alpha=model.alpha,
        lora_dropout=model.dropout,
        target_modules=model.targets,
        modules_to_save=["head"],
    )
    return get_peft_model(classifier, config)  # pyright: ignore[reportArgumentType, reportReturnType]


def parameter_groups(classifier: PeftModel, model: Lora) -> list[dict[str, Any]]:
    """Return what an optimiser trains, in two groups: the head, which starts from nothing, learns faster."""
    trained = [(name, parameter) for name, parameter in classifier.named_parameters() if parameter.requires_grad]
    head = [parameter for name, parameter in trained if ".head." in name]
    adapter = [parameter for name, parameter in trained if ".head." not in name]
    return [{"params": adapter, "lr": model.learning_rate}, {"params": head, "lr": model.head_learning_rate}]


def load(encoder: Encoder, checkpoint: Path) -> PeftModel:
    """Return the encoder with a saved adapter and head.

    Raises:
        StoreError: The checkpoint has no adapter, or not all of it: the base model must never be evaluated instead.
    """
    for name in (ADAPTER, CONFIG):
        if not (checkpoint / name).is_file():
            raise StoreError(f"{checkpoint} has no {name}; it is no LoRA checkpoint. Check the path.")
    classifier = TextClassifier(_pretrained(encoder))
    return loading.adapted(classifier, checkpoint).eval()


def _pretrained(encoder: Encoder) -> nn.Module:
    return loading.pretrained(AutoModel, weights.folder(encoder), besides=[loading.HEADS], dtype=torch.float32)
