"""What the catalog says of a vision-language model with an adapter."""

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from m2v.detectors.family import Extractor, Inputs
from m2v.detectors.trainer.entry import Adapted
from m2v.entries.base import Name
from m2v.entries.pretrained import Base, Quantisation, Vlm

# The published recipe, where it is no mistake (docs/vision-language.md, `fidelity`).
PAPER = {
    "rank": 8,
    "alpha": 16,
    "dropout": 0.05,
    "epochs": 5,
    "batch_size": 32,
    "micro_batch_size": 4,
    "learning_rate": 2e-4,
    "schedule": "constant",
    "warmup_share": 0.0,
    "max_gradient_norm": 0.3,
    "weight_decay": 0.0,
    "quantisation": "4bit",
    "checkpoints_gradients": True,
}


class VlmLora(Adapted):
    """A vision-language model with a LoRA adapter, trained to answer with the label's word.

    Attributes:
        vlm: The model.
        prompt: What it is asked, in training and afterwards.
        fidelity: ``best`` keeps the epoch with the best validation AUROC and its best threshold. ``paper`` has the
            published recipe's settings where this entry names none, keeps the last epoch, and calls an item positive
            when the positive word is the more probable.
        demonstrations: Whether a model that was not trained is shown the target's own (few-shot) or none (zero-shot).
        scope: Modules that get an adapter: of the language model only, or of the vision tower too.
        projections: Names of linear layers in them.
        quantisation: Of the frozen weights, in training and, unless ``evaluated_in`` says otherwise, afterwards.
        checkpoints_gradients: Compute activations twice instead of keeping them.
    """

    scores_untrained: ClassVar[bool] = True
    spreads: ClassVar[bool] = True

    kind: Literal["vlm_lora"]
    vlm: Name
    prompt: Name = "paper"
    fidelity: Literal["best", "paper"] = "best"
    demonstrations: Literal["target", "none"] = "none"
    scope: Literal["language", "all"] = "language"
    projections: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    quantisation: Quantisation = "none"
    evaluated_in: Quantisation | None = None
    checkpoints_gradients: bool = True

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, data: Any) -> Any:
        return {**PAPER, **data} if isinstance(data, dict) and data.get("fidelity") == "paper" else data

    @model_validator(mode="after")
    def _can_be_sharded(self) -> Self:
        if self.quantisation != "none" and self.zero_stage == 3:
            raise ValueError("ZeRO-3 cannot shard quantised weights; take `zero_stage: 2`, or `quantisation: none`")
        return self

    @property
    def targets(self) -> str:
        """Regular expression over module names that get an adapter."""
        named = rf".*\.({'|'.join(map(re.escape, self.projections))})"
        # What transformers calls the language half: language_model nearly everywhere, text_model in Idefics, SmolVLM.
        return named if self.scope == "all" else rf"(.*\.)?(language_model|text_model){named}"

    @property
    def base_named(self) -> tuple[str, str]:
        """Its vision-language model."""
        return "vlm", self.vlm

    @property
    def prompt_named(self) -> str:
        """What it is asked."""
        return self.prompt

    @property
    def shows_demonstrations(self) -> bool:
        """Whether it is shown the target's demonstrations where it was not trained."""
        return self.demonstrations == "target"

    def inputs(self, base: Base | None, extractors: tuple[Extractor, ...]) -> Inputs:
        """Return that it looks at pictures and frames."""
        return Inputs(shows_media=True)

    def memory_gib(self, base: Base | None) -> float:
        """Return about what the model's weights take as they are quantised in training."""
        assert isinstance(base, Vlm)
        return base.quantised_to(self.quantisation).loaded_gib

    def evaluated(self, base: Vlm) -> Vlm:
        """Return the model as its adapter is evaluated on it: as in training, unless the entry says otherwise."""
        return base.quantised_to(self.evaluated_in or self.quantisation)
