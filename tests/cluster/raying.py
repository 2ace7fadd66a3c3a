"""A real Ray cluster on this machine: a head that does no work, and workers with a CPU each, that a test can kill."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from m2v.files.checkout import CHECKOUT
from tests.conftest import free_port
from tests.patience import PATIENCE_S

RAY = str(Path(sys.executable).with_name("ray"))
START_S = 240.0
STORE_BYTES = 100_000_000


class Host:
    """One host of the cluster: Ray's processes, in a boundary that nothing outlives."""

    def __init__(self, *settings: str, log: Path, environment: dict[str, str]) -> None:
        self.settings, self.log, self.environment = settings, log, environment
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        ports = [f"--dashboard-agent-listen-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0"]
        sizes = [f"--object-store-memory={STORE_BYTES}", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        ray = [RAY, "start", "--block", *sizes, *ports, *self.settings]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "m2v_resources.launching.reaper", "--", *ray],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=CHECKOUT,
            )

    def start_again_if_ended(self) -> None:
        if self.process.poll() is not None:
            self.process = self._start()

    def kill(self) -> None:
        """``kill -9`` of all that it is made of, as when a host loses its power."""
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(PATIENCE_S)


class Cluster:
    """A head, and as many workers as a test wants.

    Args:
        folder: For the log.
        environment: Of all hosts, besides ours.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.log = folder / "ray.log"
        self.environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environment, "RAY_USAGE_STATS_ENABLED": "0"}
        self.gcs, dashboard = free_port(), free_port()
        self.url = f"http://127.0.0.1:{dashboard}"
        # Paths of sockets may not be long.
        self.scratch = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        self.head = Host(
            "--head",
            "--num-cpus=0",
            f"--port={self.gcs}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            f"--ray-client-server-port={free_port()}",
            f"--temp-dir={self.scratch.name}",
            log=self.log,
            environment=self.environment,
        )
        self.hosts: list[Host] = []

    def grow(self, n: int) -> None:
        """So many more workers, ready, one after the other."""
        for _ in range(n):
            wanted, address = self.n_cpus() + 1, f"--address=127.0.0.1:{self.gcs}"
            self.hosts.append(Host(address, "--num-cpus=1", log=self.log, environment=self.environment))
            self.wait(wanted)

    def wait(self, n_cpus: int) -> None:
        """Until the cluster has so many; a host that did not come up in Ray's half a minute is started anew."""
        deadline = time.monotonic() + START_S
        while self.n_cpus() != n_cpus:
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")[-4000:]
            for host in [self.head, *self.hosts]:
                host.start_again_if_ended()
            time.sleep(0.2)

    def n_cpus(self) -> int:
        """Of all hosts; -1 where the head does not answer yet."""
        with contextlib.suppress(httpx.HTTPError, KeyError, TypeError):
            status = httpx.get(f"{self.url}/api/cluster_status", timeout=10).json()["data"]["clusterStatus"]
            return int(status["loadMetricsReport"]["usage"].get("CPU", (0, 0))[1])
        return -1

    def jobs(self) -> dict[str, str]:
        """What became of each job."""
        return {each["submission_id"]: each["status"] for each in httpx.get(f"{self.url}/api/jobs/").json()}

    def __enter__(self) -> "Cluster":
        self.wait(0)
        return self

    def __exit__(self, *_: object) -> None:
        for host in [*self.hosts, self.head]:
            host.stop()
        self.scratch.cleanup()
