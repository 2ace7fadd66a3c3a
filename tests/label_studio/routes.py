"""Print every route of Label Studio with what the guard does to annotators there; runs in the server's own Python."""

# pyright: reportMissingImports=false
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(find_spec("label_studio").origin).parent))  # pyright: ignore (as its own command does)

import django

django.setup()

from django.urls import get_resolver  # noqa: E402
from m2v_guard import RULES, route_of  # noqa: E402


def routes(resolver: Any, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        pattern = before + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from routes(each, pattern)
        else:
            yield route_of(pattern)


known = {*routes(get_resolver())}
for route in sorted(known | {*RULES}):
    rule = RULES.get(route)
    does = "refused" if rule is None else f"{'blinded' if rule.blind else 'allowed'} {','.join(rule.methods)}"
    print(f"{route or '(the first page)'}: {does if route in known else 'unknown to the server'}")  # noqa: T201
