"""torchvision on machines where its compiled operators do not match the installed torch.

transformers imports torchvision wherever it is installed, and torchvision's import dies if ``torchvision::nms`` has no
schema, for example beside a CPU build of torch of another origin. Nothing here uses these operators, so declaring them
is enough. Where the compiled ones load, nothing is declared.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

# As torchvision 0.28 registers them; the two that its import needs.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []


class BeforeTorchvision(MetaPathFinder):
    """Looks at the operators when somebody, mostly transformers, imports torchvision, and not before."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """None, always: torchvision is found by whoever comes next."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(name)
            if spec and spec.submodule_search_locations:
                declare_missing(Path(spec.submodule_search_locations[0]))
        return None


def declare_missing(folder: Path) -> None:
    """Declare the operators whose compiled code cannot be loaded from torchvision's folder."""
    import torch

    compiled = next(iter(sorted(folder.glob("_C*"))), None)
    try:
        if compiled is None:
            raise OSError("no compiled operators")
        torch.ops.load_library(str(compiled))
    except OSError:
        # Kept referenced: the declaration goes when the library object does.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)


def watch() -> None:
    """Have every later import of torchvision in this process begin with a look at its operators."""
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision"):
        sys.meta_path.insert(0, BeforeTorchvision())
