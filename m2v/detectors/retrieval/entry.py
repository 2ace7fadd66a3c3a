"""What the catalog says of a head that compares an item with those that it was trained on."""

from typing import Literal

from pydantic import Field

from m2v.detectors.fitting.entry import Fitted


class Retrieval(Fitted):
    """A head trained so that like labels lie near each other: RGCL (ACL 2024).

    Defaults are the released recipe's where it can be had: rate, batches, epochs, the three dropouts, ``k``.

    Attributes:
        fusion: What the embedding is made of: the ``product`` of the modalities' projections, or all ``concat``.
        width: Of projections and embedding.
        n_layers: Of the layers after fusion.
        margin: By which the most similar item of the same label must lie nearer than those of the other.
        readout: ``logit``: the classifier's probability; ``knn``: the vote of the ``k`` most similar training items.
        guided: Weight of the loss by neighbours; 0 trains by cross entropy alone.
    """

    kind: Literal["retrieval"]
    fusion: Literal["product", "concat"] = "product"
    width: int = Field(default=1024, gt=0)
    n_layers: int = Field(default=1, gt=0, le=3)
    margin: float = Field(default=0.1, ge=0, le=2)
    guided: float = Field(default=1.0, ge=0)
    readout: Literal["logit", "knn"] = "logit"
    k: int = Field(default=20, gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    class_weights: Literal["balanced", "none"] = "none"

    @property
    def explains(self) -> bool:
        """It says which training items are most like an item."""
        return True
