"""What the catalog says of a head that fuses modalities."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from m2v.detectors.family import Detector
from m2v.entries.base import Name


class Fusion(Detector):
    """A head on features of several modalities, which stay as they are.

    Attributes:
        head: ``concat``: features side by side, one hidden layer.
        features: Extractors, as the catalog's models or datasets' ``features`` name them; every modality that they see
            is an input of the head.
        hidden: Units of the hidden layer.
        epochs: At most so many; ``patience`` epochs without a better validation AUROC end it earlier.
        alpha: Strength of the L2 penalty.
    """

    is_light: ClassVar[bool] = True
    made_with: ClassVar[frozenset[str]] = frozenset({"scikitlearn"})

    kind: Literal["fusion"]
    head: Literal["concat"] = "concat"
    features: Annotated[tuple[Name, ...], Field(min_length=1)]
    hidden: int = Field(default=128, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    alpha: float = Field(default=1.0, ge=0)
    batch_size: int = Field(default=64, gt=0)
    epochs: int = Field(default=60, gt=0)
    patience: int = Field(default=10, gt=0)

    @property
    def features_named(self) -> tuple[str, ...]:
        """The extractors whose features it looks at."""
        return self.features
