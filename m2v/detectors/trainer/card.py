"""A draft of an adapter's model card, from what its training wrote down."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

NAME = "card.md"


def draft(facts: Mapping[str, Any], *, packages: Sequence[str]) -> str:
    """Markdown: what was trained, on what, how, and what was selected; never an item's text."""
    model = facts["model"]
    settings = {name: value for name, value in model.items() if name not in {"name", "title", "kind"}}
    base = facts["base"]
    selection = ", ".join(f"{name} {value}" for name, value in facts["selection"].items())
    read = "".join(f"- {name}: `{value}`\n" for name, value in facts["content"].items() if isinstance(value, str | int))
    return (
        f"# {model['title']}\n\n"
        "A draft: say what it is for, on whom it was tried, and what it must not be used for.\n\n"
        f"- Base: {base.get('hub') or base['name']}, revision {base.get('revision') or 'none, built on the spot'}\n"
        f"- Trained on {facts['n_train']} examples with seed {facts['seed']}, by {facts['n_processes']} processes "
        f"under ZeRO-{facts['zero_stage']}, in {facts['seconds']:.0f} s\n"
        f"- Kept: {selection}; an item is positive at {facts['threshold']:.4g} or above\n\n"
        f"## Made from\n\n{read}\n"
        f"## Settings\n\n{''.join(f'- {name}: `{value}`{chr(10)}' for name, value in settings.items())}\n"
        f"## Versions\n\n{''.join(f'- {name} {version(name)}{chr(10)}' for name in packages)}"
    )
