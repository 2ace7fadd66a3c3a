"""Where a source's files are: in a folder that the user names, beside the checkout, downloaded, or generated."""

import contextlib
import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from m2v.datasets import sample, sample_suite
from m2v.entries.datasets import Dataset, Source
from m2v.errors import BadInput, ChecksumMismatch, MissingSource, StoreError
from m2v.files import storage
from m2v.files.digests import file_sha256

TIMEOUT_S = 60
# The version of a file that a study can do without, and does.
ABSENT = "absent"


def _draw(*arguments: Any, **settings: Any) -> Path:
    """Draw the sample's media; what draws is imported only then."""
    from m2v.datasets import sample_media

    return sample_media.write(*arguments, **settings)


GENERATORS: Mapping[str, Callable[..., None]] = {"sample": sample.write, "sample-suite": sample_suite.write}
MEDIA_GENERATORS: Mapping[str, Callable[..., Path]] = {"sample": _draw}


def find(source: Source, *, home: Path) -> dict[str, Path]:
    """Return the path of every file of the source, by name, each with the sha256 that the catalog pins.

    Looked for in the folder that ``source.environment`` names (and then nowhere else), in ``source.folders``, in what
    was generated or downloaded before, then generated or downloaded into ``<home>/sources``.

    Returns:
        Nothing where the source is not required and none of its files is anywhere.

    Raises:
        MissingSource: Lists the places that were looked at, and how to supply the files.
        ChecksumMismatch: A file is not the pinned one.
        BadInput: A file cannot be read.
        StoreError: The home cannot be written.
    """
    named = os.environ.get(source.environment or "")
    if named:
        folder = Path(named)
        missing = _missing(source, folder)
        if missing:
            raise MissingSource(
                # Not what it holds: a stranger's study may name a variable that is no folder but a secret.
                f"The folder in {source.environment} has no {', '.join(missing)}. Point it to the folder that holds "
                f"all files of {source.title!r}, or unset it."
            )
        return _checked(source, folder)
    kept = _kept(source, home)
    folders = [source.folder / folder for folder in source.folders]
    for folder in [*folders, kept]:
        if not _missing(source, folder):
            return _checked(source, folder)
    # It is put in place whole, so what is not there now was there once (or is there since a moment ago).
    if kept.exists() and (lost := _missing(source, kept)):
        raise StoreError(f"{kept} has lost {', '.join(lost)}. Remove that folder and run again.")
    if source.generator:
        with _filled(kept) as scratch:
            GENERATORS[source.generator](scratch, seed=source.seed)
        return _checked(source, kept)
    if source.download:
        _download(source, kept, places=_places(source, [*folders, kept]))
        return _checked(source, kept)
    if not source.required and all(_missing(source, folder) == list(source.files) for folder in folders):
        return {}
    raise MissingSource(_places(source, [*folders, kept]))


def versions(source: Source, *, home: Path) -> dict[str, str]:
    """Return what tells each of the source's files from another one, by name: its sha256, or that it is not there.

    Raises:
        MissingSource, ChecksumMismatch, BadInput, StoreError: As ``find``.
    """
    return dict.fromkeys(sorted(source.files), ABSENT) | digests(find(source, home=home))


def media(dataset: Dataset, source: Source, *, home: Path) -> storage.Place:
    """Return the folder that the dataset's pictures or videos lie below, or its address (``s3://bucket/prefix``).

    ``M2V_MEDIA`` comes first, then what the dataset's YAML names; a generated source has its media made.

    Raises:
        MissingSource: There is none; the message says how to supply it.
    """
    named = os.environ.get("M2V_MEDIA")
    if named and storage.is_remote(named):
        if storage.is_empty(named):
            raise MissingSource(
                f"Nothing lies below {named}, which M2V_MEDIA is. Upload the media there, or correct it."
            )
        return named
    if named:
        if not Path(named).is_dir():
            raise MissingSource(f"M2V_MEDIA is {named}, which is no folder. Point it to the folder with the media.")
        return Path(named)
    if dataset.media and (dataset.folder / dataset.media).is_dir():
        return dataset.folder / dataset.media
    if source.generator and source.generator in MEDIA_GENERATORS:
        tables = find(source, home=home)[next(iter(source.files))].parent
        return MEDIA_GENERATORS[source.generator](
            home / "sources" / f"{source.name}-media-{_pin(source)}", tables=tables
        )
    wanted = (
        f"{dataset.folder / dataset.media} does not exist" if dataset.media else "its YAML names no `media:` folder"
    )
    raise MissingSource(
        f"The pictures or videos of {dataset.title!r} are not here: {wanted}, and M2V_MEDIA is not set. Get them from "
        f"{dataset.media_from or source.licence.link or 'their source'}, and set M2V_MEDIA to the folder "
        "below which the paths in the tables lie. Where only people would look at them, `rounds: {pictures: false}` in "
        "the study has them judge the texts alone."
    )


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of each file by name, in the order of the names."""
    return {name: sha256(files[name]) for name in sorted(files)}


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise BadInput(path, f"cannot be read: {error.strerror}.") from error


def _missing(source: Source, folder: Path) -> list[str]:
    # Where a folder may not be entered, Path.exists raises; to the user its files are missing.
    return [name for name in source.files if not os.path.exists(folder / name)]  # noqa: PTH110


def _checked(source: Source, folder: Path) -> dict[str, Path]:
    paths = {name: folder / name for name in source.files}
    for name, path in paths.items():
        expected = source.files[name].sha256
        if expected and (actual := sha256(path)) != expected:
            raise ChecksumMismatch(path, expected=expected, actual=actual)
    return paths


def _pin(source: Source) -> str:
    """Return a name that changes with what is pinned: files of another pin are never taken for these."""
    return hashlib.sha256(
        source.model_dump_json(include={"download", "generator", "seed", "files"}).encode()
    ).hexdigest()[:12]


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes ``folder`` whole, or not at all; whoever is first wins."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            content = Path(scratch) / "content"
            content.mkdir()
            yield content
            try:
                content.rename(folder)
            except OSError:
                # Another process put the same content in place first.
                if not folder.is_dir():
                    raise
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror or error}. Free space there, or point M2V_HOME to a folder "
            "that you may write to."
        ) from error


def _download(source: Source, folder: Path, *, places: str) -> None:
    with _filled(folder) as scratch:
        for name, file in source.files.items():
            address = f"{source.download}/{file.path or name}"
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _fetch(address, target)
            except (
                urllib.error.URLError,
                http.client.HTTPException,
                TimeoutError,
                ConnectionError,
                ValueError,
            ) as error:
                problem = f"Downloading {address} failed: {str(error).strip()}. Check the network, or supply the files."
                raise MissingSource(f"{places} {problem}") from error
            # Before it is put in place: a wrong download must not be found next time.
            if file.sha256 and (actual := sha256(target)) != file.sha256:
                raise ChecksumMismatch(address, expected=file.sha256, actual=actual)


def _fetch(address: str, target: Path) -> None:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, target.open("wb") as out:  # noqa: S310 # nosec B310
        shutil.copyfileobj(answer, out)
        # Read in pieces, an answer that breaks off looks like one that ends.
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)


def places(source: Source, *, home: Path) -> str:
    """Return where the source's files were looked for, and how to supply them."""
    return _places(source, [*(source.folder / folder for folder in source.folders), _kept(source, home)])


def _kept(source: Source, home: Path) -> Path:
    return home / "sources" / f"{source.name}-{_pin(source)}"


def _places(source: Source, folders: list[Path]) -> str:
    places = [f"the folder in {source.environment} (not set)"] if source.environment else []
    for folder in folders:
        missing = _missing(source, folder)
        state = f"has no {', '.join(missing)}" if folder.is_dir() else "does not exist"
        places.append(f"{folder} ({state})")
    hint = f"Put all of them ({', '.join(source.files)}) into one of these folders"
    hint += f", or set {source.environment} to the folder that holds them." if source.environment else "."
    return f"The files of {source.title!r} are in none of: {'; '.join(places)}. {hint}"
