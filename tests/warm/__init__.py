"""Programs that start at once: a process imports them and forks one per use. docs/testing.md says more.

What a test starts by ``python()`` or ``command()`` has the arguments, environment, folder, files, exit code and death
of a real process, without the ten seconds in which that imports torch. Each program is also started truly, somewhere.
``M2V_TESTS_COLD=1`` starts all of them truly.
"""

import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.warm import parent

CHECKOUT = Path(__file__).parents[2]
# Where the stand-ins of this session lie; workers of pytest-xdist find them by it.
FOLDER = "M2V_TESTS_WARM"
COLD = "M2V_TESTS_COLD"
# A program that was forked says so to what it starts.
STARTED_BY = "M2V_TESTS_STARTED_WARM"
BIN = Path(sys.executable).parent
DAGSTERS = (
    *("execution.execute_in_process", "executor.in_process", "instance.factory"),
    *("storage.sqlite_storage", "storage.migration.utils", "storage.local_compute_log_manager"),
)
# Under which the command was imported.
SETTINGS = {"COLUMNS": "200"}


@dataclass(frozen=True)
class Family:
    """Programs that one process can fork.

    Attributes:
        programs: Modules that are run as programs.
        imports: What they import, now or later.
        settings: Variables that are read while these are imported; who has others gets a true start.
    """

    programs: tuple[str, ...]
    imports: tuple[str, ...]
    settings: Mapping[str, str]


def offline(folder: Path) -> dict[str, str]:
    """Return settings under which no program looks for the Hub, or for a cache of what came from there."""
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}


def families(folder: Path) -> dict[str, Family]:
    """Return every family by name."""
    programs = (
        *("m2v.features.program", "m2v.media.pictures", "m2v.media.videos"),
        "m2v.prediction.predict",
        "m2v.detectors.program",
        "torch.distributed.run",
    )
    # What they import once they know that they must.
    later = (
        *(
            "m2v.detectors.trainer.processes",
            "m2v.detectors.text_lora.texts",
            "m2v.detectors.text_lora.scoring",
            "m2v.detectors.vlm_lora.conversations",
            "transformers.modeling_utils",
        ),
        *("m2v.prediction.replicas", "m2v.prediction.servers", "m2v.models.tiny", "m2v.media.speech"),
        *("m2v.features.clip", "m2v.features.sound", "m2v.features.texts"),
        *(
            "joblib",
            "scipy.stats",
            "sklearn.metrics",
            "deepspeed.module_inject",
            "transformers.models.bert.modeling_bert",
        ),
    )
    platform = (
        *("tests.m2v_resources.annotators.dying", "tests.m2v_resources.launching.worker", "tests.cluster.worker"),
        "m2v_resources.launching.ssh_hosts",
    )
    command = (
        *("m2v_cli.cli", "m2v_cli.console", "m2v_assets.materialise", "m2v_assets.requirements"),
        *(
            "m2v_resources.audit.stories",
            "m2v_resources.audit.verification",
            "m2v_resources.audit.forgetting",
            "m2v_resources.hub.releases",
        ),
        # Dagster's stores, and what checks and reports are computed with.
        *(f"dagster._core.{each}" for each in DAGSTERS),
        *("alembic.script", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm"),
        *("joblib", "krippendorff", "scipy.stats", "sklearn.metrics", "statsmodels.stats.inter_rater"),
        *("matplotlib.figure", "matplotlib.backends.backend_svg"),
    )
    return {
        "programs": Family(programs, (*programs, *later), offline(folder)),
        "command": Family((parent.COMMAND,), command, SETTINGS),
        "platform": Family(platform, platform, {}),
    }


class Parents:
    """The processes that fork, each started when it is first asked, and stand-ins for Python and for the command.

    Args:
        chosen: Families by name; ours by default.

    Attributes:
        bin: Where the stand-ins lie, beside whatever else lies beside Python.
    """

    def __init__(self, chosen: Mapping[str, Family] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="m2v-warm-"))
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.asleep = selectors.DefaultSelector()
        described: dict[str, dict[str, object]] = {}
        for name, family in (families(self.folder) if chosen is None else chosen).items():
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.folder / name))
            listener.listen(64)
            self.asleep.register(listener, selectors.EVENT_READ, family)
            about = {"settings": dict(family.settings), "checkout": str(CHECKOUT), "namespaces": parent.namespaces()}
            described |= dict.fromkeys(family.programs, about | {"address": str(self.folder / name)})
        self._write_stand_ins(described)
        self.hears, self.tells = os.pipe()
        self.asleep.register(self.hears, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._wake)
        self.thread.start()

    def _write_stand_ins(self, described: Mapping[str, Mapping[str, object]]) -> None:
        head = f"#!{sys.executable} -IS\nPYTHON = {sys.executable!r}\nSTARTED_BY = {STARTED_BY!r}\n"
        body = (Path(__file__).parent / "stand_in.py").read_text(encoding="utf-8")
        for name in ("python", parent.COMMAND):
            (self.bin / name).write_text(f"{head}PARENTS = {described!r}\n{body}", encoding="utf-8")
            (self.bin / name).chmod(0o755)
        for script in BIN.iterdir():
            if not script.name.startswith(("python", "activate")) and script.name != parent.COMMAND:
                (self.bin / script.name).symlink_to(script)

    def _wake(self) -> None:
        """Start each parent that is asked, until we are to stop."""
        while True:
            for key, _ in self.asleep.select():
                if key.fd == self.hears:
                    return
                assert isinstance(key.fileobj, socket.socket)
                self.asleep.unregister(key.fileobj)
                self._start(key.fileobj, key.data)

    def _start(self, listener: socket.socket, family: Family) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
        words = [str(listener.fileno()), str(self.bin / "python"), STARTED_BY, *family.imports]
        with listener, (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.warm.parent", *words],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env={**clean, **family.settings},
                    cwd=CHECKOUT,
                    pass_fds=[listener.fileno()],
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        """End them and remove their folder."""
        os.write(self.tells, b"x")
        self.thread.join()
        for process in self.processes:
            assert process.stdin
            process.stdin.close()
        for process in self.processes:
            process.wait(PATIENCE_S)
        self.asleep.close()
        shutil.rmtree(self.folder)


def python() -> str:
    """Return Python, or what stands in for it."""
    return _stand_in("python") or sys.executable


def command() -> str:
    """Return the command ``m2v``, or what stands in for it."""
    return _stand_in(parent.COMMAND) or str(BIN / parent.COMMAND)


def environment() -> dict[str, str]:
    """Return the settings under which programs start warm, and which suit true starts as well."""
    return offline(Path(os.environ.get(FOLDER, tempfile.gettempdir())))


def _stand_in(name: str) -> str | None:
    folder = os.environ.get(FOLDER)
    return str(Path(folder, "bin", name)) if folder and not os.environ.get(COLD) else None
