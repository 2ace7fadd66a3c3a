"""Imports of torch and what stands on it, without what only slows them down."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# transformers, peft and accelerate import these wherever they are installed, to offer what we do not use: 2 of 7 s.
OFFERED = ("bitsandbytes", "datasets", "pandas", "scipy", "sklearn")


@contextmanager
def imports(*, quantisation: str = "none") -> Iterator[None]:
    """Import what the block imports, as if packages that we do not use with it were not installed.

    Garbage is not collected meanwhile, nor looked for later among what was imported, which took a fifth of the time.
    What is imported already stays. After the block our own code can import what was hidden.

    Args:
        quantisation: Of the model that is going to be loaded; bitsandbytes is hidden only from those without.
    """
    needed = {"bitsandbytes"} if quantisation != "none" else set()
    hidden = [name for name in OFFERED if name not in sys.modules and name not in needed]
    collects = gc.isenabled()
    gc.disable()
    # So marked in sys.modules, a package is found neither by `import` nor by `importlib.util.find_spec`.
    sys.modules.update(dict.fromkeys(hidden))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if collects:
            gc.freeze()
            gc.enable()
