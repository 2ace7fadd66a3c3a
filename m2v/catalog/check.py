"""What somebody has on their disk: which layout and release it is, what is wrong with it, and the YAML to use it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import polars as pl

from m2v import catalog, schemas
from m2v.catalog import proposal
from m2v.datasets import details, folders, integrity, layouts, mediapaths, plain, readers, releases, sources
from m2v.datasets.folders import Folder, Found
from m2v.datasets.layouts import Items
from m2v.datasets.mediapaths import Listing
from m2v.entries.datasets import MemeDataset, VideoDataset
from m2v.errors import BadInput, M2VError, UnknownName
from m2v.lineage.findings import Finding

SPLITS = ("train", "validation", "test")
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2, "seed": 0}


Read: TypeAlias = tuple[Found, MemeDataset | VideoDataset, Items]


@dataclass(frozen=True)
class Checked:
    """A dataset that could be read.

    Attributes:
        rows: Rows of ``memes`` or ``videos``.
        release: The known one's name, if it is one.
        n_media_found: Items whose picture or video lies there; of all others it is missing.
        parts: What else the files say of items.
    """

    dataset: MemeDataset | VideoDataset
    rows: pl.DataFrame
    release: str | None
    n_media_found: int
    findings: tuple[Finding, ...]
    parts: layouts.Parts


@dataclass(frozen=True)
class FolderReport:
    """What lies in a folder.

    Attributes:
        documents: The YAML that makes a study of it, by path below the folder.
    """

    layout: str
    datasets: tuple[Checked, ...]
    documents: Mapping[str, str]

    @property
    def release(self) -> str | None:
        """The known release, or all of them where several datasets lie there; None if one is unknown."""
        names = [dataset.release for dataset in self.datasets if dataset.release]
        return " + ".join(names) if len(names) == len(self.datasets) else None

    def summary(self) -> dict[str, Any]:
        """Return what was found in plain data."""
        counts: dict[str, dict[str, int]] = {}
        for dataset in self.datasets:
            for split, numbers in counted(dataset.rows).items():
                there = counts.setdefault(split, {"0": 0, "1": 0})
                counts[split] = {"0": there["0"] + numbers[0], "1": there["1"] + numbers[1]}
        n_items = sum(dataset.rows.height for dataset in self.datasets)
        n_found = sum(dataset.n_media_found for dataset in self.datasets)
        return {
            "layout": self.layout,
            "release": self.release,
            "n_items": n_items,
            "n_by_split_label": counts,
            "n_media_found": n_found,
            "n_media_missing": n_items - n_found,
            "n_facets": sum(len(dataset.parts.facets) for dataset in self.datasets),
            "n_segments": sum(len({row[:2] for row in dataset.parts.segments}) for dataset in self.datasets),
            "findings": [asdict(finding) for dataset in self.datasets for finding in dataset.findings],
        }


def check(root: Path, *, layout: str | None = None) -> FolderReport:
    """Say what lies in a folder: try every layout, or the named one only.

    Raises:
        UnknownName: No layout has that name.
        BadInput: The named layout's files are there, and one cannot be used; names file, row and column.
        M2VError: There is no such folder, no layout fits, or several do; says why.
    """
    finders = folders.finders()
    if layout is not None and layout not in finders:
        raise UnknownName("layout", layout, finders)
    if not root.is_dir():
        raise M2VError(f"{root} is no folder. Name the one into which you unpacked the dataset.")
    listing = Listing(root)
    folder = Folder(root, tuple(listing))
    fitting: dict[str, list[Read]] = {}
    problems = {}
    for name in [layout] if layout else finders:
        if name == plain.NAME and fitting:
            continue  # a table that is known is not plain
        try:
            fitting[name] = [(match, *_read(folder, match, name)) for match in finders[name](folder)]
        except M2VError as error:
            if layout:
                raise M2VError(f"{root} is not in layout {layout}: {error}") from error
            if not isinstance(error, folders.NotThere):
                problems[name] = str(error).replace(f"{root}/", "")
    if not fitting:
        reasons = " ".join(f"{name}: {problem}" for name, problem in problems.items())
        others = f"Nothing there is called as the files of {'any' if not problems else 'another'} layout are."
        raise M2VError(
            f"No layout fits {root}, where {len(listing):,} files lie. {reasons}{' ' if reasons else ''}{others} "
            f"Layouts are {', '.join(finders)}; docs/datasets.md says what their files are called."
        )
    # Of two that fit, the one that leaves fewer files over.
    most = max(_n_files(parts) for parts in fitting.values())
    fitting = {name: parts for name, parts in fitting.items() if _n_files(parts) == most}
    if len(fitting) > 1:
        raise M2VError(f"Several layouts fit {root}: {', '.join(fitting)}. Choose one with --layout.")
    [(name, parts)] = fitting.items()
    checked = tuple(_checked(folder, listing, *part) for part in parts)
    named = [(dataset.dataset, part[0]) for dataset, part in zip(checked, parts, strict=True)]
    return FolderReport(name, checked, proposal.documents(name, datasets=named))


def counted(rows: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Return how many rows have label 0 and 1, by split; a split without rows is left out.

    Args:
        rows: Columns ``split`` and ``label``.
    """
    counts = {}
    for split in SPLITS:
        labels = rows.filter(split=split)["label"]
        if len(labels):
            counts[split] = (len(labels) - int(labels.sum()), int(labels.sum()))
    return counts


def _read(folder: Folder, match: Found, layout: str) -> tuple[MemeDataset | VideoDataset, Items]:
    own = match.own_layout or layouts.named(layout, kind="videos" if match.is_video else "memes")
    given: dict[str, Any] = {
        "name": match.name,
        "title": match.name,
        "source": f"my-{layout}",
        "layout": layout,
        "files": match.files,
        "media": ".",
        "split_shares": None if own.has_splits else SHARES,
    }
    if match.is_video:
        known = catalog.load().videos
        like = own.defined_by or match.name
        given["label"] = known[like if like in known else "hatemm"].label
        given["demonstrations"] = match.demonstrations
    dataset = (VideoDataset if match.is_video else MemeDataset).model_validate(given)
    if match.own_layout:
        dataset._own_layouts = {layout: match.own_layout}
    return dataset, readers.items(dataset, files={name: folder.root / name for name in match.files})


def _checked(
    folder: Folder, listing: Listing, match: Found, dataset: MemeDataset | VideoDataset, read: Items
) -> Checked:
    rows = readers.table(dataset, read)
    release, known_as = releases.recognised(_parts(folder, dataset, rows), layout=dataset.layout)
    table = "videos" if match.is_video else "memes"
    findings = [Finding("release_known", table, dataset.name, is_fine=release is not None, summary=known_as)]
    if match.left_out:
        left_out = "; ".join(f"{name}: {why}" for name, why in match.left_out.items())
        summary = f"Left out: {left_out}."
        findings.append(Finding("files_used", table, dataset.name, is_fine=False, summary=summary))
    if isinstance(dataset, VideoDataset):
        findings += [_splits_present(rows, dataset.name), *integrity.video_findings(rows, variant=dataset.name)]
        dataset, told = _demonstrated(folder, dataset, rows)
        findings += told
    else:
        findings += [*_tables_agree(folder, match, dataset, rows), *integrity.meme_findings(rows, variant=dataset.name)]
    media, missing = _media(folder, listing, dataset, rows)
    n_found = rows.height - len(missing)
    summary = f"{n_found:,} of {rows.height:,} {'videos' if match.is_video else 'pictures'} lie there."
    ids = tuple(sorted(set(missing)))
    findings.append(Finding("media_found", table, dataset.name, is_fine=not missing, summary=summary, ids=ids))
    named = {"title": release.title, "languages": (release.language,)} if release else {}
    dataset = dataset.model_copy(update={"media": media, **named})
    files = {name: folder.root / name for name in dataset.files}
    parts = readers.parts(dataset, files=files, ids=set(rows["video_id" if match.is_video else "meme_id"]))
    findings.append(details.rows_used(read.left_out, table=schemas.table(table), variant=dataset.name))
    for kind in details.tables(layouts.of(dataset)):
        findings += details.findings(kind, parts, rows, variant=dataset.name)
    return Checked(dataset, rows, release and release.name, n_found, tuple(findings), parts)


def _n_files(parts: list[Read]) -> int:
    return sum(len({*match.files, *match.aligned.values()}) for match, _, _ in parts)


def _parts(folder: Folder, dataset: MemeDataset | VideoDataset, rows: pl.DataFrame) -> releases.Counts:
    """Return the counts that a release is known by: of splits, but where files tell more or splits are drawn."""
    if isinstance(dataset, MemeDataset) and layouts.of(dataset).counted_by == "file":
        parts = {}
        for name in dataset.files:
            one = dataset.model_copy(update={"files": (name,)})
            [parts[PurePosixPath(name).stem]] = counted(readers.memes(one, files={name: folder.root / name})).values()
        return parts
    if dataset.split_shares:
        [everything] = counted(rows.with_columns(split=pl.lit("train"))).values()
        return {"all": everything}
    return counted(rows)


def _tables_agree(folder: Folder, match: Found, dataset: MemeDataset, rows: pl.DataFrame) -> list[Finding]:
    """Return whether tables of the same memes under several targets hold the same memes, where there are several."""
    others = [name for name in match.aligned.values() if name not in dataset.files]
    differing = []
    for name in others:
        other = readers.memes(dataset.model_copy(update={"files": (name,)}), files={name: folder.root / name})
        if not other.equals(rows):
            differing.append(name)
    summary = f"Memes, texts or labels differ between {dataset.files[0]} and {', '.join(differing)}; the first is used."
    if not differing:
        summary = f"{', '.join([*dataset.files, *others])} hold the same memes."
    fine = Finding("tables_agree", "memes", dataset.name, is_fine=not differing, summary=summary)
    return [fine] if others else []


def _demonstrated(folder: Folder, dataset: VideoDataset, rows: pl.DataFrame) -> tuple[VideoDataset, list[Finding]]:
    """Return the dataset with what was found about its demonstrations; without them where they cannot be used.

    Their labels are the definition's words, which nothing in a folder says.
    """
    if dataset.demonstrations is None:
        return dataset, []
    files = {dataset.demonstrations: folder.root / dataset.demonstrations}
    try:
        shown = readers.demonstrations(dataset, files=files)
    except BadInput as error:
        summary = f"Its demonstrations are left out: {str(error).replace(f'{folder.root}/', '')}"
        finding = Finding("demonstrations_read", "demonstrations", dataset.name, is_fine=False, summary=summary)
        return dataset.model_copy(update={"demonstrations": None}), [finding]
    return dataset, integrity.demonstration_findings(shown, rows, variant=dataset.name)


def _splits_present(videos: pl.DataFrame, variant: str) -> Finding:
    absent = [split for split in SPLITS if split not in counted(videos)]
    summary = (
        f"No videos stand in {', '.join(absent)}, and a study needs them." if absent else "Every split has videos."
    )
    return Finding("splits_present", "videos", variant, is_fine=not absent, summary=summary)


def _media(
    folder: Folder, listing: Listing, dataset: MemeDataset | VideoDataset, rows: pl.DataFrame
) -> tuple[str, list[str]]:
    """Return the media folder of which most are found, below the folder, and the ids of the items without theirs.

    It is the folder, or the one with the dataset's own files; or nothing but M2V_MEDIA, where that is set.
    """
    kind = ("video_id", "video") if isinstance(dataset, VideoDataset) else ("meme_id", "image")
    tried = []
    for below in dict.fromkeys([".", str(PurePosixPath(dataset.files[0]).parent)]):
        place = sources.media(
            dataset.model_copy(update={"media": str((folder.root / below).resolve())}),
            proposal.source(dataset.layout, files=[]),
            home=folder.root,
        )
        there = listing if below == "." and place == folder.root.resolve() else Listing(place)
        named = mediapaths.resolved(rows, dataset, there, item_id=kind[0], media=kind[1])
        missing = [item for item, name in named.select(kind).iter_rows() if name is None or there.find([name]) is None]
        tried.append((below, missing))
    return min(tried, key=lambda attempt: len(attempt[1]))
