"""What a check found: the same record becomes an asset check in the UI and a paragraph of the report."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """The outcome of one check on one dataset version.

    Attributes:
        check: The check's name, for example ``texts_in_one_split``.
        table: The table it is about, and
        variant: which version of it.
        is_fine: Whether nothing was found.
        summary: One sentence for people: what was found or that nothing was. Never an item's text.
        ids: Every offending item.
        figures: Numbers by name; None is "not estimable".
    """

    check: str
    table: str
    variant: str
    is_fine: bool
    summary: str
    ids: tuple[str, ...] = ()
    figures: dict[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelFlow:
    """What became of an alignment's labels; None is "not estimable".

    Attributes:
        alignment: For example ``fhm_hatemm``.
        kappa: Cohen's, between original and predicted labels.
        humans_side_with_model_share: Of the answers about memes whose labels differ.
    """

    alignment: str
    n_memes: int
    n_conflicts: int
    n_answers: int
    n_flipped: int
    n_undecided: int
    positive_before_share: float | None
    positive_after_share: float | None
    kappa: float | None
    humans_side_with_model_share: float | None
