"""What the catalog says of a probe."""

from typing import ClassVar, Literal

from pydantic import Field

from m2v.detectors.family import Detector, Extractor, Inputs
from m2v.entries.base import Name
from m2v.entries.pretrained import Base, Encoder


class Probe(Detector):
    """Logistic regression on frozen embeddings.

    Attributes:
        c_grid: Inverse regularisation strengths; validation AUROC chooses.
        paper_c: The one that ``paper_mode`` uses, where nothing is selected.
    """

    is_light: ClassVar[bool] = True
    scores_untrained: ClassVar[bool] = True
    made_with: ClassVar[frozenset[str]] = frozenset({"scikitlearn"})

    kind: Literal["probe"]
    encoder: Name
    c_grid: tuple[float, ...] = Field(min_length=1)
    paper_c: float = 10.0

    @property
    def base_named(self) -> tuple[str, str]:
        """Its encoder."""
        return "encoder", self.encoder

    def inputs(self, base: Base | None, extractors: tuple[Extractor, ...]) -> Inputs:
        """Return that it sees the encoder's features."""
        assert isinstance(base, Encoder)
        return Inputs(extractors=(base,))
