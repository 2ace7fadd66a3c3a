"""The accelerators of this machine, asked of the driver: importing torch takes seconds."""

import shutil
import subprocess


def memories_gib() -> list[float]:
    """Return each NVIDIA GPU's memory in GiB; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    asked = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20).stdout
    return [float(line) / 1024 for line in listed.splitlines() if line.strip().isdigit()]
