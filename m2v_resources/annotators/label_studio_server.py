"""Start a real Label Studio of our own: on loopback, with SQLite, secrets of its own and no call to anybody outside."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from m2v.errors import LabelStudioError, UnknownName
from m2v.files import documents
from m2v.files.checkout import CHECKOUT
from m2v.files.whole import replacing
from m2v_resources.annotators import pictures
from m2v_resources.annotators.address import CREDENTIALS

ADMIN = "platform@localhost.local"
PROGRAM = CHECKOUT / "label_studio" / ".venv" / "bin" / "label-studio"
# An empty database takes about 25 s of migrations.
START_S = 180


def local_zone() -> str:
    """Return the name of this machine's time zone: ``TZ``, or what its clock is set to; UTC where neither says."""
    named = os.environ.get("TZ", "").removeprefix(":")
    _, _, linked = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    return next((name for name in (named, linked) if name in zoneinfo.available_timezones()), "UTC")


@dataclass(frozen=True)
class Exposure:
    """What one annotator sees in a day, and how many accounts there may be; see label_studio/m2v_guard.py.

    Attributes:
        time_zone: Where a day ends at midnight.

    Raises:
        UnknownName: There is no such time zone.
    """

    items_per_day: int = 200
    minutes_per_day: float = 120
    minutes_before_break: float = 25
    break_minutes: float = 5
    accounts: int = 100
    time_zone: str = field(default_factory=local_zone)

    def __post_init__(self) -> None:
        known = zoneinfo.available_timezones()
        if self.time_zone not in known:
            raise UnknownName("time zone", self.time_zone, known)


def credentials(home: Path, *, port: int) -> dict[str, str]:
    """Return the platform's own account, made once and kept in a file that only its user can read."""
    path = home / CREDENTIALS
    kept = documents.read_json(path) if path.is_file() else {}
    if not kept:
        kept = {
            "username": ADMIN,
            "password": secrets.token_urlsafe(24),
            "token": secrets.token_hex(20),
            "salt": secrets.token_hex(16),
        }
    kept["url"] = f"http://127.0.0.1:{port}"
    with replacing(path) as scratch:
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return kept


def environment(home: Path, *, port: int, secret: dict[str, str], exposure: Exposure) -> dict[str, str]:
    """All that the server gets to see: it also reads HOST, PORT, DEBUG and USERNAME, so nothing is passed on."""
    data = home / "label_studio" / "data"
    return {
        "PATH": f"{PROGRAM.parent}:/usr/bin:/bin",
        "HOME": str(data),
        "DJANGO_SETTINGS_MODULE": "m2v_settings",
        "PYTHONPATH": str(CHECKOUT / "label_studio"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_HOST": f"http://127.0.0.1:{port}",
        "LABEL_STUDIO_PORT": str(port),
        "LABEL_STUDIO_USERNAME": secret["username"],
        "LABEL_STUDIO_PASSWORD": secret["password"],
        "LABEL_STUDIO_USER_TOKEN": secret["token"],
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # It would hand jobs to whatever Redis it finds on the default port.
        "REDIS_ENABLED": "false",
        "AZURE_MOUNT_FIX": "1",  # SQLite's write-ahead log: readers do not wait for writers
        "M2V_PARENT": str(os.getpid()),
        "M2V_ITEMS_PER_DAY": str(exposure.items_per_day),
        "M2V_ACCOUNTS": str(exposure.accounts),
        "M2V_MINUTES_PER_DAY": str(exposure.minutes_per_day),
        "M2V_MINUTES_BEFORE_BREAK": str(exposure.minutes_before_break),
        "M2V_BREAK_MINUTES": str(exposure.break_minutes),
        "M2V_TIME_ZONE": exposure.time_zone,
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(pictures.folder(home).parent.resolve()),
        # A store of one's own stands on a private address, which Label Studio refuses to ask; who may make it ask
        # anything is the guard's business.
        **({"SSRF_PROTECTION_ENABLED": "false"} if os.environ.get("AWS_ENDPOINT_URL") else {}),
    }


def start(home: Path, *, port: int, exposure: Exposure) -> subprocess.Popen[bytes]:
    """Start the server in a process group of its own and wait until it answers.

    Raises:
        LabelStudioError: It is not installed, the port is taken, or it ended; with the log's place.
    """
    if not PROGRAM.is_file():
        raise LabelStudioError("Label Studio is not installed yet: `make label-studio` installs and starts it.")
    _check_free(port)
    _private(home / "label_studio")
    secret = credentials(home, port=port)
    log = home / "label_studio" / "log.txt"
    process = None
    try:
        with _signals_held(), os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            process = subprocess.Popen(
                [str(PROGRAM), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)],
                env=environment(home, port=port, secret=secret, exposure=exposure),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=home / "label_studio",
                start_new_session=True,
                umask=0o077,
            )
        _wait_until_up(process, port=port, log=log)
    except BaseException:  # Ctrl-C too: the server has a session of its own and hears nothing of it
        if process:
            stop(process)
        raise
    return process


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hear signals afterwards: between a process's start and its name, it would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in heard:
        signal.raise_signal(number)


def _wait_until_up(process: subprocess.Popen[bytes], *, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabelStudioError(f"Label Studio ended with exit code {process.returncode}. Its log: {log}.")
        if _is_up(port):
            return
        time.sleep(0.2)
    raise LabelStudioError(f"Label Studio did not answer within {START_S} s. Its log: {log}.")


def _private(folder: Path) -> None:
    """Close the folder to other accounts of the machine: the database holds the owner's token and all e-mails."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for path in (folder, folder / "data", folder / "log.txt", *(folder / "data").glob("*.sqlite3*")):
        if path.exists():
            path.chmod(0o700 if path.is_dir() else 0o600)


def _check_free(port: int) -> None:
    # A port in use would make it silently take the next one.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LabelStudioError(
                f"Port {port} is taken, by a Label Studio that runs already or by another program. Stop that, or "
                f"choose another: `make label-studio PORT={port + 1}`."
            ) from error


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:  # nosec B310
            return b"UP" in answer.read()
    except (urllib.error.URLError, OSError):
        return False


def end_with_us() -> None:
    """Let SIGTERM and SIGHUP (a closed terminal) end this process as Ctrl-C does, so that the server ends with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the server's end; Ctrl-C ends it with all its processes."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server's whole process group."""
    for signal_number in (15, 9):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
