"""What the catalog says of models that write down what an item shows or says: text in pictures, speech."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from m2v.entries.base import Entry, Sha256


class Ocr(Entry):
    """A model that reads the text in pictures, in a package that carries its weights.

    Attributes:
        version: Of the package; another one may read otherwise.
        min_confidence: Lines that it is less sure of are left out.
    """

    kind: Literal["ocr"]
    package: Literal["rapidocr"]
    version: str
    min_confidence: float = Field(default=0.5, ge=0, le=1)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides what it reads, in plain data; not which lines are kept."""
        return {"kind": self.kind, "package": self.package, "version": self.version}


class FasterWhisper(Entry):
    """A Whisper model in CTranslate2's format, run by faster-whisper, out of a package or from the Hugging Face Hub.

    Attributes:
        package: Python package that carries the weights in its folder ``model``.
        weights_sha256: Of ``model.bin``, checked wherever it comes from.
        compute: In which its weights work.
        language: Of what is said; absent: of each file, by its first half minute.
        voice_only: Listen only where Silero's voice activity detection hears a voice: Whisper makes up words for
            music and silence.
        gpus: What it takes on a cluster. Decides nothing else.
    """

    is_downloaded: ClassVar[bool] = False

    kind: Literal["faster-whisper"]
    package: str | None = None
    hub: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    weights_sha256: Sha256
    compute: Literal["int8", "float16", "float32"] = "int8"
    language: str | None = None
    beams: int = Field(default=5, ge=1, le=20)
    voice_only: bool = True
    memory_gib: float = Field(default=1.0, gt=0)
    gpus: float = Field(default=0, ge=0, exclude=True)

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if (self.package is None) == (self.hub is None) or (self.hub is None) != (self.revision is None):
            raise ValueError("name either package, or hub and revision")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What decides what it hears, in plain data."""
        decides = {"kind", "weights_sha256", "compute", "language", "beams", "voice_only"}
        return self.model_dump(mode="json", include=decides)

    @property
    def loaded_gib(self) -> float:
        """About what its weights take on an accelerator."""
        return self.memory_gib
