"""What the catalog says of prompts, and of servers that answer them."""

from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from m2v.entries.base import Entry, EntryPart
from m2v.entries.datasets import LabelDefinition


class Prompt(Entry):
    """What a vision-language model is asked about an item; any change of a text is another request.

    Attributes:
        instruction: With ``{text}``, ``{positive}`` and ``{negative}``, and where wanted ``{positive_definition}`` and
            ``{negative_definition}``.
        demonstrations: ``turns``: each is a question with its pictures and its answer; ``described``: all stand in the
            item's own question, their pictures in words.
        example: One described demonstration, with ``{description}``, ``{text}`` and ``{label}``.
    """

    instruction: str
    demonstrations: Literal["turns", "described"] = "turns"
    example: str = "Image: {description} Text: '{text}' Answer: {label}\n"

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        known = {
            "instruction": {"text", *LabelDefinition.model_fields},
            "example": {"text", "description", "label"},
        }
        for name, fields in known.items():
            used = {field for _, field, _, _ in Formatter().parse(getattr(self, name)) if field is not None}
            if used - fields:
                raise ValueError(f"{name} has the unknown placeholder {sorted(used - fields)[0]!r}")
            if "text" not in used:
                raise ValueError(f"{name} must have the placeholder {{text}}")
        return self

    @property
    def says_definition(self) -> bool:
        """Whether it tells the model what the label means, and not only what it is called."""
        return any(field == "positive_definition" for _, field, _, _ in Formatter().parse(self.instruction))


class Server(EntryPart):
    """A server that speaks OpenAI's chat API: vLLM, SGLang, `transformers serve`, or a company's.

    Attributes:
        url: Up to and with ``/v1``.
        model: What it calls the model; default: the entry's ``hub``.
        key: Name of the environment variable that holds the key, where it wants one. To a server that is not on this
            machine it is sent where ``M2V_SERVER_KEYS`` says so.
        n_at_once: Requests under way at a time.
        timeout_s: For each answer.
        budget: At most this many requests in one run, repetitions not counted; what is left is asked in the next.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    model: str | None = None
    key: str | None = None
    n_at_once: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    budget: int | None = Field(default=None, ge=1)
