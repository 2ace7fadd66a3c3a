"""Which module is which head."""

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from m2v.detectors.fusion.co_attention import CoAttention
from m2v.detectors.fusion.concat import Concat
from m2v.detectors.fusion.entry import Fusion
from m2v.detectors.fusion.gated import Gated
from m2v.detectors.fusion.mixture import Mixture
from m2v.detectors.fusion.product import Product
from m2v.detectors.fusion.tokens import Tokens

HEADS: Mapping[str, Callable[[Fusion, Mapping[str, int]], nn.Module]] = {
    "concat": Concat,
    "gated": Gated,
    "tokens": Tokens,
    "co_attention": CoAttention,
    "mixture": Mixture,
}


def build(entry: Fusion, sizes: Mapping[str, int], *, definitions: Mapping[str, np.ndarray] | None = None) -> nn.Module:
    """Return the entry's head with its first weights, drawn from torch's random numbers.

    Args:
        sizes: Dimensions of each modality.
        definitions: Vectors of the label's negative and positive definition, (2, dimensions), by modality.
    """
    if entry.head == "product":
        return Product(entry, sizes, definitions or {})
    return HEADS[entry.head](entry, sizes)
