"""YAML and JSON from outside, read within limits: what is wrong is one line with the file and the place.

A file that was made to hurt costs no more than an honest one: its size, its depth, and what its aliases stand for are
counted before anything is built.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from m2v.errors import BadInput

if TYPE_CHECKING:
    from yaml import SafeLoader
else:  # libyaml's is ten times as fast, and there wherever PyYAML comes as a wheel.
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The largest of ours has 8 KB; libyaml reads this much in a quarter of a second.
MAX_YAML_BYTES = 1 << 18
# Scalars, lists and mappings, with each alias counted as all that it stands for.
MAX_NODES = 50_000
MAX_DEPTH = 20
# Characters of a key that an error quotes.
N_QUOTED = 40


class Loader(SafeLoader):
    """PyYAML's safe loader, which says where a value stands that it cannot make."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping.

        Raises:
            ConstructorError: A key stands twice in it, so that one value would be lost.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"repeats {key.value[:N_QUOTED]!r}; one of them would be lost"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value.

        Raises:
            ConstructorError: It looks like a number or a date and is none.
        """
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            problem = "is read as a number or a date, and is none; put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        BadInput: It cannot be read, is no YAML, or is larger or deeper than any honest one.
    """
    text = _text(path, "YAML", max_bytes=MAX_YAML_BYTES)
    return parsed_yaml(text, where=path)


def parsed_yaml(text: str, *, where: Path | str) -> Any:
    """Return what a YAML text holds; ``where`` is the file that errors name."""
    try:
        _measure(text)
        return yaml.load(text, Loader=Loader)  # noqa: S506 (a safe one) # nosec B506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem).split())
        if mark and text.splitlines()[mark.line : mark.line + 1] and "\t" in _indent(text.splitlines()[mark.line]):
            problem = "a tab stands in front of it; YAML indents with spaces"
        elif problem.startswith("mapping values are not allowed"):
            problem = "a colon stands within a text; put the text in quotes"
        raise BadInput(where, f"cannot be read as YAML{place}: {problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "reason", None) or "it is nested too deeply"
        raise BadInput(where, f"cannot be read as YAML: {' '.join(str(problem).split())}.") from error


def nodes(path: Path) -> yaml.Node:
    """Return the tree of a YAML file that `read_yaml` could read, in which every value knows its line."""
    node = yaml.compose(_text(path, "YAML", max_bytes=MAX_YAML_BYTES), Loader=Loader)
    assert node is not None
    return node


def scalars(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each key and value of a YAML file that is no list or mapping, with its line, from 1."""
    for event in yaml.parse(_text(path, "YAML", max_bytes=MAX_YAML_BYTES), Loader=Loader):
        if isinstance(event, yaml.ScalarEvent):
            yield event.value, event.start_mark.line + 1


def read_json(path: Path, *, max_bytes: int | None = None) -> Any:
    """Return what a JSON file holds.

    Raises:
        BadInput: It cannot be read, or is no JSON.
    """
    return parsed_json(_text(path, "JSON", max_bytes=max_bytes), where=path)


def parsed_json(text: str | bytes, *, where: Path | str, row: int | None = None) -> Any:
    """Return what a JSON text holds; ``where`` and ``row`` are the file and the line that errors name."""
    try:
        return json.loads(text, object_pairs_hook=once_each)
    except Repeated as error:
        raise BadInput(where, f"repeats {str(error)[:N_QUOTED]!r}; one of them would be lost.", row=row) from None
    # Python's own limits: of the depth, and of a whole number's digits (a ValueError, as is what is no UTF-8).
    except (ValueError, RecursionError) as error:
        place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(where, f"is not valid JSON{place}.", row=row) from error


class Repeated(Exception):
    """A key that stands twice in an object."""


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's pairs as a dict.

    Raises:
        Repeated: A key stands twice, so that one value would be lost.
    """
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        raise Repeated(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return data


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _text(path: Path, kind: str, *, max_bytes: int | None) -> str:
    try:
        with path.open("rb") as file:
            content = file.read() if max_bytes is None else file.read(max_bytes + 1)
        if max_bytes is not None and len(content) > max_bytes:
            raise BadInput(path, f"has more than {max_bytes:,} bytes, which no {kind} of M2V's needs.")
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(path, f"cannot be read as {kind}: byte {error.start + 1} is not UTF-8.") from error
    except OSError as error:
        raise BadInput(path, f"cannot be read as {kind}: {error.strerror}.") from error


def _measure(text: str) -> None:
    """Count what the text stands for, by its events, which nest nothing and copy nothing.

    Raises:
        MarkedYAMLError: It is too deep or too much.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            is_itself = any(anchor == event.anchor for anchor, _ in opened)
            total += MAX_NODES if is_itself else sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        for is_over, problem in (
            (len(opened) > MAX_DEPTH, f"lists and mappings nest more than {MAX_DEPTH} deep"),
            (total > MAX_NODES, f"it stands for more than {MAX_NODES:,} values, or for itself"),
        ):
            if is_over:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
