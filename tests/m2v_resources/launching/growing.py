"""A program like ours without the weight: it grows some steps, then ends as its spec says."""

import os
import signal
import sys
import time
from pathlib import Path

from m2v.programs import contract, progress
from tests.m2v_resources.launching import tree


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    (out / "starts").open("a", encoding="utf-8").write("x")
    with progress.reporting() as report:
        for step in range(1, spec["steps"] + 1):
            time.sleep(spec["step_s"])
            report.step(step, spec["steps"], unit="leeks", height_cm=step / 2)
    if "items" in spec:
        Path(spec["items"]).read_bytes()
    end(spec["ends"], out)


def end(how: str, out: Path) -> None:
    if how == "well":
        (out / "harvest").write_text("leeks", encoding="utf-8")
        contract.finish(out, files=["harvest"], packages=["polars"], program="growing", n_leeks=3)
    if how == "raises":
        raise ValueError("the soil is dry")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "never":
        sys.argv = ["tree", str(out)]
        tree.main(out, stubborn=False, is_child=False)


if __name__ == "__main__":
    main()
