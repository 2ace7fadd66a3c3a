"""What the catalog says of pretrained models: encoders, vision-language models, perceivers."""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from m2v.entries.base import Entry, Sha256
from m2v.entries.features import Extractor, Modality

Quantisation: TypeAlias = Literal["none", "8bit", "4bit"]
# Of the weights' size in bfloat16: int8 with its scales, nf4 with its.
QUANTISED_SHARES = {"none": 1.0, "8bit": 0.55, "4bit": 0.32}


class Pretrained(Entry):
    """A model with a processor: its weights come from the Hugging Face Hub, or know nothing.

    Attributes:
        hub: Repository there, at ``revision``, a commit.
        gated: Whether one has to agree to its licence there before its weights can be had.
        built: Made on the spot from this architecture's config and ``seed`` instead.
        width: Of a built one's states.
        memory_gib: About what its weights take on an accelerator; for people who plan.
        gpus: What a replica of it takes on a cluster; a fraction lets several share one. Decides nothing else.
    """

    is_downloaded: ClassVar[bool] = True

    hub: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    gated: bool = False
    built: Literal["mllama", "llava_next_video", "smolvlm", "qwen3_vl", "clip", "whisper"] | None = None
    seed: int = 0
    width: int = 32
    memory_gib: float = Field(default=1.0, gt=0)
    # Left out of what entries are told apart by: where a model works changes nothing that it finds.
    gpus: float = Field(default=1, ge=0, exclude=True)

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if (self.built is None) == (self.hub is None) or (self.hub is None) != (self.revision is None):
            raise ValueError("name either hub and revision, or built")
        if self.built and self.built not in self.buildable:
            raise ValueError(f"built must be {' or '.join(self.buildable)}")
        return self

    @property
    def buildable(self) -> tuple[str, ...]:
        """Architectures that can be built for an entry of its kind."""
        raise NotImplementedError

    @property
    def knows_nothing(self) -> bool:
        """Whether its weights are random: it is built on the spot."""
        return self.built is not None

    @property
    def weights(self) -> dict[str, Any]:
        """Which weights it has, in plain data; an adapter fits no others."""
        return self.model_dump(mode="json", include={"hub", "revision", "built", "seed", "width"})

    @property
    def loaded_gib(self) -> float:
        """About what its weights take on an accelerator."""
        return self.memory_gib

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights' file, where the entry pins it."""
        return None


class Encoder(Extractor):
    """A frozen text encoder.

    Attributes:
        hub: Repository on the Hugging Face Hub.
        revision: Commit there.
        package: Python package that carries the same weights, used where it is installed.
        weights_sha256: Of ``model.safetensors``, checked wherever it comes from.
        max_tokens: Longer texts are cut on the right.
        dimensions: Length of an embedding.
        gpus: What a replica of it takes on a cluster; a fraction lets several share one. Decides nothing else.
    """

    kind: Literal["encoder"]
    hub: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    package: str | None = None
    weights_sha256: Sha256
    max_tokens: int = Field(gt=0)
    dimensions: int = Field(gt=0)
    gpus: float = Field(default=0, ge=0, exclude=True)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an embedding, in plain data."""
        return self.model_dump(mode="json", include={"hub", "revision", "weights_sha256", "max_tokens"})

    def modalities(self, *, of_videos: bool) -> tuple[Modality, ...]:
        """Return what it looks at: texts."""
        return ("text",)

    @property
    def weights(self) -> dict[str, Any]:
        """Which weights it has, in plain data; an adapter fits no others."""
        return self.model_dump(mode="json", include={"weights_sha256"})


class Vlm(Pretrained):
    """A vision-language model.

    Attributes:
        dtype: In which it works; weights are kept in it too, unless quantised.
        quantisation: Of the weights, by bitsandbytes: ``8bit``, or ``4bit`` (nf4, double quantisation).
        n_frames: How many frames of a video it is shown.
        frame_variance: Of one frame, show the first whose grey levels vary more than this, else the last; absent: the
            middle one.
        video_as: Frames as one video, or each as an image.
        splits_pictures: Where a processor can cut a picture into tiles or leave it whole (SmolVLM's: 64 tokens whole,
            up to 1,100 in tiles), cut it.
        max_text_tokens: Longer texts of items and demonstrations are cut, nothing else ever is.
        cut: Which end of them is dropped.
        context_tokens: More than this is an error.
    """

    kind: Literal["vlm"]
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    quantisation: Quantisation = "none"
    n_frames: int = Field(default=1, gt=0)
    frame_variance: float | None = None
    video_as: Literal["images", "video"] = "images"
    splits_pictures: bool = True
    max_text_tokens: int = Field(default=512, gt=0)
    cut: Literal["right", "left"] = "right"
    context_tokens: int = Field(gt=0)

    @property
    def buildable(self) -> tuple[str, ...]:
        return "mllama", "llava_next_video", "smolvlm", "qwen3_vl"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, in plain data."""
        reading = self.model_dump(mode="json", include={"dtype", "quantisation", "max_text_tokens", "cut"})
        whole = {} if self.splits_pictures else {"splits_pictures": False}
        return self.weights | reading | whole

    @property
    def loaded_gib(self) -> float:
        """About what its weights take as they are quantised."""
        return self.memory_gib * QUANTISED_SHARES[self.quantisation]

    def quantised_to(self, quantisation: Quantisation) -> Self:
        """Return the same model with its weights in that form."""
        return self.model_copy(update={"quantisation": quantisation})


class Perceiver(Pretrained, Extractor):
    """A model whose view of pictures, texts or sound is a feature: CLIP for pictures and texts, Whisper for speech.

    Attributes:
        level: Of CLIP: one vector for a picture or text, or one for each of its tokens.
    """

    kind: Literal["clip", "whisper"]
    level: Literal["pooled", "tokens"] = "pooled"

    @property
    def buildable(self) -> tuple[str, ...]:
        return (self.kind,)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides what it finds, in plain data."""
        return {"kind": self.kind, **self.weights} | ({"level": self.level} if self.level != "pooled" else {})

    def modalities(self, *, of_videos: bool) -> tuple[Modality, ...]:
        """Return what it looks at: texts, and pictures or frames; Whisper writes down what it hears instead."""
        return ("text", "frames" if of_videos else "picture") if self.kind == "clip" else ()


# What a detector can stand on.
Base: TypeAlias = Annotated[Encoder | Vlm, Field(discriminator="kind")]
