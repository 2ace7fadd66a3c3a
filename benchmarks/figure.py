"""One JSON line per figure, the form that every benchmark ends with."""

import json
from pathlib import Path


def report(benchmark: str, figure: float, *, unit: str, target: str, holds: bool) -> None:
    """Print what was measured, in what unit, against which target, and whether the target holds."""
    line = {"benchmark": benchmark, "figure": round(figure, 3), "unit": unit, "target": target, "holds": bool(holds)}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def scratch_folder() -> Path:
    """On the disk where the platform writes by default, and out of sight of git."""
    folder = Path(__file__).parent.parent / "var"
    folder.mkdir(exist_ok=True)
    return folder


def peak_mib() -> float:
    """The highest resident size of this process so far."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
