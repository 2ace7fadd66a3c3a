"""A draft of an adapter's model card, from what its training wrote down."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from m2v.detectors.family import Task

NAME = "card.md"


def draft(
    task: Task,
    facts: Mapping[str, Any],
    *,
    threshold: float,
    selection: Mapping[str, Any],
    seconds: float,
    packages: Sequence[str],
) -> str:
    """Markdown: what was trained, on what, how, and what was selected; never an item's text."""
    model, base = task.model.model_dump(mode="json"), task.base
    assert base
    settings = {name: value for name, value in model.items() if name not in {"name", "title", "kind"}}
    selected = ", ".join(f"{name} {value}" for name, value in selection.items())
    read = "".join(f"- {name}: `{value}`\n" for name, value in task.content.items() if isinstance(value, str | int))
    return (
        f"# {model['title']}\n\n"
        "A draft: say what it is for, on whom it was tried, and what it must not be used for.\n\n"
        f"- Base: {base.hub or base.name}, revision {base.revision or 'none, built on the spot'}\n"
        f"- Trained on {facts['n_train']} examples with seed {task.seed}, by {facts['n_processes']} processes "
        f"under ZeRO-{facts['zero_stage']}, in {seconds:.0f} s\n"
        f"- Kept: {selected}; an item is positive at {threshold:.4g} or above\n\n"
        f"## Made from\n\n{read}\n"
        f"## Settings\n\n{''.join(f'- {name}: `{value}`{chr(10)}' for name, value in settings.items())}\n"
        f"## Versions\n\n{''.join(f'- {name} {version(name)}{chr(10)}' for name in packages)}"
    )
