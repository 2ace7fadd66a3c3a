"""The team's machine without a Docker engine: the commands of docker-compose.yml, started here on loopback.

What Docker would do around them is done here: names and ports become addresses of this machine, mounts become folders,
secrets files; services start when those they depend on are healthy; each lives in a boundary of its own, in which
nothing survives its main process; and what ends is started again.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from m2v.files.checkout import CHECKOUT
from tests import warm
from tests.conftest import free_port
from tests.patience import PATIENCE_S

NOBODY = 65534
START_S = 300.0
# A service that ends again and again will not come.
N_STARTS = 20
PROGRAMS = (Path(sys.executable).parent, CHECKOUT / "label_studio" / ".venv" / "bin")


def resolved(environment: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml as docker-compose reads it."""
    done = subprocess.run(
        ["docker-compose", "--file", str(CHECKOUT / "docker-compose.yml"), "config"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


class Machine:
    """Every service of docker-compose.yml in a folder.

    Args:
        folder: Volumes, secrets and logs; a machine that starts in another one's folder goes on with what is there.
        environment: What a user sets for `make up`.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.home, self.secrets = folder, folder / "volumes" / "home", folder / "secrets"
        make = ["make", "--no-print-directory", "secrets"]
        subprocess.run(make, env={**os.environ, "M2V_SECRETS_DIR": str(self.secrets)}, cwd=CHECKOUT, check=True)
        ui, label_studio = free_port(), free_port()
        ours = {
            "M2V_SECRETS_DIR": str(self.secrets),
            "M2V_UI_PORT": str(ui),
            "M2V_LABEL_STUDIO_PORT": str(label_studio),
        }
        ours["M2V_LABEL_STUDIO_URL"] = self.label_studio = f"http://127.0.0.1:{label_studio}"
        self.ui = f"http://127.0.0.1:{ui}"
        self.file = resolved({**ours, **environment})
        self.services: dict[str, Service] = {}
        self.ports = {each: free_port() for each in sorted(self._named_ports())} | dict(self._published())

    def _published(self) -> Iterator[tuple[tuple[str, str], int]]:
        """A service's port, and where this machine shows it."""
        for name, service in self.file["services"].items():
            for port in service.get("ports", []):
                address, outside, inside = str(port).partition("/")[0].split(":")
                assert address == "127.0.0.1"
                yield (name, inside), int(outside)

    def _named_ports(self) -> Iterator[tuple[str, str]]:
        """Each service's ports by which others name it."""
        for service in self.file["services"].values():
            for value in service.get("environment", {}).values():
                yield from re.findall(self._address, str(value))

    @property
    def _address(self) -> str:
        return rf"\b({'|'.join(self.file['services'])}):(\d+)\b"

    def here(self, text: str, *, service: str) -> str:
        """A value of the file, as it is on this machine."""
        text = re.sub(self._address, lambda found: f"127.0.0.1:{self.ports[found[1], found[2]]}", text)
        # A path that the service does not have itself is one that it tells another of.
        others = {inside: path for name in self.file["services"] for inside, path in self.mounts(name).items()}
        for inside, outside in sorted((others | self.mounts(service)).items(), reverse=True):
            text = re.sub(rf"^{inside}(?=/|$)", str(outside), text)
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 (that it is not listened on is the point)
        own = {port: number for (name, port), number in self.ports.items() if name == service}
        all_ports = {port: number for (_, port), number in self.ports.items()} | own
        if text in all_ports:
            return str(all_ports[text])
        return re.sub(r"(?<=http://127\.0\.0\.1:)(\d+)", lambda found: str(own.get(found[1], found[1])), text)

    def mounts(self, service: str) -> dict[str, Path]:
        """Folders and files of this machine by where the service sees them."""
        found = {"/run/secrets": self.secrets}
        for mount in self.file["services"][service].get("volumes", []):
            source, target = str(mount).split(":")[:2]
            found[target] = Path(source) if source.startswith("/") else self.folder / "volumes" / source
        return found

    def environment(self, service: str) -> dict[str, str]:
        """What the service sees; nothing of ours but where programs are."""
        given = self.file["services"][service].get("environment", {})
        found = {name: self.here(str(value), service=service) for name, value in given.items()}
        found |= {
            name: "127.0.0.1" for name, value in given.items() if name.endswith("_HOST") and "/" not in str(value)
        }
        postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        paths = [*PROGRAMS, *postgres, "/usr/local/bin", "/usr/bin", "/bin"]
        # What the images set, but for PYTHONDONTWRITEBYTECODE: what they hold was compiled when they were built.
        image = {"PYTHONUNBUFFERED": "1"}
        if service == "label-studio":
            image |= {"PYTHONPATH": str(CHECKOUT / "label_studio"), "DJANGO_SETTINGS_MODULE": "m2v_settings"}
        return {**image, **found, "PATH": ":".join(map(str, paths))}

    def command(self, service: str, words: list[str]) -> list[str]:
        """A command of the file, for this machine."""
        found = [words[0], *(self.here(str(word), service=service) for word in words[1:])]
        return [shutil.which(found[0], path=self.environment(service)["PATH"]) or found[0], *found[1:]]

    def start(self, *services: str) -> None:
        """Start services, all by default, each when those before it are healthy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in services or self.order():
            about = self.file["services"][name]
            for path in self.mounts(name).values():
                if not path.exists():
                    path.mkdir(parents=True)
            self._nest(name)
            command = self.command(name, about["command"])
            if name == "postgres":
                command = self._postgres(command)
            self.services[name] = Service(name, command, self.environment(name), folder=self.folder)
            self.wait_healthy(name)

    def _nest(self, service: str) -> None:
        """Show a volume that is mounted below another one there, as Docker does."""
        mounts = self.mounts(service)
        for outer, folder in mounts.items():
            for inner, path in mounts.items():
                link = folder / inner.removeprefix(f"{outer}/")
                if inner.startswith(f"{outer}/") and not link.is_symlink():
                    # Relative, so that a restored home has its own.
                    link.symlink_to(os.path.relpath(path, folder))

    def order(self) -> list[str]:
        """Every service after those that it depends on."""
        found: list[str] = []
        while len(found) < len(self.file["services"]):
            for name, about in self.file["services"].items():
                if name not in found and set(about.get("depends_on", {})) <= set(found):
                    found.append(name)
        return found

    def _postgres(self, command: list[str]) -> list[str]:
        """What the image's entry point does: a database cluster on the first start, and no rights."""
        data = self.mounts("postgres")["/var/lib/postgresql/data"]
        about = self.environment("postgres")
        rights = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
        sockets = ["-c", f"unix_socket_directories={data}", "-p", str(self.ports["postgres", "5432"])]
        if not (data / "PG_VERSION").is_file():
            if rights:
                os.chown(data, NOBODY, NOBODY)
            self.secrets.chmod(0o711)
            where = about | {"PGHOST": str(data), "PGPORT": str(self.ports["postgres", "5432"])}
            control = [*rights, "pg_ctl", f"--pgdata={data}", "--wait", "--silent"]
            first = self.mounts("postgres")["/docker-entrypoint-initdb.d/databases.sh"]
            given = [f"--pwfile={about['POSTGRES_PASSWORD_FILE']}", *about["POSTGRES_INITDB_ARGS"].split()]
            for each in (
                [*rights, "initdb", f"--pgdata={data}", "--username=postgres", *given],
                [*control, "start", "-o", " ".join(["-h ''", *sockets]), f"--log={data}/first.log"],
                ["sh", str(first)],
                [*control, "stop", "--mode=fast"],
            ):
                subprocess.run(each, env=where, check=True, stdout=subprocess.DEVNULL)
        return [*rights, command[0], "-D", str(data), "-h", "127.0.0.1", *sockets, *command[1:]]

    def healthy(self, name: str) -> bool:
        """What the service's health check says now."""
        check = self.file["services"][name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        command = self.command(name, check[1:])
        done = subprocess.run(command, env=self.environment(name), check=False, capture_output=True, timeout=PATIENCE_S)
        return done.returncode == 0

    def wait_healthy(self, name: str, *, seconds: float = START_S) -> None:
        deadline = time.monotonic() + seconds
        while True:
            asked = time.monotonic()
            if self.healthy(name):
                return
            service = self.services[name]
            is_hopeless = time.monotonic() > deadline or service.n_starts > N_STARTS
            assert not is_hopeless, f"{name} is not healthy:\n{service.log()[-4000:]}"
            # Asking takes a share of the time that starting gets.
            time.sleep(max(0.5, 2 * (time.monotonic() - asked)))

    def run(self, service: str, words: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """What ``docker compose exec`` would run in a service."""
        command = self.command(service, words)
        environment = self.environment(service)
        if words[0] == "m2v":
            command[0] = warm.command()
            environment |= warm.SETTINGS
        if service == "postgres":
            environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["postgres", "5432"])}
            environment |= {"PGPASSWORD": (self.secrets / "postgres").read_text()}
        return subprocess.run(command, env=environment, check=False, capture_output=True, **options)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Dagster's GraphQL, through the door where it is open.

        Raises:
            LookupError: A service has just been killed.
        """
        url = self.ui if "door" in self.services else f"http://127.0.0.1:{self.ports['webserver', '3000']}"
        said = httpx.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        if "errors" in said:
            raise LookupError(said["errors"][0]["message"])
        return said["data"]

    def launch(self, *assets: str, priority: int = 0) -> str:
        """A run of these assets, put into the queue as the UI does it; its id."""
        selector = {"repositoryName": "__repository__", "repositoryLocationName": "m2v", "jobName": "__ASSET_JOB"}
        params = {
            "mode": "default",
            "selector": {**selector, "assetSelection": [{"path": each.split("/")} for each in assets]},
            "executionMetadata": {"tags": [{"key": "dagster/priority", "value": str(priority)}]},
        }
        query = (
            "mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) "
            "{ ... on LaunchRunSuccess { run { runId } } } }"
        )
        return self.ask(query, params=params)["launchPipelineExecution"]["run"]["runId"]

    def stop(self) -> None:
        for service in reversed(list(self.services.values())):
            service.stop()

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Service:
    """A service: a process, and a boundary in which nothing outlives it; started again until it is stopped."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], *, folder: Path) -> None:
        self.name, self.command, self.environment, self.folder = name, command, dict(environment), folder
        self.path = folder / f"{name}.log"
        self.is_stopped, self.n_starts = False, 0
        self.boundary = self._start()
        self.thread = threading.Thread(target=self._restart, daemon=True)
        self.thread.start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self.n_starts += 1
        with self.path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "m2v_resources.launching.reaper", "--", *self.command],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def _restart(self) -> None:
        pause = 0.1
        while True:
            self.boundary.wait()
            # As Docker: twice as long a pause each time.
            time.sleep(pause)
            pause = min(pause * 2, 60)
            if self.is_stopped:
                return
            self.boundary = self._start()

    def main(self) -> psutil.Process:
        """The service's own process, started by the boundary: the first; what it adopts comes later."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess, ValueError):
                # By time: numbers of processes begin anew when they are used up.
                return min(psutil.Process(self.boundary.pid).children(), key=psutil.Process.create_time)
            time.sleep(0.05)
        raise AssertionError(f"{self.name} has no process:\n{self.log()[-4000:]}")

    def processes(self) -> list[psutil.Process]:
        """All that the service is made of."""
        return psutil.Process(self.boundary.pid).children(recursive=True)

    def kill(self) -> None:
        """``kill -9`` of the service's own process; returns when another one is there."""
        before, boundary = self.n_starts, self.boundary
        self.main().kill()
        boundary.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while self.n_starts == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        self.is_stopped = True
        if self.boundary.stdin:
            self.boundary.stdin.close()
        self.boundary.wait(PATIENCE_S)
        self.thread.join(100)

    def log(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace")
