"""An audit as one HTML file that needs nothing else: the rows, and the graph drawn as SVG."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from m2v import schemas
from m2v.lineage.graph import Node

BOX_WIDTH_PX, BOX_HEIGHT_PX, GAP_PX = 210, 42, 26
# So many characters of a variant fit into a box; its title has the rest.
N_NAME = 30
# A longer list of numbers is a vector, which nobody reads.
N_NUMBERS = 6


def page(story: Mapping[str, Any], nodes: list[Node]) -> str:
    """Return the page. Everything is escaped; hidden columns, where the story has them, stay folded until clicked."""
    from jinja2 import Environment, StrictUndefined

    template = files("m2v.lineage").joinpath("audit.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["value"] = value
    hidden = sorted({column for table in schemas.TABLES.values() for column in table.hidden})
    release = story.get("release", {})
    title = story.get("run") or ("{repo}@{tag}".format(**release) if release else story["item"])
    drawing = layout(nodes)
    return environment.from_string(template).render(
        title=title, story=story, rows=story.get("rows", []), hidden=hidden, drawing=drawing
    )


def value(entry: object) -> object:
    """Return what a row holds as people read it: of a vector how many numbers."""
    is_vector = isinstance(entry, list) and len(entry) > N_NUMBERS and all(isinstance(x, int | float) for x in entry)
    return f"{len(entry):,} numbers" if isinstance(entry, list) and is_vector else entry


def layout(nodes: list[Node]) -> dict[str, Any]:
    """Boxes in columns by distance from the sources, and the lines between them, in pixels."""
    depths = _depths(nodes)
    taken: dict[int, int] = {}
    boxes: dict[str, dict[str, Any]] = {}
    for name in sorted(depths, key=lambda version: (depths[version], version)):
        row = taken.get(depths[name], 0)
        taken[depths[name]] = row + 1
        boxes[name] = {
            "name": name,
            "table": name.partition("/")[0],
            "variant": _shortened(name.partition("/")[2]),
            "x": GAP_PX + depths[name] * (BOX_WIDTH_PX + GAP_PX),
            "y": GAP_PX + row * (BOX_HEIGHT_PX + GAP_PX),
        }
    lines = [
        {
            "x1": boxes[parent]["x"] + BOX_WIDTH_PX,
            "y1": boxes[parent]["y"] + BOX_HEIGHT_PX // 2,
            "x2": boxes[node.name]["x"],
            "y2": boxes[node.name]["y"] + BOX_HEIGHT_PX // 2,
        }
        for node in nodes
        for parent in node.parent_names
        if parent in boxes
    ]
    return {
        "boxes": list(boxes.values()),
        "lines": lines,
        "width": GAP_PX + (max(depths.values(), default=0) + 1) * (BOX_WIDTH_PX + GAP_PX),
        "height": GAP_PX + max(taken.values(), default=0) * (BOX_HEIGHT_PX + GAP_PX),
        "box_width": BOX_WIDTH_PX,
        "box_height": BOX_HEIGHT_PX,
    }


def _shortened(name: str) -> str:
    return name if len(name) <= N_NAME else f"{name[: N_NAME // 2 - 1]}…{name[-N_NAME // 2 :]}"


def _depths(nodes: list[Node]) -> dict[str, int]:
    depths = {node.name: 0 for node in nodes}
    # A parent is claimed before its child, so there are no circles and at most as many rounds as nodes.
    for _ in nodes:
        for node in nodes:
            above = [depths[parent] + 1 for parent in node.parent_names if parent in depths]
            depths[node.name] = max(above, default=0)
    return depths
