"""A program that says what it was given, and ends as it is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def tell(*_: str) -> None:
    print(  # noqa: T201
        json.dumps(
            {
                "arguments": sys.argv[1:],
                "input": sys.stdin.read(),
                "folder": str(Path.cwd()),
                "peas": os.environ["PEAS"],
                "name": __name__,
                "path": sys.path,
                "cores": sorted(os.sched_getaffinity(0)),
                # But for the one that lists them, and the end of the pipe by which a fork hears of its stand-in.
                "n_open": len(os.listdir("/proc/self/fd")) - 1 - is_warm(),  # noqa: PTH208
            }
        )
    )


def look() -> None:
    """Look around on the host."""
    about = {
        "host": socket.gethostname(),
        "networks": [name for _, name in socket.if_nameindex()],
        "processes": [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()],
        "number": os.getpid(),
    }
    print(json.dumps(about))  # noqa: T201


def is_warm() -> bool:
    return "M2V_TESTS_STARTED_WARM" in os.environ


def end(how: str) -> None:
    if how == "raise":
        raise ValueError("the soil is dry")
    sys.exit(int(how) if how.isdigit() else how)


def die(number: str) -> None:
    os.kill(os.getpid(), int(number))
    time.sleep(60)


def hear(number: str) -> None:
    def heard(*_: object) -> None:
        print("heard")  # noqa: T201
        sys.exit(5)

    signal.signal(int(number), heard)
    print("ready", flush=True)  # noqa: T201
    time.sleep(60)


def grow(path: str) -> None:
    with Path(path).open("ab", buffering=0) as file:
        while True:
            file.write(b"x")


def start(path: str) -> None:
    subprocess.run([sys.executable, "-m", __spec__.name, "grow", path], check=True)


def warm() -> None:
    print("warm" if is_warm() else "true")  # noqa: T201


def polars(number: str) -> None:
    import polars as pl

    print(pl.select(pl.lit(int(number))).item())  # noqa: T201


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
