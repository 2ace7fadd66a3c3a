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
