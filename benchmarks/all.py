"""Runs each benchmark by itself and writes the table in ``docs/performance.md``.

``python benchmarks/all.py [NAME …]``: all of them, or those named, whose rows take the place of their old ones.
"""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
NAMES = ["load", "reading", "plan", "store", "voting", "rounds", "audit", "frames", "labelling", "training", "rerun"]
NAMES += ["detectors", "hosts", "scale"]


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


def write(measured: dict[str, list[dict]]) -> None:
    """Put the figures, with the machine named, into the page; rows of benchmarks that were not run stay."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {name: [line for line in old.splitlines() if line.startswith(f"| {name}:")] for name in NAMES}
    rows |= {name: [row(figure) for figure in figures] for name, figures in measured.items()}
    head = [BEGIN, "", f"Machine: {machine()}.", "", "| what | figure | target | holds |", "|---|---|---|---|"]
    lines = [*head, *(line for name in NAMES for line in rows[name]), "", END]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def row(figure: dict) -> str:
    """A line of the table."""
    holds = "yes" if figure["holds"] else "**no**"
    return f"| {figure['benchmark']} | {figure['figure']:g} {figure['unit']} | {figure['target']} | {holds} |"


def main() -> None:
    if unknown := set(sys.argv[1:]) - set(NAMES):
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
    measured = {name: figures(name) for name in sys.argv[1:] or NAMES}
    write(measured)
    sys.exit(0 if all(figure["holds"] for rows in measured.values() for figure in rows) else 1)


if __name__ == "__main__":
    main()
