"""S3-compatible object storage: whole objects, a write that only one can win, and errors that say the way out.

Keys, endpoint and region are the standard ``AWS_*`` variables, read when a bucket is first used.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from m2v.errors import StorageError

SCHEME = "s3://"
# Proves that the server refuses to create what is there; kept, because it never has to be created again.
PROOF = ".creates-once"
PIECE_BYTES = 8 * 2**20
# The longest name that S3 takes.
MAX_KEY_BYTES = 1024
# Whether anybody answers is known within so many seconds (M2V_STORAGE_PATIENCE_S); of a transfer only silence is
# bounded, not how long it takes.
PATIENCE_S = 5.0
LATER = (
    {"connect_timeout": "5s", "timeout": "12h", "read_timeout": "30s"},
    {"max_retries": 6, "retry_timeout": timedelta(seconds=30)},
)
NEEDED = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"

# Processes that use the library: this one, or the one that it was forked from.
_used_by: set[int] = set()

# Size in bytes, and what changes when the object does.
Facts = tuple[int, str]


def bucket(address: str) -> "Bucket":
    """Return the objects below ``s3://bucket/prefix``, looked at once in a process: what is wrong shows at once.

    Raises:
        StorageError: No such bucket, no rights, no answer, or obstore is not installed.
    """
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _bucket(address.rstrip("/"), settings)


@lru_cache(maxsize=64)
def _bucket(address: str, settings: tuple[tuple[str, str], ...]) -> "Bucket":
    return Bucket(address)


class Bucket:
    """Objects below a prefix; names are relative to it, with slashes, and lead nowhere else."""

    def __init__(self, address: str) -> None:
        self.address, self.is_proved = address, False
        with _translated(address, "listed"):
            next(iter(self._library().list(self._opened(*_first()), chunk_size=1)), None)
        self._store = self._opened(*LATER)

    def get(self, name: str) -> bytes | None:
        """Return an object's content; None where there is none."""
        with _translated(self.where(name), "read"):
            try:
                return bytes(self._library().get(self._store, _key(name)).bytes())
            except FileNotFoundError as error:
                _refuse_absent_bucket(error)
                return None

    def facts(self, name: str) -> Facts | None:
        """Return what an object is like; None where there is none."""
        with _translated(self.where(name), "read"):
            try:
                facts = self._library().head(self._store, _key(name))
            except FileNotFoundError:
                return None
            return facts["size"], _tag(facts)

    def download(self, name: str, file: IO[bytes]) -> str | None:
        """Write an object's content into a file; give what changes when it does, or None where there is none."""
        with _translated(self.where(name), "read"):
            try:
                answer = self._library().get(self._store, _key(name))
            except FileNotFoundError as error:
                _refuse_absent_bucket(error)
                return None
            pieces = iter(answer.stream(min_chunk_size=PIECE_BYTES))
        while True:
            with _translated(self.where(name), "read"):
                piece = next(pieces, None)
            if piece is None:
                return _tag(answer.meta)
            file.write(piece)

    def put(self, name: str, content: bytes | Path) -> str:
        """Write an object whole, whatever was there; give what changes when it does."""
        with _translated(self.where(name), "written"):
            return _tag(self._library().put(self._store, _key(name), content))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there; whether that was so.

        Raises:
            StorageError: The server does not refuse to create what is there.
        """
        self.prove()
        # Where our own request was answered and the answer lost, what is there is ours.
        return self._created(name, content) or self.get(name) == content

    def delete(self, name: str) -> None:
        """Delete the object."""
        with _translated(self.where(name), "deleted"):
            self._library().delete(self._store, _key(name))

    def list(self, under: str = "") -> Iterator[tuple[str, Facts]]:
        """Name and facts of every object below a folder."""
        with _translated(self.where(under), "listed"):
            for page in self._library().list(self._store, f"{_key(under)}/" if under else None):
                for entry in page:
                    yield entry["path"], (entry["size"], _tag(entry))

    def prove(self) -> None:
        """Find out, once, whether of several writers of an object only one wins, and whether we may read and write."""
        if self.is_proved:
            return
        if self._created(PROOF, b"") and self._created(PROOF, b""):
            raise StorageError(
                f"The server of {self.address} ignores `If-None-Match: *`: it created the same object twice, so that "
                "concurrent writers would overwrite each other. Use a server with conditional writes, as AWS S3 has "
                "them, or keep tables on a disk: unset M2V_STORAGE."
            )
        self.get(PROOF)
        self.is_proved = True

    def where(self, name: str) -> str:
        """Return an object's address."""
        return f"{self.address}/{name}".rstrip("/")

    def _created(self, name: str, content: bytes) -> bool:
        with _translated(self.where(name), "written"):
            try:
                self._library().put(self._store, _key(name), content, mode="create")
            except self._library().exceptions.AlreadyExistsError:
                return False
            return True

    def _opened(self, client: dict[str, Any], retry: dict[str, Any]) -> Any:
        from obstore.store import S3Store

        name, prefix = _parts(self.address)
        is_plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        allowed = {"allow_http": True} if is_plain else {}
        return S3Store(name, prefix=prefix or None, client_options={**client, **allowed}, retry_config=retry)  # pyright: ignore[reportArgumentType]

    def _library(self) -> Any:
        if _used_by and os.getpid() not in _used_by:
            # The library's threads are not in a fork, which would wait for them for ever.
            raise StorageError(
                f"{self.address} cannot be used in a process that was forked; fetch files before a fork."
            )
        try:
            import obstore
        except ImportError as error:
            raise StorageError(
                f"{self.address} is in object storage, which needs obstore: run `make cluster`."
            ) from error
        _used_by.add(os.getpid())
        return obstore


def inside(root: str, name: str) -> str | None:
    """Return the address of what data names below a root; None where the name would lead out of it."""
    clean = posixpath.normpath(name)
    is_out = name.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in name
    return None if is_out or clean == "." else f"{root.rstrip('/')}/{clean}"


def _first() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the client that finds out whether anybody answers."""
    seconds = float(os.environ.get("M2V_STORAGE_PATIENCE_S") or PATIENCE_S)
    client = {"connect_timeout": f"{0.6 * seconds:.3f}s", "timeout": f"{seconds:.3f}s"}
    return client, {"max_retries": 2, "retry_timeout": timedelta(seconds=seconds)}


def _parts(address: str) -> tuple[str, str]:
    """Bucket and prefix."""
    name, _, prefix = address.removeprefix(SCHEME).partition("/")
    is_sound = address.startswith(SCHEME) and re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name)
    if not is_sound or any(part in {"", ".", ".."} for part in prefix.split("/") if prefix):
        raise StorageError(f"{address!r} names no place in object storage. Write s3://bucket or s3://bucket/prefix.")
    return name, prefix


def _key(name: str) -> str:
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise StorageError(f"{name!r} cannot name an object.")
    return name


def _tag(facts: Any) -> str:
    return facts["e_tag"] or str(facts.get("last_modified"))


def _refuse_absent_bucket(error: Exception) -> None:
    """Raise unless only an object is missing: a bucket may also be deleted while we work."""
    if "NoSuchBucket" in str(error):
        raise error


@contextmanager
def _translated(address: str, verb: str) -> Iterator[None]:
    """Turn what the library raises into one sentence; its own text, which quotes answers, is shown to nobody."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        # Some of the library's are Python's own: a missing object, a name that it cannot take.
        if not isinstance(error, OSError | ValueError) and not type(error).__module__.startswith("obstore"):
            raise
        raise StorageError(f"{address} could not be {verb}: {_why(str(error), address)}") from None


def _why(message: str, address: str) -> str:
    """Return what went wrong and what to do, without what the server wrote but for its code."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    name = address.removeprefix(SCHEME).partition("/")[0]
    status, code = (re.search(pattern, message) for pattern in (r"status code: (\d{3})", r"<Code>(\w+)</Code>"))
    answer = " ".join(match[1] for match in (status, code) if match)
    if "NoSuchBucket" in answer:
        why = f"there is no bucket {name!r} at {endpoint}. Create it, or correct the address and AWS_ENDPOINT_URL."
    elif "169.254.169.254" in message or "Missing AccessKeyId" in message or "Missing SecretAccessKey" in message:
        why = "there are no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    elif answer[:3] in {"401", "403"}:
        why = (
            f"the server refuses ({answer}). Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; their owner needs "
            f"{NEEDED} there."
        )
    elif answer[:3] in {"301", "307", "400"} and endpoint == "AWS":
        why = f"AWS answers {answer}. Set AWS_REGION to the region of the bucket {name!r}."
    elif answer:
        why = f"{endpoint} answers {answer}. Its log says more; run again once it works."
    elif "rror sending request" in message or "timed out" in message or "HTTP error" in message:
        why = f"{endpoint} does not answer. Check AWS_ENDPOINT_URL, the network and the server, then run again."
    else:
        why = f"{message.splitlines()[0][:200]}."
    return why
