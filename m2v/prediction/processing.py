"""Texts and pictures as a model's processor takes and gives them."""

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageOps

from m2v.files import storage
from m2v.prediction.models import Loaded
from m2v.prediction.prompts import Shown

# Qwen's processors refuse a picture that is more than 200 times as long as wide.
MAX_ASPECT = 200


def inputs(
    texts: Sequence[str], pictures: Sequence[Sequence[Shown]], *, loaded: Loaded, is_beginning: bool = True
) -> dict[str, Any]:
    """Return what the processor makes of texts and their pictures: tensors on the CPU, in the model's dtype.

    Args:
        is_beginning: Whether the texts are where conversations begin, so that they need the first token.
    """
    bos = loaded.tokenizer.bos_token
    # The tokenizer puts it before every text, also where the template has written it.
    adds_bos = is_beginning and bool(bos) and not texts[0].startswith(bos)
    tensors = dict(
        loaded.processor(
            text=list(texts),
            **media(pictures, loaded=loaded),
            add_special_tokens=adds_bos,
            padding=True,
            return_tensors="pt",
        )
    )
    if loaded.architecture == "mllama" and not (is_beginning and texts[0].startswith(bos)):
        tensors = _without_bos(tensors, bos_token_id=loaded.tokenizer.bos_token_id)
    return {name: tensor.to(loaded.dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def media(pictures: Sequence[Sequence[Shown]], *, loaded: Loaded) -> dict[str, Any]:
    """Return the pictures of a batch as processors take them."""
    images = [[_opened(path) for shown in row if shown.media == "image" for path in shown.pictures] for row in pictures]
    videos = [[_opened(path) for path in shown.pictures] for row in pictures for shown in row if shown.media == "video"]
    given: dict[str, Any] = {}
    if any(images):
        given["images"] = (
            images
            if loaded.architecture in {"mllama", "smolvlm", "idefics3"}
            else [image for row in images for image in row]
        )
        if not loaded.entry.splits_pictures:
            given["do_image_splitting"] = False
    if videos:
        # The frames were chosen already; the processor must not choose again.
        given |= {"videos": videos, "do_sample_frames": False}
    return given


def _opened(path: str) -> Image.Image:
    """Return the picture, with white beside it where it is longer than processors take."""
    with Image.open(storage.local(path)) as image:
        seen = image.convert("RGB")
    side = math.ceil(max(seen.size) / MAX_ASPECT)
    size = (max(seen.width, side), max(seen.height, side))
    return seen if size == seen.size else ImageOps.pad(seen, size, color="white")


def _without_bos(inputs: dict[str, Any], *, bos_token_id: int) -> dict[str, Any]:
    """Return inputs without the token that Mllama's processor writes into every text that has none."""
    ids = inputs["input_ids"]
    place = int((ids[0] == bos_token_id).int().argmax())
    if not bool((ids[:, place] == bos_token_id).all()):
        raise AssertionError("the processor wrote its first token at different places")
    kept = [column for column in range(ids.shape[1]) if column != place]
    along_tokens = ("input_ids", "attention_mask", "cross_attention_mask")
    return {name: tensor[:, kept] if name in along_tokens else tensor for name, tensor in inputs.items()}
