"""What the catalog says of heads on frozen features, whatever they are: what they see, and how they are trained."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from m2v.detectors.family import Detector
from m2v.entries.base import Name


class Fitted(Detector):
    """A head on features that stay as they are, trained by the loop of ``m2v/detectors/fitting``.

    Attributes:
        features: Extractors, as the catalog's models or datasets' ``features`` name them; every modality that they see
            is an input of the head.
        standardise: Bring every dimension to mean 0 and deviation 1 over the training items' vectors.
        longest: Vectors of one modality that a head sees of an item where it sees all of them; of more, as many evenly.
        without_features: What becomes of an item that has no feature at all: ``refuse`` stops with its id, ``keep``
            scores it as one of which nothing is known, and leaves it out of training.
        epochs: At most so many; ``patience`` epochs without a better score on the validation split end it earlier.
        select_by: The score on the validation split that chooses the epoch.
        class_weights: ``balanced`` weighs a class by the inverse of its share, ``none`` counts every item alike.
        schedule: Of the learning rate after ``warmup_epochs``, in which it rises from 0.
        max_gradient_norm: A longer gradient is shortened to it.
    """

    made_with: ClassVar[frozenset[str]] = frozenset({"pytorch"})

    features: Annotated[tuple[Name, ...], Field(min_length=1)]
    standardise: bool = True
    longest: int = Field(default=128, gt=0)
    without_features: Literal["refuse", "keep"] = "refuse"
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    epochs: int = Field(default=30, gt=0)
    patience: int = Field(default=7, gt=0)
    warmup_epochs: float = Field(default=0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    max_gradient_norm: float = Field(default=1.0, gt=0)
    select_by: Literal["auroc", "average_precision"] = "auroc"
    class_weights: Literal["balanced", "none"] = "balanced"

    @property
    def features_named(self) -> tuple[str, ...]:
        """The extractors whose features it looks at."""
        return self.features

    @property
    def sees_tokens(self) -> bool:
        """Whether it sees every vector of an item; else their mean."""
        return False
