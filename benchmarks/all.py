"""Runs every benchmark by itself and writes the table in ``docs/performance.md``."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
NAMES = ["load", "plan", "store", "voting", "rounds", "audit", "frames", "labelling", "training", "rerun"]
NAMES += ["hosts", "scale"]


def figures(name: str) -> list[dict]:
    """Run one benchmark; give its figures."""
    sys.stderr.write(f"== {name}\n")
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def machine() -> str:
    """Processor, cores, memory and versions."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    n_cores = flags and Path("/proc/cpuinfo").read_text().count("processor\t")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "polars", "dagster"))
    return (
        f"{cpu}, {n_cores} cores, {memory:.0f} GiB, Linux, Python {platform.python_version()}, {packages}; no GPU used"
    )


def write(found: list[dict]) -> None:
    """Put the figures, with the machine named, into the page."""
    rows = [
        f"| {each['benchmark']} | {each['figure']:g} {each['unit']} | {each['target']} "
        f"| {'yes' if each['holds'] else '**no**'} |"
        for each in found
    ]
    head = [BEGIN, "", f"Machine: {machine()}.", "", "| what | figure | target | holds |", "|---|---|---|---|"]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + "\n".join([*head, *rows, "", END]) + rest.partition(END)[2], encoding="utf-8")


def main() -> None:
    found = [figure for name in NAMES for figure in figures(name)]
    write(found)
    sys.exit(0 if all(each["holds"] for each in found) else 1)


if __name__ == "__main__":
    main()
