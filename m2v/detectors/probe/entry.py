"""What the catalog says of a probe."""

from typing import Literal

from pydantic import Field

from m2v.entries.base import Entry, Name


class Probe(Entry):
    """Logistic regression on frozen embeddings.

    Attributes:
        c_grid: Inverse regularisation strengths; validation AUROC chooses.
        paper_c: The one that ``paper_mode`` uses, where nothing is selected.
    """

    kind: Literal["probe"]
    encoder: Name
    c_grid: tuple[float, ...] = Field(min_length=1)
    paper_c: float = 10.0
