"""What the team's machine and a cluster cost over the plain command: the queue, Ray, object storage.

The queue, here: the same seven assets by ``m2v run`` and by a run that the webserver puts into the queue, the daemon
takes off it and the code location works on, all with their stores in a real Postgres; as in docker-compose.yml, started
without Docker. The other two: ``hosts_ray.py``, ``hosts_storage.py``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hosts_ray
import hosts_storage
from figure import report

if TYPE_CHECKING:
    from tests.team.machine import Machine

M2V = str(Path(sys.executable).with_name("m2v"))
STUDY = "sample-recorded"
REPEATS = 3


def direct(folder: Path) -> tuple[float, list[str]]:
    """Seconds of ``m2v run`` in an empty home, and the assets that it made."""
    began = time.perf_counter()
    done = subprocess.run(
        [M2V, "run", "--study", STUDY, "--select", "voted_labels", "--json"],
        env={**os.environ, "M2V_HOME": str(folder / "home")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - began, json.loads(done.stdout.splitlines()[-1])["assets"]


def queued(machine: "Machine", assets: list[str]) -> float:
    """Seconds from asking for a run of these assets to its end."""
    began = time.perf_counter()
    run = machine.launch(*assets)
    while True:
        status = machine.ask(f'{{ runOrError(runId: "{run}") {{ ... on Run {{ status }} }} }}')["runOrError"]["status"]
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            assert status == "SUCCESS", run
            return time.perf_counter() - began
        time.sleep(0.2)


def queue() -> None:
    """The overhead of the queue per asset."""
    # The tests know how to start docker-compose.yml without Docker.
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.team.machine import Machine

    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        plain = [direct(Path(scratch) / f"direct-{n}") for n in range(REPEATS)]
        seconds, assets = min(plain)
        with Machine(Path(scratch) / "machine", M2V_STUDY=STUDY) as machine:
            machine.start("postgres", "code", "webserver", "daemon")
            # Its first run also makes the sources, as each direct run does.
            through = min(queued(machine, assets) for _ in range(REPEATS))
    overhead = (through - seconds) / len(assets)
    report(f"hosts: {len(assets)} assets through the queue", through, unit="s", target="–", holds=True)
    report(f"hosts: {len(assets)} assets by m2v run", seconds, unit="s", target="–", holds=True)
    report("hosts: overhead of the queue per asset", overhead, unit="s", target="≤ 2", holds=overhead <= 2)


def main() -> None:
    queue()
    hosts_ray.main()
    hosts_storage.main()


if __name__ == "__main__":
    main()
