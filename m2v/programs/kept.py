"""What lies below the home, and whether it keeps items: whoever makes a folder there registers it here.

`m2v forget` and `m2v audit verify` reach what is registered. What is not is refused where our own code makes it, and
named by `m2v forget` where somebody else did.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from m2v.errors import UnknownName


class How(StrEnum):
    """How an item leaves a folder."""

    VERSIONS = "the store writes versions without it and purges earlier ones"
    TASKS = "deleted from the rounds' ledger and from Label Studio by its key"
    FOLDERS = "a program's folder goes whole when one of its tables holds the item"
    TRAINED = "a training's folder goes whole when its training set held the item"
    ROWS = "rows are taken out of its tables by the hash that they are known by"
    PICTURES = "pictures that no other item shares are deleted"
    PAGES = "a page goes when it shows the item"
    RELEASES = "a release goes when it was made of versions that held the item"
    SEARCHED = "not ours to change: searched, and named where it holds the item"
    NO_ITEMS = "holds no items"


@dataclass(frozen=True)
class Kept:
    """A folder or file below the home.

    Attributes:
        column: Of ``How.ROWS``: the column with the hash that rows are known by.
    """

    name: str
    how: How
    column: str = ""


KEPT = {
    entry.name: entry
    for entry in (
        Kept("tables", How.VERSIONS),
        Kept("rounds", How.TASKS),
        Kept("label_studio", How.SEARCHED),
        Kept("dagster", How.SEARCHED),
        Kept("sources", How.SEARCHED),
        Kept("cache", How.SEARCHED),
        Kept("encodings", How.ROWS, "text_sha256"),
        Kept("requests", How.ROWS, "request_sha256"),
        Kept("media/pictures", How.PICTURES),
        # Of videos, which nobody can have taken down yet.
        Kept("media/videos", How.SEARCHED),
        Kept("media/made", How.SEARCHED),
        Kept("media/embeddings", How.ROWS, "frame_sha256"),
        Kept("media/transcripts", How.ROWS, "sound_sha256"),
        Kept("media/readings", How.ROWS, "pixels_sha256"),
        Kept("media/sounds", How.ROWS, "sound_sha256"),
        Kept("reports", How.PAGES),
        Kept("releases", How.RELEASES),
        Kept("models", How.NO_ITEMS),
        Kept("run.lock", How.NO_ITEMS),
        Kept("m2v.json", How.NO_ITEMS),
        Kept("programs/extract", How.FOLDERS),
        Kept("programs/videos", How.FOLDERS),
        Kept("programs/readings", How.FOLDERS),
        Kept("programs/operate", How.FOLDERS),
        # Of earlier code.
        Kept("programs/encode", How.FOLDERS),
        Kept("programs/predict", How.FOLDERS),
        Kept("programs/pictures", How.FOLDERS),
        Kept("programs/features", How.FOLDERS),
        Kept("programs/infer", How.FOLDERS),
        Kept("programs/out_of_fold", How.FOLDERS),
        Kept("programs/learning_curves", How.FOLDERS),
        Kept("programs/checkpoints", How.TRAINED),
    )
}
# Folders that hold nothing but what is registered by name.
PARENTS = ("programs", "media")


def program(kind: str) -> Path:
    """Return the folder of a kind of program, relative to the home.

    Raises:
        UnknownName: The kind is not registered, so that no take-down would reach what it keeps.
    """
    name = f"programs/{kind}"
    if name not in KEPT:
        kinds = [name.removeprefix("programs/") for name in KEPT if name.startswith("programs/")]
        raise UnknownName("program registered in m2v/programs/kept.py, by which a take-down reaches it,", kind, kinds)
    return Path(name)


def folders(home: Path, how: How) -> list[tuple[Kept, Path]]:
    """Return what is registered with this way of forgetting, each with its place below the home."""
    return [(entry, home / entry.name) for entry in KEPT.values() if entry.how is how]


def unregistered(home: Path) -> list[Path]:
    """Return whatever lies below the home and is not registered, sorted; scratch files are left out."""
    unknown = []
    for parent in ("", *PARENTS):
        folder = home / parent
        names = sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208 (names are all we need)
        for name in names:
            full = f"{parent}/{name}".lstrip("/")
            if full not in KEPT and full not in PARENTS and not name.startswith("."):
                unknown.append(home / full)
    return unknown
