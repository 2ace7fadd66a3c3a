"""Weights are loaded whole: what is missing and what nobody used is an error, never a model that half works."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2v.errors import PartialWeights, StoreError

# Computed from the config wherever a model is made; older files hold them all the same.
COMPUTED = r"(.*\.)?(position_ids|inv_freq)"
# Of a text encoder: what stands on its token states, which is all that is used of it.
HEADS = r"pooler\..*|cls\..*|lm_head\..*|classifier\..*|qa_outputs\..*"
# Of CLIP: what embeds texts.
TEXT_TOWER = r"text_model\..*|text_projection\..*|logit_scale"
# And what embeds pictures.
VISION_TOWER = r"vision_model\..*|visual_projection\..*|logit_scale"


def pretrained(factory: Any, folder: Path, *, besides: Sequence[str] = (), **settings: Any) -> Any:
    """Load a pretrained model from its safetensors.

    Args:
        factory: A class of transformers with ``from_pretrained``.
        besides: Regular expressions of keys that may be missing or unused, because nobody looks at what they give.
        settings: For ``from_pretrained``.

    Raises:
        PartialWeights: Names keys that the model needs and the file lacks, or that the file has and nothing uses.
        StoreError: They are of other shapes.
    """
    try:
        model, told = factory.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **settings)
    except RuntimeError as error:
        if "mismatched_sizes" not in str(error):
            raise
        raise StoreError(f"{folder}: its weights are of other shapes than its config says. {_WAY_OUT}") from error
    allowed = re.compile("|".join([COMPUTED, *besides]))
    missing, unused = (
        [key for key in told[name] if not allowed.fullmatch(key)] for name in ("missing_keys", "unexpected_keys")
    )
    if missing or unused:
        raise PartialWeights(folder, missing=missing, unused=unused)
    return model


def adapted(model: Any, folder: Path) -> Any:
    """Put a saved LoRA adapter around a model.

    Raises:
        PartialWeights: Names keys that the adapter's config asks for and the file lacks, or that the file has besides.
        StoreError: The adapter does not fit the model.
    """
    import safetensors
    from peft import PeftModel, get_peft_model_state_dict

    path = folder / "adapter_model.safetensors"
    try:
        whole = PeftModel.from_pretrained(model, str(folder))
    except KeyError as error:
        # What peft was told to save beside the adapter.
        raise PartialWeights(path, missing=[error.args[0]], unused=[]) from error
    except (RuntimeError, ValueError) as error:
        if isinstance(error, RuntimeError) and "size mismatch" not in str(error):
            raise
        # Of other shapes, or for modules that the model does not have.
        raise StoreError(f"{path} does not fit the model: {str(error).splitlines()[0]} {_WAY_OUT}") from error
    with safetensors.safe_open(path, framework="pt") as file:
        given = set(file.keys())
    wanted = set(get_peft_model_state_dict(whole, save_embedding_layers=False))
    if wanted != given:
        raise PartialWeights(path, missing=wanted - given, unused=given - wanted)
    return whole


_WAY_OUT = "Get or train it again."
