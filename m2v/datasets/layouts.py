"""How each dataset's own files say what an item is: layouts are YAML, read here."""

import contextlib
import fnmatch
import functools
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from m2v.datasets import csvfiles, draws, jsonfiles, rules, workbooks
from m2v.datasets.cells import Malformed
from m2v.datasets.textfiles import N_QUOTED, Row, check_unique, repeated
from m2v.entries.datasets import Dataset, VideoDataset
from m2v.entries.layouts import Layout, LayoutFile, Places
from m2v.errors import BadInput, InvalidCatalog, UnknownName
from m2v.files import documents

FOLDER = Path(__file__).parent.parent / "catalog" / "layouts"
KINDS = ("memes", "videos")


@dataclass
class Items:
    """Memes or videos as their files have them, a list for each column.

    Attributes:
        media: Paths below the dataset's media folder, by column.
        left_out: Ids that are none of the items, with the reason.
    """

    ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[bool] = field(default_factory=list)
    media: dict[str, list[str | None]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Parts:
    """What else the files say of items.

    Attributes:
        facets: Item, facet, value; ``segments``: item, number, start and end in seconds, label; ``votes``: item,
            annotator, label.
        malformed: Items with a cell that is not of its form, and what it was to be: a facet, ``segments``, ``votes``.
        again: Items of which a later row says something else than the first, which stands, and of what.
        labels: Of the items that the files name, as their layout reads it, where that was asked for.
    """

    facets: list[tuple[str, str, str]] = field(default_factory=list)
    segments: list[tuple[str, int, float, float, str]] = field(default_factory=list)
    votes: list[tuple[str, str, str]] = field(default_factory=list)
    malformed: list[tuple[str, str]] = field(default_factory=list)
    again: list[tuple[str, str]] = field(default_factory=list)
    labels: dict[str, bool] = field(default_factory=dict)


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of every layout that comes with us, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@functools.cache
def packaged(name: str) -> Layout:
    """Return a layout that comes with us; each is read when it is asked for, since a study needs few."""
    return Layout.model_validate({"name": name, **documents.read_yaml(FOLDER / f"{name}.yaml")})


def known() -> Mapping[str, Layout]:
    """Return every layout that comes with us, by name."""
    return {name: packaged(name) for name in names()}


def all_called(name: str) -> list[Layout]:
    """Return the layouts of ours that a dataset may mean by a name: one, or one of memes and one of videos."""
    return [packaged(full) for full in (name, *(f"{name}-{kind}" for kind in KINDS)) if full in names()]


def named(name: str, *, kind: str, of: str = "") -> Layout:
    """Return a layout of ours by name; one that holds memes and videos is two, ``NAME-memes`` and ``NAME-videos``.

    Args:
        kind: ``memes`` or ``videos``.
        of: The dataset that names it, for the error.

    Raises:
        UnknownName: There is none of that kind.
    """
    for layout in all_called(name):
        if layout.items == kind:
            return layout
    of_kind = [known_name for known_name, layout in known().items() if layout.items == kind]
    role = f"layout (of {of})" if of else "layout"
    raise UnknownName(role, name, [known_name.removesuffix(f"-{kind}") for known_name in of_kind])


def of(dataset: Dataset) -> Layout:
    """Return a dataset's layout: the one beside its study, or ours.

    Raises:
        UnknownName: Nobody knows it.
    """
    kind = "videos" if isinstance(dataset, VideoDataset) else "memes"
    return dataset.own_layout or named(dataset.layout, kind=kind, of=dataset.name)


def places(dataset: Dataset) -> Places:
    """Return where a dataset's media may lie; of a layout that nobody knows, where its tables say."""
    meant = [dataset.own_layout] if dataset.own_layout else all_called(dataset.layout)
    return meant[0].places if meant else Places()


def items(layout: Layout, paths: Sequence[Path], *, dataset: Dataset) -> Items:
    """Return the dataset's items.

    Args:
        paths: Its files.

    Raises:
        BadInput: Names the file, row and column that cannot be used.
        InvalidCatalog: A file that the layout needs is not among them, or it has no splits and no shares for them.
    """
    if not layout.has_splits and dataset.split_shares is None:
        problem = f"layout {layout.name!r} has no splits; add `split_shares: {{train: …}}` to its YAML."
        raise InvalidCatalog(dataset.name, problem)
    reader = _Reader(layout, paths, dataset)
    read = Items(media={name: [] for name in layout.media})
    first: dict[tuple[str, str], tuple[Row, tuple]] = {}
    for file, path in reader.of("items"):
        for row in reader.rows(file, path):
            item_id = reader.item_id(row, file)
            split = reader.split(row, file, item_id)
            if split is None:
                read.left_out.append((item_id, "stands in no list of ids"))
                continue
            content = (reader.text(row, item_id), reader.label(row, file))
            # A video may be in two splits, never twice in one; before splits are drawn it could land in two.
            key = (item_id, split if layout.items == "videos" else "")
            if key in first:
                other, known_content = first[key]
                if layout.duplicates == "drop_equal" and content == known_content:
                    read.left_out.append((item_id, "is an equal row once more"))
                    continue
                raise repeated(filter(None, key), row, other)
            first[key] = (Row(row.path, row.number, {}), content if layout.duplicates == "drop_equal" else ())
            read.ids.append(item_id)
            read.splits.append(split)
            read.texts.append(content[0])
            read.labels.append(content[1])
            for name, rule in layout.media.items():
                read.media[name].append(rules.medium(row, rule, item_id))
    if dataset.split_shares and not layout.has_splits:
        read.splits = draws.splits(read.ids, read.labels, shares=dataset.split_shares)
    return read


def parts(layout: Layout, paths: Sequence[Path], *, dataset: Dataset, with_labels: bool = False) -> Parts:
    """Return what else the files say of items: facets, segments, the votes of who labelled them.

    Args:
        with_labels: Whether to read labels too, to compare them with those of the dataset.

    Raises:
        BadInput: A file cannot be read. A cell that is not of its form is counted instead.
    """
    reader = _Reader(layout, paths, dataset, has_texts=False)
    read = Parts()
    first: dict[tuple[str, str], list] = {}

    def take(what: str, item_id: str, rows: list, into: list) -> None:
        if not rows or first.setdefault((item_id, what), rows) is rows:
            into += rows
        elif first[item_id, what] != rows:
            read.again.append((item_id, what))

    for file, path in (*reader.of("items"), *reader.of("parts")):
        for bare in reader.rows(file, path):
            item_id = reader.item_id(bare, file)
            row = reader.with_more(bare, file) if file.role == "items" else bare
            if with_labels and file.role == "items":
                read.labels.setdefault(item_id, reader.label(row, file))
            read.facets += [(item_id, name, value) for name, value in file.facets.items()]
            for name, rule in layout.facets.items():
                with _counted(read, item_id, name):
                    read.facets += [(item_id, name, value) for value in rules.facet_values(row, rule)]
            with _counted(read, item_id, "segments"):
                take("segments", item_id, rules.segments(row, layout, item_id), read.segments)
            with _counted(read, item_id, "votes"):
                take("votes", item_id, rules.votes(row, layout, item_id), read.votes)
    return read


def dialect(file: LayoutFile) -> csvfiles.Dialect:
    """Return how a delimited file of a layout is written."""
    return csvfiles.Dialect(file.delimiter, file.quoted, encoding=file.encoding, header=file.header)


def matches(file: LayoutFile, name: str) -> bool:
    """Return whether a file is called as a kind of file of a layout: its name, or the end of its path."""
    path = PurePosixPath(name)
    for pattern in file.names:
        depth = pattern.count("/") + 1
        if fnmatch.fnmatchcase("/".join(path.parts[-depth:]), pattern):
            return True
    return False


class _Reader:
    """A dataset's files as a layout reads them."""

    def __init__(self, layout: Layout, paths: Sequence[Path], dataset: Dataset, *, has_texts: bool = True) -> None:
        self.layout, self.dataset = layout, dataset
        self.files: list[tuple[LayoutFile, Path]] = []
        for path in paths:
            self.files.append((_kind(layout, path, taken=[file for file, _ in self.files]), path))
        present = {id(file) for file, _ in self.files}
        if not any(file.role == "items" for file, _ in self.files):
            problem = f"layout {layout.name!r} needs {_called(layout, 'items')} among `files`."
            raise InvalidCatalog(dataset.name, problem)
        for file in layout.files:
            is_needed = file.required and file.role != "items" and (has_texts or file.role != "texts")
            if is_needed and id(file) not in present:
                problem = f"layout {layout.name!r} needs {' or '.join(file.names)} among `files`."
                raise InvalidCatalog(dataset.name, problem)
        self.listed = {row["id"]: file.split for file, path in self.of("ids") for row in self.rows(file, path)}
        self.more = {
            (file.of, self.item_id(row, file)): rules.derived(row, file.derived)
            for file, path in self.of("more")
            for row in self.rows(file, path)
        }
        self.texts = {}
        for file, path in self.of("texts"):
            self.texts |= self._texts(file, path)

    def of(self, role: str) -> list[tuple[LayoutFile, Path]]:
        """Return the files with that role."""
        return [(file, path) for file, path in self.files if file.role == role]

    def rows(self, file: LayoutFile, path: Path) -> Iterator[Row]:
        """Yield a file's rows with the layout's columns."""
        wanted = self._wanted(file)
        optional = [name for name in self.layout.optional if name not in wanted]
        if file.format in {"jsonl", "json"}:
            keys = jsonfiles.Wanted(wanted, optional, file.aliases, self.layout.structured)
            return jsonfiles.rows(path, keys) if file.format == "jsonl" else jsonfiles.entries(path, keys)
        common = {"columns": wanted, "optional": optional, "aliases": file.aliases}
        if file.format == "xlsx":
            return workbooks.rows(path, sheet=file.sheet, **common)
        return csvfiles.rows(path, others=not file.exact, dialect=dialect(file), **common)

    def _wanted(self, file: LayoutFile) -> list[str]:
        """Return the columns that a file must have."""
        if file.role == "ids":
            return list(file.header)
        key = file.key or self.layout.id.field
        if file.role != "items":
            return list(file.columns) or ([] if key.startswith("$") else [key])
        # JSON may lack a label, which has an error of its own.
        label = self.layout.label.field if file.label is None and file.format not in {"jsonl", "json"} else None
        wanted: dict[str, None] = dict.fromkeys([*self.layout.required, *file.columns])
        if label:
            wanted[label] = None
        about = [other for other, _ in self.of("more") if self._is_about(other, file)]
        given = {column for other in about for column in (*other.header, *other.columns, *other.derived)}
        return [column for column in wanted if column not in given or column == key]

    def item_id(self, row: Row, file: LayoutFile) -> str:
        """Return an item's id."""
        rule = self.layout.id
        if rule.field == "$row":
            return f"{file.prefix}{row.number}"
        column = file.key or rule.field
        if column not in row.cells:
            raise row.bad(column, "is missing.")
        value = row.filled(column)
        if rule.path:
            path = PurePosixPath(value.replace("\\", "/"))
            value = path.stem if rule.path == "stem" else path.name
        return file.prefix + value.zfill(rule.zero_pad)

    def split(self, row: Row, file: LayoutFile, item_id: str) -> str | None:
        """Return an item's split, empty where it is drawn; None where lists of ids have it in none."""
        if file.split:
            return file.split
        if self.layout.split:
            return row.choice(self.layout.split.field, self.layout.split.map)
        return self.listed.get(item_id) if self.listed else ""

    def text(self, row: Row, item_id: str) -> str:
        """Return an item's text."""
        rule = self.layout.text
        if rule.from_texts:
            if not self.of("texts"):
                return ""
            for name in (item_id, row[rule.from_texts]):
                if name in self.texts:
                    return self.texts[name]
            where = self.of("texts")[0][1].name
            problem = f"{item_id[:N_QUOTED]!r} has no text in {where}; add one, an empty one if nothing is said."
            raise row.bad(rule.from_texts, problem)
        kept = [row[name] for name in rule.fields if row[name] not in rule.missing]
        text = kept[0] if len(rule.fields) == 1 and kept else "\n".join(filter(None, kept))
        return html.unescape(text) if rule.html else text

    def label(self, row: Row, file: LayoutFile) -> bool:
        """Return an item's label."""
        rule, layout = self.layout.label, self.layout
        if file.label is not None:
            return file.label
        if rule.majority and rule.field is None and layout.votes:
            present = [name for name in layout.votes.columns if row.cells.get(name)]
            return rules.most(row, [row.choice(name, rule.map) for name in present], rule, present)
        assert rule.field  # a layout without one says the label by its files
        source = self.with_more(row, file)
        if source.cells.get(rule.field, "") == "" and rule.field not in source.cells:
            problem = "has no label; the challenge's test files have none. Leave this file out of `files`."
            raise row.bad(rule.field, problem)
        return rules.label(source, rule)

    def with_more(self, row: Row, file: LayoutFile) -> Row:
        """Return an item's row with the fields that another file has of it.

        Raises:
            BadInput: That file has no such row.
        """
        for other, _ in self.of("more"):
            if self._is_about(other, file):
                bare = self.item_id(row, file).removeprefix(file.prefix)
                extra = self.more.get((other.of, bare))
                if extra is None:
                    problem = f"{bare[:N_QUOTED]!r} has no row in {' or '.join(other.names)}."
                    raise row.bad(self.layout.id.field, problem)
                return Row(row.path, row.number, {**row.cells, **extra.cells})
        return row

    def _is_about(self, other: LayoutFile, file: LayoutFile) -> bool:
        return other.role == "more" and (not other.of or bool(set(other.of) & set(file.names)))

    def _texts(self, file: LayoutFile, path: Path) -> dict[str, str]:
        if file.format == "texts":
            return jsonfiles.texts(path)
        key = file.key or self.layout.id.field
        rows = csvfiles.read(path, columns=[key, "text"], others=True, dialect=dialect(file))
        check_unique(((row[key],), row) for row in rows)
        return {row[key]: row["text"] for row in rows}


@contextlib.contextmanager
def _counted(read: Parts, item_id: str, what: str) -> Iterator[None]:
    """Count a cell that is not of its form, instead of stopping at it."""
    try:
        yield
    except Malformed:
        read.malformed.append((item_id, what))


def _kind(layout: Layout, path: Path, *, taken: Sequence[LayoutFile]) -> LayoutFile:
    """Return which kind of the layout's files a file is: by its name, or by its ending where that leaves no doubt.

    Args:
        taken: What the dataset's files before it are.
    """
    kind = next((file for file in layout.files if matches(file, path.as_posix())), None)
    if kind is None:
        alike = [file for file in layout.files if _ending(file) == path.suffix and file not in taken]
        free = [file for file in alike if not file.split]
        known_by_columns = [file for file in alike if file.columns]
        kind = free[0] if free else known_by_columns[0] if len(known_by_columns) == 1 else None
    if kind is None:
        called = " or ".join(name for file in layout.files for name in file.names if "*" not in name)
        raise BadInput(path, f"is called like none of the files of layout {layout.name!r}: {called}.")
    return kind


def _ending(file: LayoutFile) -> str:
    return PurePosixPath(file.names[0]).suffix


def _called(layout: Layout, role: str) -> str:
    return " or ".join(name for file in layout.files if file.role == role for name in file.names)
