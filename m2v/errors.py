"""One family of errors. A message names the culprit and the way out; item texts and secrets never enter one."""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Self

# Of the names that exist, an error shows so many, and looks for near ones among so many.
N_KNOWN, N_COMPARED = 20, 10_000
N_LETTERS = 100


class M2VError(Exception):
    """Anything that a user can put right. The command line prints it without a traceback."""


class UnknownName(M2VError):
    """A study, dataset, model, table or version that nothing is called."""

    def __init__(self, kind: str, name: str, known: Collection[str]) -> None:
        # Each is compared with the name, letter by letter: among a million ids that would take minutes.
        near = difflib.get_close_matches(name[:N_LETTERS], known, n=3) if len(known) <= N_COMPARED else []
        shown = ", ".join(sorted(known)[:N_KNOWN]) or "none"
        more = f" and {len(known) - N_KNOWN:,} more" if len(known) > N_KNOWN else ""
        hint = f"Did you mean {', '.join(near)}?" if near else f"Known: {shown}{more}."
        called = name if len(name) <= N_LETTERS else f"{name[:N_LETTERS]}…"
        self.name = name
        super().__init__(f"No {kind} is called {called!r}. {hint}")

    def standing(self, where: str) -> Self:
        """Return the error with the file and line in which the name stands before its message."""
        self.args = (f"{where}: {self}",)
        return self


class InvalidCatalog(M2VError):
    """A catalog file that is not what its folder's entries must be."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class BadInput(M2VError):
    """A file from outside whose content cannot be used.

    Args:
        path: The file.
        problem: What is wrong and what is expected, without the item's text.
        row: Line or record in the file, counted from 1 with the header as 1.
        column: The column's name.
    """

    def __init__(self, path: Path | str, problem: str, *, row: int | None = None, column: str | None = None) -> None:
        place = "".join([f", row {row}" if row is not None else "", f", column {column!r}" if column else ""])
        super().__init__(f"{path}{place}: {problem}")


class MissingSource(M2VError):
    """Files that were found nowhere; the message lists the places and how to supply them."""


class ChecksumMismatch(M2VError):
    """A file that is not the one the catalog pins."""

    def __init__(self, path: Path | str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"{path}: sha256 is {actual[:12]}…, the catalog pins {expected[:12]}…. Get the original file again, or, "
            "if the change is meant, run `m2v study copy` and work on the copy, whose files are yours to edit."
        )


class MissingColumn(BadInput):
    """A file from outside, or a row of it, that lacks a column or key."""


class Unusable(M2VError):
    """An input of which too much cannot be used; nothing was written."""


class AnotherDataset(M2VError):
    """Items of a dataset whose name stands for other items in this home; nothing was written."""


class InvalidRows(M2VError):
    """Rows that break their table's schema; nothing was written."""


class StoreError(M2VError):
    """The table store could not read or write; versions that were complete still are."""


class PartialWeights(StoreError):
    """Weights that would be loaded in part: what they gave would look like a model's all the same.

    Args:
        place: The file or folder.
        missing: Keys that are needed and not there.
        unused: Keys that are there and that nothing uses.
    """

    N_NAMED = 5

    def __init__(self, place: Path | str, *, missing: Collection[str], unused: Collection[str]) -> None:
        parts = [f"lacks {self._named(missing)}"] if missing else []
        parts += [f"has {self._named(unused)}, which nothing uses"] if unused else []
        super().__init__(f"{place} {' and '.join(parts)}. Get or train it again.")

    def _named(self, keys: Collection[str]) -> str:
        more = f" and {len(keys) - self.N_NAMED} more" if len(keys) > self.N_NAMED else ""
        return f"{', '.join(sorted(keys)[: self.N_NAMED])}{more}"


class NewerHome(StoreError):
    """A home, a version or a table that a newer M2V wrote; nothing is wrong with it, and nothing was written."""


class StorageError(StoreError):
    """Object storage could not be reached or refused; what was whole there still is."""


class TakenDown(StoreError):
    """Rows that rest on an item that was taken down since they were read; they were not stored."""


class ProgramFailed(M2VError):
    """A program ended with an exit code that is not 0."""


class InputGone(ProgramFailed):
    """A program whose input was deleted while it ran, for example by a take-down."""


class HostsDiffer(M2VError):
    """Hosts that were started together and cannot work together; nothing was trained."""


class HostLost(M2VError):
    """A host of the group that ended or does not answer any more; the last complete state is there to go on from."""


class RunInProgress(M2VError):
    """Another `m2v run` is materialising in the same home."""


class HostError(M2VError):
    """A service of the team's machine that lacks what it needs; it has not started."""


class ClusterError(M2VError):
    """A cluster that does not answer, refuses, or has a host that lacks what a program needs; what was kept stands."""


class SilentCluster(ClusterError):
    """A cluster's head that does not answer; its jobs may work on."""


class SlurmRefuses(ClusterError):
    """Slurm's controller, or a command of its, says no."""


class LicenceError(M2VError):
    """A licence that lets nothing, or not this column, be published; nothing was written."""


class HubError(M2VError):
    """The Hugging Face Hub could not be reached or refused; no version was tagged that is not whole."""


class NotSignedIn(HubError):
    """There is no token, or the Hub does not know it."""


class NotAllowed(HubError):
    """The token is known and may not do this."""


class RefusedName(HubError):
    """A repository's name that the Hub does not take."""


class RefusedCard(HubError):
    """A card with a value that the Hub does not take; nothing was uploaded."""


class VersionConflict(HubError):
    """A repository that holds other versions than the platform would have put there."""


class DamagedUpload(HubError):
    """The Hub holds other bytes than were sent, or than a release says of itself; nothing was tagged."""


class LabelStudioError(M2VError):
    """Label Studio could not be reached, refused, or is not what a round expects; what was pulled still stands."""


class Unreachable(LabelStudioError):
    """The server did not answer; what it was asked to do may have been done."""


class Refused(LabelStudioError):
    """The server answered with an error."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
