"""One entry out of its YAML; what is wrong in it is said with the line, the key, and the nearest that is known."""

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from m2v.entries.base import Entry
from m2v.errors import BadInput, InvalidCatalog
from m2v.files import documents

# Wrong keys of one file that an error names, and characters of a value that it quotes.
N_PROBLEMS = 5
N_QUOTED = 40
SUFFIXES = (".yaml", ".yml")
# What pydantic calls a list or a mapping is not what YAML calls it.
SHAPES = {
    "tuple_type": "must be a list, as in [{value}]",
    "list_type": "must be a list, as in [{value}]",
    "string_type": "must be a text; put it in quotes",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
}

EntryT = TypeVar("EntryT", bound=Entry)


def files(folder: Path) -> list[Path]:
    """Return the YAML files that lie in a folder, sorted; none where there is no such folder.

    Raises:
        InvalidCatalog: Two of them say what is called the same.
    """
    found = sorted(path for suffix in SUFFIXES for path in folder.glob(f"*{suffix}"))
    for path, other in itertools.pairwise(found):
        if path.stem == other.stem:
            raise InvalidCatalog(path, f"{other.name} beside it has the same name; remove one of them.")
    return found


def entry(path: Path, adapter: TypeAdapter[EntryT], folder: Path) -> EntryT:
    """Return the entry in a file; its name is the file's, unless it says one.

    Args:
        folder: Where the entry's relative paths start.

    Raises:
        InvalidCatalog: Names the file, and line, key and way out of each of the first problems.
    """
    try:
        data = documents.read_yaml(path)
    except BadInput as error:
        raise InvalidCatalog(path, str(error).removeprefix(f"{path}: ")) from error
    if not isinstance(data, dict):
        raise InvalidCatalog(path, "must be a mapping of keys to values.")
    try:
        made = adapter.validate_python({"name": path.stem, **data})
    except ValidationError as error:
        problems = list(dict.fromkeys(_problems(error, path, adapter)))
        more = f"; and {len(problems) - N_PROBLEMS:,} more" if len(problems) > N_PROBLEMS else ""
        raise InvalidCatalog(path, "; ".join(problems[:N_PROBLEMS]) + more) from error
    made._folder = folder
    return made


def line_of(path: Path, value: str) -> int | None:
    """Return the first line of a YAML file in which this value or key stands; None if none does."""
    return next((line for text, line in documents.scalars(path) if text == value), None)


def where(name: str, study: Path) -> str | None:
    """Return file and line in which a name stands, in a study or in the entries beside it."""
    kinds = ("memes", "videos", "models", "sources", "prompts", "operators", "probes", "suites")
    for path in (study, *(file for kind in kinds for file in files(study.parent / kind))):
        line = line_of(path, name)
        if line:
            return f"{path}, line {line}"
    return None


@dataclass(frozen=True)
class Place:
    """Where in a document a problem is.

    Attributes:
        keys: Keys and numbers that lead there.
        line: Counted from 1.
        value: The scalar there, where it is one.
    """

    keys: tuple[str | int, ...]
    line: int
    value: str | None

    @property
    def name(self) -> str:
        """For example ``training.0.seeds``."""
        return ".".join(map(str, self.keys))


def _problems(error: ValidationError, path: Path, adapter: TypeAdapter) -> Iterator[str]:
    root = documents.nodes(path)
    schema = adapter.json_schema()
    told = [(problem, _place(root, problem)) for problem in error.errors()]
    for problem, place in told:
        # Of several forms that a value may have, the one counts of which most could be read.
        is_other_form = any(
            len(other.keys) > len(place.keys) and other.keys[: len(place.keys)] == place.keys for _, other in told
        )
        if not (is_other_form and place.value is None and place.keys):
            yield f"line {place.line}, {_problem(problem, place, schema, root)}"


def _problem(problem: Any, place: Place, schema: dict[str, Any], root: yaml.Node) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    own = _keys(schema, place.keys[:-1], root) if place.keys else []
    if kind == "extra_forbidden":
        return f"{place.name}: there is no such key. {_nearest(str(place.keys[-1]), own)}"
    if kind == "missing":
        return f"{place.name}: this key is missing"
    if kind == "union_tag_not_found":
        return f"{place.name}: this key is missing"
    quoted = f", not {place.value[:N_QUOTED]!r}" if place.value is not None else ""
    if kind in {"literal_error", "union_tag_invalid"}:
        tags = re.findall(r"'([^']*)'", context.get("expected") or context.get("expected_tags") or "")
        if tags and place.value is not None:
            return f"{place.name}: {place.value[:N_QUOTED]!r} is not known. {_nearest(place.value, tags)}"
    if kind in SHAPES:
        return f"{place.name}: {SHAPES[kind].format(value=(place.value or '…')[:N_QUOTED])}{quoted}"
    # What a validator of ours says begins with pydantic's word for it.
    words = " ".join(problem["msg"].removeprefix("Value error, ").split())
    return f"{place.name or 'the file'}: {words}{quoted}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"Did you mean {', '.join(near)}? {_allowed(known)}" if near else _allowed(known)


def _allowed(known: Sequence[str]) -> str:
    return f"Known there: {', '.join(known)}" if known else "Nothing is known there"


def _place(root: yaml.Node, problem: Any) -> Place:
    """Return where an error is; parts of its location that name a form of a value lead nowhere in the file."""
    loc = problem["loc"]
    if problem["type"].startswith("union_tag"):
        loc = (*loc, problem["ctx"]["discriminator"].strip("'"))
    node, line, keys = root, root.start_mark.line + 1, []
    for part in loc:
        below = _child(node, part)
        if below:
            line, node = below
            keys.append(part)
    if problem["type"] in {"missing", "union_tag_not_found"}:
        return Place((*keys, loc[-1]), line, None)
    return Place(tuple(keys), line, node.value if isinstance(node, yaml.ScalarNode) else None)


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    """Return the line and the value of a mapping's key or of a list's place."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key.start_mark.line + 1, value
    return None


def _keys(schema: dict[str, Any], keys: Sequence[str | int], root: yaml.Node) -> list[str]:
    """Return the keys that a mapping may have, in their order; of several forms of it those of all."""
    forms, node = _forms(schema, schema, root), root
    for key in keys:
        below = _child(node, key)
        node = below[1] if below else yaml.ScalarNode("", "")
        step = [
            form.get("properties", {}).get(str(key))
            or form.get("additionalProperties")
            or (form.get("items") if isinstance(key, int) else None)
            for form in forms
        ]
        forms = [each for form in step if isinstance(form, dict) for each in _forms(form, schema, node)]
    return list(dict.fromkeys(name for form in forms for name in form.get("properties", {})))


def _forms(schema: dict[str, Any], root: dict[str, Any], node: yaml.Node) -> list[dict[str, Any]]:
    """Return what a part of a JSON schema stands for: itself, what it refers to, or each of several forms."""
    if "$ref" in schema:
        return _forms(root["$defs"][schema["$ref"].rpartition("/")[2]], root, node)
    chosen = schema.get("discriminator")
    if chosen:
        tag = _child(node, chosen["propertyName"])
        named = chosen["mapping"].get(tag[1].value) if tag and isinstance(tag[1], yaml.ScalarNode) else None
        if named:
            return _forms({"$ref": named}, root, node)
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [form for each in several for form in _forms(each, root, node)] if several else [schema]
