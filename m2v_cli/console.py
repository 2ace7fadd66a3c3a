"""What the command line shows while and after it works."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from m2v_cli import cells

if TYPE_CHECKING:
    from m2v.catalog.plan import StudyPlan
    from m2v_assets.materialise import RunOutcome

# What moves the cursor, renames the window, or turns the line around: names from data may hold it.
CONTROLS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        *range(0x200E, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
    if chr(code) not in "\n\t"
}


# Of assets that wait, so many are named.
N_WAITING = 3


class Plain(Console):
    """A console on which a text from data is seen and does nothing."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make what is printed of a text; control characters become what Python calls them."""
        return super().render_str(text.translate(CONTROLS), **settings)


# So few rows that do not fit stand upright.
N_UPRIGHT = 3

out = Plain()
err = Plain(stderr=True)


class RunDisplay:
    """Shows a run: a bar in a terminal, a line per finished asset elsewhere.

    Use as a context manager, and as the listener of ``materialise.run``.
    """

    def __init__(self) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self.assets = self.progress.add_task("looking", total=None)
        self.program = self.progress.add_task("", total=None, visible=False)
        self.n_done = self.n_total = 0
        self.began = self.said = 0.0

    def __enter__(self) -> "RunDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        handler = getattr(self, f"_{event['event']}", None)
        if handler:
            handler(event)

    def _wave(self, event: Mapping[str, Any]) -> None:
        self.n_done, self.n_total = 0, len(event["assets"])
        self.progress.update(self.assets, total=self.n_total, completed=0, description=f"wave {event['number']}")
        self._line(f"Wave {event['number']}: {self.n_total} assets")

    def _start(self, event: Mapping[str, Any]) -> None:
        self.began = time.monotonic()
        self.progress.update(self.assets, description=escape(str(event["step"])))

    def _progress(self, event: Mapping[str, Any]) -> None:
        figures = " ".join(f"{name} {value:.4g}" for name, value in event.get("figures", {}).items())
        text = f"{event['unit']} {figures}".strip()
        self.progress.update(
            self.program,
            visible=True,
            total=event["total"],
            completed=event["done"],
            description=f"  {escape(text.translate(CONTROLS))}",
        )
        if time.monotonic() - self.said > 10 or event["done"] == event["total"]:
            self.said = time.monotonic()
            self._line(f"    {event['done']} of {event['total']} {text}")

    def _done(self, event: Mapping[str, Any]) -> None:
        self.n_done += 1
        self.progress.update(self.assets, completed=self.n_done)
        self.progress.update(self.program, visible=False)
        seconds = time.monotonic() - self.began
        self._line(f"  made {event['step']} in {seconds:.1f} s")

    def _failed(self, event: Mapping[str, Any]) -> None:
        self.progress.update(self.program, visible=False)
        err.print(f"[red]failed[/] {escape(str(event['step']))}")

    def _line(self, text: str) -> None:
        if not err.is_terminal:
            err.print(text, markup=False, highlight=False)


def show(outcome: "RunOutcome") -> None:
    """Show the outcome to people; errors go to standard error."""
    made = len(outcome.materialised)
    if not made and not outcome.errors:
        out.print(f"Everything is up to date; looked at in {outcome.seconds:.1f} s.")
    else:
        out.print(f"Made {made} assets in {outcome.waves} waves, {outcome.seconds:.1f} s.")
    for step, text in outcome.errors.items():
        err.print(f"[red]{escape(step)}[/]: {escape(text)}", highlight=False, soft_wrap=True)
    if outcome.skipped:
        err.print(f"{len(outcome.skipped)} more assets rest on what failed; they are as they were before:")
    for step in outcome.errors:
        waiting = [asset for asset, failed in outcome.skipped.items() if step in failed]
        if waiting:
            shown = ", ".join(waiting[:N_WAITING])
            more = f" and {len(waiting) - N_WAITING} more" if len(waiting) > N_WAITING else ""
            err.print(f"  on {escape(step)}: {escape(shown)}{more}", highlight=False, soft_wrap=True)


def say_asked(plan: "StudyPlan") -> None:
    """Say what models are asked and under which policy, and which of them know nothing."""
    for target in plan.targets if plan.questions else ():
        label = target.label
        err.print(
            f"policy of {escape(target.name)}: {escape(label.positive)} is “{escape(label.positive_definition)}”",
            highlight=False,
            soft_wrap=True,
        )
    for question in plan.questions:
        told = "" if question.is_defined else ", which does not say what the label means"
        err.print(
            f"asks {escape(question.model)} about {escape(question.items)}, with {escape(question.demonstrations)}, "
            f"by the prompt {escape(question.prompt)}{told}",
            highlight=False,
            soft_wrap=True,
        )
    if plan.know_nothing:
        warn(
            f"{', '.join(plan.know_nothing)}: random weights, which know nothing. What rests on them shows how the "
            "platform works, and no result of it means anything."
        )


def show_report(home: Path, plan: "StudyPlan", *, behind: Sequence[str]) -> None:
    """Say what the study found and where the report is, where there is one, or what it does not say yet.

    Args:
        behind: Assets that it rests on, and that are not current.
    """
    from m2v_resources.store.reports import latest, summary

    path = latest(home, plan.study.name)
    if path and behind:
        warn(not_current(behind, study=plan.study.name))
        err.print(f"The last report: {path}", soft_wrap=True, highlight=False)
    elif path:
        for sentence in summary(home, plan.study.name):
            out.print(f"- {sentence}", soft_wrap=True, highlight=False, markup=False)
        out.print(f"Report: {path}", soft_wrap=True, highlight=False)


def not_current(behind: Sequence[str], *, study: str) -> str:
    """Return a sentence about a report that is older than what it rests on."""
    others = f" and {len(behind) - N_WAITING} more" if len(behind) > N_WAITING else ""
    shown = ", ".join(behind[:N_WAITING])
    return f"The report of {study} is not current: it rests on {shown}{others}. `m2v status` says why."


def warn(text: str) -> None:
    """Print a message that people should see, on standard error."""
    err.print(f"[yellow]note[/]: {escape(text)}", highlight=False, soft_wrap=True)


def fail(text: str) -> None:
    """Print the one message of a command that failed, on standard error."""
    err.print(f"[red]error[/]: {escape(text)}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def bytes_hashed() -> Iterator[Callable[[int, int], None]]:
    """Yield a bar of bytes on standard error while the block runs, in a terminal; give what tells it how far."""
    columns = (TextColumn("hashing"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def changes(title: str, rows: Sequence[Mapping[str, Any]], *, key: list[str], n_shown: int = 50) -> None:
    """Show changed rows, each column that differs as ``before → after``."""
    shown = []
    for row in rows[:n_shown]:
        columns = [name.removesuffix("_before") for name in row if name.endswith("_before")]
        differing = [column for column in columns if row[f"{column}_before"] != row[f"{column}_after"]]
        shown_values = (f"{column}: {row[f'{column}_before']} → {row[f'{column}_after']}" for column in differing)
        detail = ", ".join(shown_values) if row["change"] == "changed" else ""
        shown.append([*(row[name] for name in key), row["change"], detail])
    table(title, [*key, "change", "what"], shown)
    if len(rows) > n_shown:
        out.print(f"… and {len(rows) - n_shown:,} more; --json prints them all.")


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table on standard output."""
    shown = Table(title=title, title_justify="left")
    for column in columns:
        numeric = rows and all(isinstance(row[columns.index(column)], int | float) for row in rows)
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # What is a text already is shown whole: a command that wants its hashes short says so itself.
        shown.add_row(*(escape(value if isinstance(value, str) else cells.text(value)) for value in row))
    out.print(shown)


def upright(title: str, row: Mapping[str, Any]) -> None:
    """Print one row with a line for each column."""
    table(title, ["column", "value"], [[name, cells.text(value)] for name, value in row.items()])


def rows(title: str, shown: Sequence[Mapping[str, Any]], *, key: Sequence[str], how_to_see_all: str) -> None:
    """Print rows side by side with as many columns as the terminal has room for, or upright where they are few.

    Args:
        title: What they are.
        shown: The rows; each has the same columns.
        key: Columns that are never left out.
        how_to_see_all: What to write to see the columns that were.
    """
    if not shown:
        out.print(f"{escape(title)}: none to show.")
        return
    columns = list(shown[0])
    written = [[cells.text(value) for value in row.values()] for row in shown]
    fit, left_out = cells.fitting(columns, written, width=out.width, first=key)
    if left_out and len(shown) <= N_UPRIGHT:
        for number, row in enumerate(shown, 1):
            upright(title if len(shown) == 1 else f"{title}, row {number}", row)
        return
    table(
        title,
        fit,
        [[cells.text(row[name]) if isinstance(row[name], str) else row[name] for name in fit] for row in shown],
    )
    if left_out:
        out.print(
            f"Left out at {out.width} characters: {', '.join(left_out)}. {how_to_see_all}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def line(data: Mapping[str, Any] | list[Any]) -> None:
    """One line of JSON on standard output, for programs."""
    sys.stdout.write(json.dumps(data, default=str) + "\n")
