"""How a program says how far it is: to Dagster where one is listening, else to the shell."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator

INTERVAL_S = 0.5


class Report:
    """Passes progress on, at most once in so many seconds, the last step always."""

    def __init__(self, send: "Send", *, interval_s: float = INTERVAL_S) -> None:
        self._send = send
        self._interval_s = interval_s
        self._last = 0.0

    def step(self, done: int, total: int, *, unit: str, **figures: float) -> None:
        """Say that ``done`` of ``total`` units are done, with figures such as the loss."""
        now = time.monotonic()
        if done >= total or now - self._last >= self._interval_s:
            self._last = now
            self._send({"done": done, "total": total, "unit": unit, "figures": figures})


class Send:
    """Where progress goes; called with ``{"done", "total", "unit", "figures"}``."""

    def __call__(self, message: dict) -> None:
        """One line on standard error."""
        figures = "".join(f", {name} {value:.4g}" for name, value in message["figures"].items())
        sys.stderr.write(f"{message['done']} of {message['total']} {message['unit']}{figures}\n")


class Quiet(Send):
    """For all processes of a group but the first."""

    def __call__(self, message: dict) -> None:
        """Send nothing."""


class ToDagster(Send):
    """Custom messages through Dagster Pipes."""

    def __init__(self, context) -> None:
        self._context = context

    def __call__(self, message: dict) -> None:
        """One custom message."""
        self._context.report_custom_message(message)


def quiet() -> Report:
    """Return a report that nobody hears, for work that takes a moment."""
    return Report(Quiet())


@contextlib.contextmanager
def reporting() -> Iterator[Report]:
    """Yield a report for as long as the program works.

    Of a group one process speaks: to Dagster the first one on the host where Dagster listens, which need not be the
    first one of the group; to the shell the latter.
    """
    if "DAGSTER_PIPES_CONTEXT" in os.environ:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            yield Report(Quiet())
            return
        from dagster_pipes import open_dagster_pipes

        with open_dagster_pipes() as context:
            yield Report(ToDagster(context))
    elif os.environ.get("RANK", "0") != "0":
        yield Report(Quiet())
    else:
        yield Report(Send())
