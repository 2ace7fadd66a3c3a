"""Models of the real architectures, small enough for a test, built from their configs on the spot.

They know nothing: their weights are drawn from a seed. What they serve is that every line that handles the real ones
(processor, chat template, weights, adapters) runs on any machine.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from m2v.models.tiny_texts import LLAVA_TEMPLATE, MLLAMA_TEMPLATE, QWEN_TEMPLATE, SMOLVLM_TEMPLATE, ids
from m2v.models.tiny_texts import tokenizer as trained


def build(architecture: str, folder: Path, *, seed: int, width: int = 32, layers: int = 3) -> Path:
    """Write config, weights (safetensors), tokenizer and processor, whole or not at all; give the folder.

    Args:
        architecture: A key of ``BUILDERS``.
        width: Of the language model's states; 32 makes about 100 thousand parameters, 576 about 20 million.
    """
    if folder.exists():
        return folder
    import torch
    import transformers

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        try:
            model, processor = BUILDERS[architecture](width, layers)
        finally:
            torch.random.set_rng_state(state)
        content = Path(scratch) / "content"
        transformers.utils.logging.disable_progress_bar()
        model.save_pretrained(content, safe_serialization=True)
        processor.save_pretrained(content)
        try:
            os.rename(content, folder)  # noqa: PTH104 (Path.rename replaces nothing either, but os says so)
        except OSError:
            # Another process was first, with the same content.
            if not folder.is_dir():
                raise
    return folder


def _mllama(width: int, layers: int) -> tuple[Any, Any]:
    import torch
    import transformers as hf

    tokenizer = trained(
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        pad="<|finetune_right_pad_id|>",
        others=["<|start_header_id|>", "<|end_header_id|>"],
        template=MLLAMA_TEMPLATE,
    )
    vocabulary = len(tokenizer)
    # As in the real one, the image token has the first id beyond the head's vocabulary.
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]}, replace_extra_special_tokens=False)
    text = hf.models.mllama.configuration_mllama.MllamaTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        cross_attention_layers=[1],
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        **ids(tokenizer),
    )
    vision = hf.models.mllama.configuration_mllama.MllamaVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=2,
        image_size=56,
        patch_size=14,
        max_num_tiles=2,
        intermediate_layers_indices=[0],
        vision_output_dim=2 * width,
        supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
    )
    image_token = tokenizer.convert_tokens_to_ids("<|image|>")
    config = hf.MllamaConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_index=image_token)
    model = hf.MllamaForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        # Fresh gates are 0, and with them every image would be without effect.
        if name.endswith("gate") or "gate_positional" in name:
            torch.nn.init.constant_(parameter, 0.5)
    _spread(model)
    images = hf.models.mllama.image_processing_pil_mllama.MllamaImageProcessorPil(
        size={"height": 56, "width": 56}, max_image_tiles=2
    )
    return model, hf.MllamaProcessor(images, tokenizer, chat_template=MLLAMA_TEMPLATE)


def _llava_next_video(width: int, layers: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = trained(bos="<s>", eos="</s>", pad="<pad>", others=["<image>", "<video>"], template=LLAVA_TEMPLATE)
    text = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        **ids(tokenizer),
    )
    vision = hf.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        projection_dim=width,
    )
    config = hf.LlavaNextVideoConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        spatial_pool_stride=2,
    )
    model = hf.LlavaNextVideoForConditionalGeneration(config).eval()
    _spread(model)
    sizes: dict[str, Any] = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    images = hf.models.llava_next.image_processing_pil_llava_next.LlavaNextImageProcessorPil(
        **sizes, image_grid_pinpoints=config.image_grid_pinpoints or []
    )
    videos = hf.LlavaNextVideoVideoProcessor(**sizes)
    processor = hf.LlavaNextVideoProcessor(
        video_processor=videos,
        image_processor=images,
        tokenizer=tokenizer,
        chat_template=LLAVA_TEMPLATE,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return model, processor


def _smolvlm(width: int, layers: int) -> tuple[Any, Any]:
    import transformers as hf

    others = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    others += [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    tokenizer = trained(
        bos="<|im_start|>",
        eos="<end_of_utterance>",
        pad="<|im_end|>",
        others=others,
        template=SMOLVLM_TEMPLATE,
        adds_bos=False,
    )
    text = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        **ids(tokenizer),
    )
    # 28 pixels in patches of 7 are 16; by 2 in each direction shuffled into one, 4 tokens.
    vision = hf.models.smolvlm.configuration_smolvlm.SmolVLMVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
    )
    config = hf.SmolVLMConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    model = hf.SmolVLMForConditionalGeneration(config).eval()
    _spread(model)
    sizes: dict[str, Any] = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}
    images = hf.models.smolvlm.image_processing_pil_smolvlm.SmolVLMImageProcessorPil(**sizes)
    videos = hf.models.smolvlm.video_processing_smolvlm.SmolVLMVideoProcessor(**sizes, num_frames=4, fps=1)
    processor = hf.SmolVLMProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        video_processor=videos,
        image_seq_len=4,
        chat_template=SMOLVLM_TEMPLATE,
    )
    return model, processor


def _qwen3_vl(width: int, layers: int) -> tuple[Any, Any]:
    import transformers as hf

    vision_tokens = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = trained(
        bos=None,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        others=["<|im_start|>", *vision_tokens],
        template=QWEN_TEMPLATE,
        adds_bos=False,
    )
    start, end, image, video = tokenizer.convert_tokens_to_ids(vision_tokens)
    text = hf.models.qwen3_vl.configuration_qwen3_vl.Qwen3VLTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        max_position_embeddings=8192,
        # Of half a head's dimensions, how many turn with time, height and width.
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_interleaved": True,
            "mrope_section": [width // 8 - 2 * (width // 32), width // 32, width // 32],
        },
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = hf.models.qwen3_vl.configuration_qwen3_vl.Qwen3VLVisionConfig(
        depth=2,
        hidden_size=width,
        intermediate_size=2 * width,
        num_heads=2,
        patch_size=7,
        spatial_merge_size=2,
        temporal_patch_size=2,
        out_hidden_size=width,
        num_position_embeddings=16,
        deepstack_visual_indexes=[0],
    )
    config = hf.Qwen3VLConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    model = hf.Qwen3VLForConditionalGeneration(config).eval()
    _spread(model)
    return model, _qwen3_vl_processor(tokenizer)


def _qwen3_vl_processor(tokenizer: Any) -> Any:
    import transformers as hf

    patches: dict[str, Any] = {"patch_size": 7, "merge_size": 2, "temporal_patch_size": 2}
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    images = hf.models.qwen2_vl.image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil(**patches, size=size)
    videos = hf.models.qwen3_vl.video_processing_qwen3_vl.Qwen3VLVideoProcessor(**patches, size=size)
    return hf.Qwen3VLProcessor(
        image_processor=images, tokenizer=tokenizer, video_processor=videos, chat_template=QWEN_TEMPLATE
    )


def _clip(width: int, layers: int) -> tuple[Any, Any]:
    import tokenizers
    import transformers as hf

    halves: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    vision = hf.CLIPVisionConfig(**halves, num_attention_heads=2, image_size=28, patch_size=7, projection_dim=width)
    # Before the other half, so that pictures have the vectors that they had when this was all there was.
    eyes = hf.CLIPVisionModelWithProjection(vision).eval()
    _spread(eyes)
    bos, eos = "<|startoftext|>", "<|endoftext|>"
    tokenizer = trained(bos=bos, eos=eos, pad=eos, others=[], template=None, adds_bos=False)
    # A text's vector is that of its last token, which is always the same one.
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        special_tokens=[(bos, tokenizer.bos_token_id), (eos, tokenizer.eos_token_id)],
    )
    text = hf.CLIPTextConfig(
        **halves,
        num_attention_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=77,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    reader = hf.CLIPTextModelWithProjection(text).eval()
    _spread(reader)
    model = hf.CLIPModel(
        hf.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=width)
    ).eval()
    told = [model.load_state_dict(half.state_dict(), strict=False) for half in (eyes, reader)]
    assert not any(report.unexpected_keys for report in told)
    images = hf.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    return model, _Both(images, tokenizer)


def _whisper(width: int, layers: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = trained(
        bos="<|startoftranscript|>", eos="<|endoftext|>", pad="<pad>", others=["<|notimestamps|>"], template=""
    )
    config = hf.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        decoder_start_token_id=tokenizer.bos_token_id,
        max_target_positions=64,
        **ids(tokenizer),
    )
    model = hf.WhisperForConditionalGeneration(config).eval()
    _spread(model)
    model.generation_config.max_new_tokens = 8
    return model, hf.WhisperProcessor(hf.WhisperFeatureExtractor(), tokenizer)


# Under which name a built model is kept, where earlier code built another one under its own.
NAMES = {"clip": "clip-both-halves"}
BUILDERS: Mapping[str, Callable[[int, int], tuple[Any, Any]]] = {
    "mllama": _mllama,
    "llava_next_video": _llava_next_video,
    "smolvlm": _smolvlm,
    "qwen3_vl": _qwen3_vl,
    "clip": _clip,
    "whisper": _whisper,
}


class _Both:
    """An image processor and a tokenizer, saved side by side."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def save_pretrained(self, folder: Path) -> None:
        for part in self.parts:
            part.save_pretrained(folder)


def _spread(model: Any) -> None:
    """Larger weights than the usual first ones, so that what a token or an image changes is well above rounding."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "embed" not in name:
            # Of the head larger still: its input has a fixed length, so that few dimensions could be sure of nothing.
            gain = 3.0 if "lm_head" in name else 1.0
            torch.nn.init.normal_(parameter, std=gain * parameter.shape[-1] ** -0.5)
