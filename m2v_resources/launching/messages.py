"""What a program says while it works, as lines of a file."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import dagster as dg

POLL_S = 0.1


class Messages(dg.PipesMessageReader):
    """Read messages from a file as they come, whole lines only.

    Dagster's own reader takes what is there for a line: where a program was writing one just then, it ends with an
    exception, and everything that is said later is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[dict[str, Any]]:
        """Pass messages on until the block ends, then what is left of them."""
        self.path.write_bytes(b"")
        has_ended = threading.Event()
        thread = threading.Thread(target=self._pass_on, args=(handler, has_ended), daemon=True)
        thread.start()
        try:
            yield {"path": str(self.path)}
        finally:
            has_ended.set()
            thread.join()

    def _pass_on(self, handler: Any, has_ended: threading.Event) -> None:
        with self.path.open("rb") as file:
            rest = b""
            while True:
                # Asked before it is read: what was written before the end is read once more after it.
                is_last = has_ended.wait(POLL_S)
                rest = _heard(rest, file, handler)
                if is_last:
                    return

    def no_messages_debug_text(self) -> str:
        """Return where it looked."""
        return f"Attempted to read messages from {self.path}."


def _heard(rest: bytes, file: IO[bytes], handler: Any) -> bytes:
    """Pass the whole lines on; return the beginning of the next one."""
    *lines, rest = (rest + file.read()).split(b"\n")
    for line in lines:
        if line.strip():
            handler.handle_message(json.loads(line))
    return rest
