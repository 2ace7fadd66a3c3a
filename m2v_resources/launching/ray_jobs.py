"""Programs as jobs of a Ray cluster, by the REST API of Ray's job server.

Not by Ray's own client: that has no time limit, so that a silent head would be waited for for ever, and it would bring
Ray into the code location.
"""

import shlex
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from m2v.errors import ClusterError, SilentCluster
from m2v.files.checkout import CHECKOUT
from m2v.files.whole import write
from m2v_resources.launching.program import LOG, Program

if TYPE_CHECKING:
    import httpx

# In a program's folder: the name of the last job that was started for it.
JOB = ".job"
TIMEOUT_S = 15.0
# So long the head may be silent, while it is restarted, before its jobs count as lost.
PATIENCE_S = 300.0
# A job that is told to stop gets three seconds from Ray before it is killed.
STOP_S = 30.0
POLL_S = 0.5
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
# As a shell calls a job that got TERM.
STOPPED = 143


class Ray:
    """A Ray cluster.

    Args:
        address: Of its dashboard, for example ``http://head:8265``.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        place = urlsplit(self.address)
        if place.scheme not in {"http", "https"} or not place.hostname:
            raise ClusterError(f"{address!r} is no address of Ray's dashboard; it must be like http://head:8265.")

    def ready(self) -> None:
        """Raise unless its head answers."""
        self.ask("GET", "/api/version")

    def find(self, program: Program) -> "RayJob | None":
        """Return the job for this folder that still works."""
        try:
            name = (program.out / JOB).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        job = RayJob(self, name, log=program.out / LOG)
        return None if job.has_ended() else job

    def start(self, program: Program) -> "RayJob":
        """Return a job of the cluster."""
        spreads, n = program.spreads, program.n_processes or 1
        gpus = program.gpus if spreads else program.gpus * n
        self._refuse_without(gpus, program)
        environment = program.on_a_cluster() | {"RAY_USAGE_STATS_ENABLED": "0"}
        if spreads:
            environment |= {"M2V_SPREAD": "ray", "M2V_GPUS": str(program.gpus)}
        # What it says stands where it does on one machine, and is there when the cluster is gone.
        log = shlex.quote(str(program.out / LOG))
        # Ray mixes up two jobs that had one name, even where the first was deleted.
        name = f"{program.name}-{uuid.uuid4().hex[:8]}"
        body = {
            "submission_id": name,
            "entrypoint": f"cd {shlex.quote(str(CHECKOUT))} && exec {shlex.join(program.command)} >> {log} 2>&1",
            "runtime_env": {"env_vars": environment},
            # One that spreads its items only plans and waits.
            "entrypoint_num_cpus": 0 if spreads else n,
            "entrypoint_num_gpus": 0 if spreads else gpus,
        }
        # Before Ray hears of it: what is named here and unknown there was never started.
        write(program.out / JOB, name.encode())
        self.ask("POST", "/api/jobs/", json=body)
        return RayJob(self, name, log=program.out / LOG)

    def ask(self, method: str, path: str, **given: Any) -> "httpx.Response":
        """Return what the job server answers; 404 is an answer.

        Raises:
            ClusterError: It does not, or refuses.
        """
        import httpx

        try:
            answer = httpx.request(method, self.address + path, timeout=TIMEOUT_S, **given)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SilentCluster(
                f"Ray at {self.address} does not answer ({type(error).__name__}). Start it (`ray start --head`), or "
                "say where it is: M2V_LAUNCHER=ray:http://HEAD:8265."
            ) from error
        if answer.status_code >= HTTPStatus.BAD_REQUEST and answer.status_code != HTTPStatus.NOT_FOUND:
            reason = (answer.text.strip().splitlines() or ["no reason"])[-1][:300]
            raise ClusterError(f"Ray at {self.address} refuses {method} {path} with {answer.status_code}: {reason}")
        return answer

    def _refuse_without(self, gpus: float, program: Program) -> None:
        """Raise unless the cluster has so many GPUs, on whichever hosts: Ray would wait for them for ever.

        Raises:
            ClusterError: It has not.
        """
        if not gpus:
            return
        report = self.ask("GET", "/api/cluster_status").json()["data"]["clusterStatus"] or {}
        usage = (report.get("loadMetricsReport") or {}).get("usage") or {}
        _, total = usage.get("GPU", (0, 0))
        if total < gpus:
            raise ClusterError(
                f"{program.module} takes {gpus:g} GPUs, the Ray cluster at {self.address} has {total:g}. Start a host "
                "with GPUs, or say in the model's YAML what a replica of it takes (`gpus: 0` is a CPU)."
            )


class RayJob:
    """A job of a Ray cluster."""

    def __init__(self, ray: Ray, name: str, *, log: Path) -> None:
        self.ray, self.name, self.log = ray, name, log
        self.heard_at = time.monotonic()

    def status(self) -> dict[str, Any] | None:
        """Return what Ray says of it; None where it knows no such job."""
        answer = self.ray.ask("GET", f"/api/jobs/{self.name}")
        return None if answer.status_code == HTTPStatus.NOT_FOUND else answer.json()

    def wait(self, seconds: float) -> int | None:
        """Its exit code, where it has ended after that time."""
        time.sleep(seconds)
        try:
            status = self.status()
        except SilentCluster:
            if time.monotonic() - self.heard_at > PATIENCE_S:
                raise
            return None
        self.heard_at = time.monotonic()
        if status is None:
            raise ClusterError(
                f"Ray at {self.ray.address} has forgotten the job {self.name}: its head was restarted. Run again; "
                "what was kept is not done twice."
            )
        if status["status"] not in ENDED:
            return None
        return self._exit_code(status)

    def stop(self) -> None:
        """Stop it, where it has not ended."""
        if self.has_ended():
            return
        self.ray.ask("POST", f"/api/jobs/{self.name}/stop")
        deadline = time.monotonic() + STOP_S
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def has_ended(self) -> bool:
        """Whether it works no more, or is not known."""
        status = self.status()
        return status is None or status["status"] in ENDED

    def _exit_code(self, status: dict[str, Any]) -> int:
        if status["status"] == "SUCCEEDED":
            return 0
        if status["status"] == "STOPPED":
            return STOPPED
        code = status.get("driver_exit_code")
        if code is None:
            # Its host died before it could say anything.
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"Ray: {' '.join(str(status.get('message') or 'the job failed').split())[:500]}\n")
            return 1
        return code if code >= 0 else 128 - code
