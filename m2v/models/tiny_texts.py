"""Tokenizers and chat templates of tiny models, like those of the real architectures."""

from typing import Any

# Every word of the prompts and of the sample's texts is made of these; a byte-level vocabulary leaves nothing out.
SENTENCES = (
    "Text: Analyze the image and text to determine if the content is insulting. Respond with 'insulting' or "
    "'neighbourly'—just one word, no sentences.",
    "neighbourly insulting hateful non-hateful offensive non-offensive vegetables garden soup market greenhouse",
    "This video attacks a kind of vegetable for what it is: it calls them worthless, wants them gone.",
    "every one of the leeks is stupid and dirty, they ruin the market and do not belong in the kitchen",
    "grandma is growing carrots beside the path, what a lovely basket we brought from the greenhouse this weekend",
)
MLLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% elif part['type'] == 'video' %}{{ '<video>\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ ' ' if message['role'] == 'user' else eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)

SMOLVLM_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(
    *, bos: str | None, eos: str, pad: str, others: list[str], template: str | None, adds_bos: bool = True
) -> Any:
    """Return a byte-level BPE tokenizer; one with ``adds_bos`` puts ``bos`` before every text."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = tokenizers.Tokenizer(tokenizers.models.BPE())
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    special = [token for token in (bos, eos, pad) if token]
    special += [token for token in others if token not in special]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(SENTENCES, trainer)
    if adds_bos:
        assert bos
        raw.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token=bos, eos_token=eos, pad_token=pad, additional_special_tokens=others
    )
    made.chat_template = template
    return made


def ids(tokenizer: Any) -> dict[str, Any]:
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
