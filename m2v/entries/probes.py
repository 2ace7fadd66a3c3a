"""What the catalog says of probes: sentences made from templates, each with what a detector must call it."""

import string
from typing import Annotated, Self

from pydantic import Field, model_validator

from m2v.entries.base import Entry, EntryPart

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
# The blank that every group's words are put into.
GROUP = "group"


class Function(EntryPart):
    """One thing that a detector must be able to do (HateCheck, Röttger et al. 2021, section 3).

    Attributes:
        flagged: Whether its sentences are positive under the target's definition.
        templates: Sentences with blanks in braces: ``{group}`` and names of ``words``. None: the function has no items,
            and the table says so.
    """

    flagged: bool
    templates: tuple[str, ...] = ()


class Probes(Entry):
    """Sentences by function and target group.

    Attributes:
        groups: How each group is called, by the name that it has in the table.
        words: What else is put into blanks.
        functions: By name.
    """

    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default={})
    words: dict[Word, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default={})
    functions: Annotated[dict[Word, Function], Field(min_length=1)]

    @model_validator(mode="after")
    def _blanks_are_known(self) -> Self:
        if GROUP in self.words:
            raise ValueError("`words:` may not have a word called 'group'; groups stand under `groups:`")
        known = {*self.words, *([GROUP] if self.groups else [])}
        for name, function in self.functions.items():
            for template in function.templates:
                unknown = sorted(blanks(template) - known)
                if unknown:
                    raise ValueError(
                        f"a template of {name!r} has the blank {{{unknown[0]}}}; known are "
                        f"{', '.join(sorted(known)) or 'none'}. Add it under `words:` (or `groups:`)."
                    )
        return self


def blanks(template: str) -> set[str]:
    """Return the names of a template's blanks.

    Raises:
        ValueError: A brace is open, or a blank has no name.
    """
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"a template cannot be read: {error}; write {{{{ for a brace that is meant") from error
    if "" in names:
        raise ValueError("a template has a blank without a name, {}")
    return names
