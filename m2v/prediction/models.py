"""Vision-language models as they are loaded: weights, processor, and what their architectures have of their own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from m2v.entries.pretrained import Vlm
from m2v.errors import M2VError
from m2v.models import lean, loading, weights
from m2v.programs.cores import n_cores

# Whose cache may be filled once and shared: plain positions, and nothing but the cache carries what came before.
SHARES_PREFIX = {"mllama", "llava_next_video", "llava_next", "llava", "smolvlm"}


@dataclass(frozen=True)
class Loaded:
    """A model that can be asked.

    Attributes:
        model: As it is called: the model itself, with an adapter around it, or as DeepSpeed runs it; None of a reader.
        config: Of the model itself.
        dtype: In which it computes.
        media_tokens: Placeholders of images and videos in a rendered conversation.
    """

    entry: Vlm
    model: Any
    config: Any
    dtype: torch.dtype
    device: torch.device
    processor: Any
    media_tokens: tuple[str, ...]

    @property
    def tokenizer(self) -> Any:
        """The processor's."""
        return self.processor.tokenizer

    def tokens(self, text: str) -> list[int]:
        """Return a text's token ids, with nothing added."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    @property
    def architecture(self) -> str:
        """For example ``mllama``."""
        return self.config.model_type

    @property
    def shares_prefix(self) -> bool:
        """Whether conversations that begin alike can share what was computed for it."""
        return self.architecture in SHARES_PREFIX


def load(entry: Vlm, *, home: Path, adapter: Path | None = None, is_trained: bool = False) -> Loaded:
    """Return the model, ready to be asked.

    Args:
        adapter: Folder of a checkpoint to load into it, which `m2v.prediction.predict` has found to be whole and its.
        is_trained: It is going to be trained: DeepSpeed decides where its weights are.

    Raises:
        MissingSource: The weights cannot be had; the message says how to get them.
        StoreError: The weights or the adapter are not whole.
    """
    return with_weights(reader(entry, home=home), home=home, adapter=adapter, is_trained=is_trained)


def reader(entry: Vlm, *, home: Path) -> Loaded:
    """Return what reads conversations as the model does, without its weights.

    Raises:
        MissingSource: The model cannot be had; the message says how to get it.
    """
    path = weights.whole(entry, home=home)
    transformers.utils.logging.disable_progress_bar()
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    config = transformers.AutoConfig.from_pretrained(path)
    return Loaded(entry, None, config, getattr(torch, entry.dtype), device, *processor(path))


def with_weights(read: Loaded, *, home: Path, adapter: Path | None = None, is_trained: bool = False) -> Loaded:
    """Return the reader with its model, ready to be asked; arguments as of `load`."""
    entry, device, dtype = read.entry, read.device, read.dtype
    if device.type == "cpu":
        # Keys that several heads share are not copied for each, which took a fifth of the time.
        os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")
    is_quantised = entry.quantisation != "none"
    model = loading.pretrained(
        transformers.AutoModelForImageTextToText,
        weights.whole(entry, home=home),
        dtype=dtype,
        attn_implementation="sdpa",
        **({"quantization_config": _quantised(entry, dtype), "device_map": {"": device}} if is_quantised else {}),
    )
    config = model.config
    if adapter:
        # Not merged: that would round, and quantise, anew what was trained beside the weights.
        with lean.imports(quantisation=entry.quantisation):
            model = loading.adapted(model, adapter)
    if not is_quantised and not is_trained:
        model = model.to(device)
    return replace(read, model=model.eval(), config=config)


def _quantised(entry: Vlm, dtype: torch.dtype) -> transformers.BitsAndBytesConfig:
    if entry.quantisation == "8bit":
        if not torch.cuda.is_available():
            _mend_int8()
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _mend_int8() -> None:
    """Have bitsandbytes (0.50) multiply activations of three dimensions on a CPU, where its kernels know only two."""
    import bitsandbytes

    multiply = bitsandbytes.matmul  # pyright: ignore[reportPrivateImportUsage]
    if hasattr(multiply, "is_mended"):
        return

    def mended(activations: torch.Tensor, *rest: Any, **settings: Any) -> torch.Tensor:
        flat = multiply(activations.reshape(-1, activations.shape[-1]), *rest, **settings)
        return flat.view(*activations.shape[:-1], -1)

    mended.is_mended = True  # pyright: ignore[reportFunctionMemberAccess]
    bitsandbytes.matmul = mended  # pyright: ignore[reportPrivateImportUsage]


def processor(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return a model's processor, and its placeholders of images and videos."""
    made = transformers.AutoProcessor.from_pretrained(path)
    made.tokenizer.padding_side = "right"
    tokens = [getattr(made, name, None) for name in ("image_token", "video_token")]
    return made, tuple(token for token in tokens if isinstance(token, str))


def refuse_long(entry: Vlm, lengths: Sequence[int], ids: Sequence[str]) -> None:
    """Raise unless every conversation fits into the model.

    Raises:
        M2VError: Names the first that does not; cutting it would take out an instruction, an image or the answer.
    """
    for length, item in zip(lengths, ids, strict=True):
        if length > entry.context_tokens:
            raise M2VError(
                f"The conversation about {item} has {length} tokens, {entry.name} reads {entry.context_tokens}. Take "
                "fewer demonstrations or frames, or a smaller `max_text_tokens` in the model's YAML."
            )


def share_cores() -> None:
    """Use every core that we may; torchrun's default of one is for groups."""
    torch.set_num_threads(n_cores())
