"""How long Dagster waits for the code location: importing the definitions of the published study, without torch.

The alternative is the same import with torch at the top of a module, which is what the two floors keep out; each is the
fastest of five fresh interpreters.
"""

import subprocess
import sys
import time

from figure import report

REPEATS = 5
LOAD = """
import sys
from m2v.catalog import open_study
from m2v_assets.definitions import build
build(open_study("published"))
"""
CHECK = "sys.exit('torch' in sys.modules)"


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    ours = min(seconds(LOAD + CHECK) for _ in range(REPEATS))
    with_torch = min(seconds("import torch" + LOAD) for _ in range(REPEATS))
    sys.stderr.write(f"code location {ours:.2f} s, with torch {with_torch:.2f} s\n")
    report("load: the published study's code location, without torch", ours, unit="s", target="≤ 2", holds=ours <= 2)


if __name__ == "__main__":
    main()
