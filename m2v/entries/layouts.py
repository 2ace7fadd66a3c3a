"""What the catalog says of a layout: how the files of a dataset, as its authors distribute it, say what an item is."""

import string
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from m2v.entries.base import Entry, EntryPart, Name
from m2v.entries.splits import Split

# How a cell says several things, and what a JSON list or a Python one is read as.
ListForm: TypeAlias = Literal["list", "names", "flags"]
SpanForm: TypeAlias = Literal["clock", "seconds"]


class Derived(EntryPart):
    """A column that a file does not have, as a part of one that it has.

    Attributes:
        separator: Between the parts of a cell; ``part`` says which, from 0 on.
        letter: Which letter of that; all of it without.
        spellings: What it is called, by how it is written.
    """

    field: str
    separator: str = Field(min_length=1)
    part: int = Field(ge=0)
    letter: int | None = Field(default=None, ge=0)
    spellings: dict[str, str] = Field(default_factory=dict)


class LayoutFile(EntryPart):
    """A kind of file of a layout.

    Attributes:
        names: Patterns of the file's name, or of the end of its path where one has a slash.
        role: ``items``: a row for each item. ``more``: more fields of the same items. ``texts``: a text for each item.
            ``parts``: of items that stand elsewhere, what facets, segments or votes are read from. ``ids``: a list
            of the ids of a split.
        format: ``csv`` (by ``delimiter``), ``jsonl`` (an object a line), ``json`` (a list of objects, or objects by id,
            whose id is the field ``$id``), ``xlsx``, ``texts`` (JSON: a text by id, or an object of its parts).
        quoted: Whether a cell may stand in quotes; else a quote is a character.
        header: Names of the columns of a file that has no header.
        columns: What a table must have to be taken for this file whatever it is called; all that it has if ``exact``.
        aliases: Other names that a column has in some copies, by its name here.
        sheet: Of a workbook; the first without it.
        key: Column with the item's id, where it is not the layout's ``id``.
        split, label: Of every item in it.
        prefix: Of the ids in it, so that equal names in several files are several items.
        facets: Values that hold for every item in it, by facet.
        of: For ``more``: names of the files whose items it is about; without it, of all.
        derived: For ``more``: columns that are made of those that it has.
        required: Whether a dataset must have one; else it may.
    """

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    role: Literal["items", "more", "texts", "parts", "ids"] = "items"
    format: Literal["csv", "jsonl", "json", "xlsx", "texts"] = "csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quoted: bool = True
    encoding: Literal["utf-8", "iso-8859-1"] = "utf-8"
    header: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    exact: bool = False
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    sheet: str | None = None
    key: str | None = None
    split: Split | None = None
    label: bool | None = None
    prefix: str = ""
    facets: dict[Name, str] = Field(default_factory=dict)
    of: tuple[str, ...] = ()
    derived: dict[str, Derived] = Field(default_factory=dict)
    required: bool = True


class IdRule(EntryPart):
    """Where an item's id is.

    Attributes:
        path: What of a path it is: ``name`` (its last part) or ``stem`` (that without its extension).
        zero_pad: Digits of a whole number, with zeros in front.
    """

    field: str
    path: Literal["name", "stem"] | None = None
    zero_pad: int = Field(default=0, ge=0, le=32)


class TextRule(EntryPart):
    """Where an item's text is.

    Attributes:
        fields: Joined line by line, those that are empty left out.
        missing: What a cell says where there is no text.
        html: Whether HTML entities (``&amp;``) stand for characters.
        from_texts: It is in the file of texts, by the item's id or by the cell of this column.
    """

    fields: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    html: bool = False
    from_texts: str | None = None


class LabelRule(EntryPart):
    """Where an item's label is.

    Attributes:
        field: Its column; without one, the file says it.
        map: What its words mean.
        place: Of a list, which entry is the word; without it the whole cell.
        any_of: Of a list, words of which one makes the item positive.
        majority: Of a list of votes, or of the columns of the layout's ``votes``, as ``map`` reads them: most of them.
            A tie is an error unless ``tie`` says what it is.
        at_least: Of a number, from where on it is a yes.
        folder: The column holds a path, and the name of its folder is the word, in small letters.
    """

    field: str | None = None
    map: dict[str, bool] = Field(default_factory=dict)
    place: int | None = None
    any_of: tuple[str, ...] = ()
    majority: bool = False
    tie: bool | None = None
    at_least: float | None = None
    folder: bool = False


class SplitRule(EntryPart):
    """Where an item's split is, where the file does not say it: a column and what its words mean."""

    field: str
    map: dict[str, Split]


class FacetRule(EntryPart):
    """Where a facet's values are.

    Attributes:
        field: Its column.
        form: How it holds several: ``list`` (a JSON or Python list), ``names`` (that, or separated by commas),
            ``flags`` (a list of 0 and 1 for ``values``); without it, one value.
        flags: Instead of ``field``: columns that say 1 where the value holds, by column.
        values: Of ``flags`` in a list, in order.
        missing: What says that there is none.
        spellings: What a value is called, by how it is written.
        folder: The column holds a path, and the name of its folder is the value, in small letters.
    """

    field: str | None = None
    folder: bool = False
    form: ListForm | None = None
    flags: dict[str, str] = Field(default_factory=dict)
    values: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)
    spellings: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.field is None) == (not self.flags):
            raise ValueError("name either its field or its flags")
        if (self.form == "flags") != bool(self.values):
            raise ValueError("form: flags needs values, and no other form takes them")
        return self


class SegmentRule(EntryPart):
    """Where the spans of an item's segments are.

    Attributes:
        form: ``clock`` (``HH:MM:SS``) or ``seconds``, pairs of which a cell holds a list.
        label: Of every segment; or ``labels_field`` holds a list with flags for ``values`` beside each span.
    """

    field: str
    form: SpanForm
    label: str = ""
    labels_field: str | None = None
    values: tuple[str, ...] = ()


class VoteRule(EntryPart):
    """Where the labels are that whoever labelled the dataset gave.

    Attributes:
        field: A list with a label for each annotator.
        columns: Instead, columns of a label each, called as the annotator or the group is.
        map: What a label is called, by what the file writes.
    """

    field: str | None = None
    columns: tuple[str, ...] = ()
    map: dict[str, str] = Field(default_factory=dict)


def _is_plain(pattern: str) -> str:
    """Return a pattern whose placeholders are names and nothing else: a width of a billion would fill the memory."""
    for _, name, form, conversion in string.Formatter().parse(pattern):
        if form or conversion or (name is not None and (not name or set(name) & set(".[]"))):
            raise ValueError("placeholders are plain names, as in {id}")
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_is_plain)]


class MediaRule(EntryPart):
    """Where an item's medium is: in a column, or called by a pattern with ``{id}`` and columns' names."""

    field: str | None = None
    pattern: Pattern | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.field is None) == (self.pattern is None):
            raise ValueError("name either its field or its pattern")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that it reads."""
        if self.field:
            return (self.field,)
        names = [name for _, name, _, _ in string.Formatter().parse(self.pattern or "") if name]
        return tuple(name for name in names if name != "id")


class Places(EntryPart):
    """The places where a layout's media may lie, tried in order.

    Attributes:
        patterns: Paths below the media folder. ``{name}`` is what the table says, ``{folder}`` that without its last
            part, ``{id}`` the item's id, ``{class}`` its label's folder, ``{extension}`` the table's or another one.
        root: What the distribution's own folder is called, where several lie side by side; tried in front of each.
        classes: The folders of label 0 and of label 1.
        extensions: Tried after the table's own.
        loose: The table's paths start at a place that is not known: leading ``../`` are stripped, and leading folders
            may be absent, as long as what is left has a folder and names the item.
    """

    patterns: tuple[Pattern, ...] = ("{name}",)
    root: str = ""
    classes: tuple[str, str] | None = None
    extensions: tuple[str, ...] = ()
    loose: bool = False


class Release(EntryPart):
    """A release that is known, by how many items of either label each part holds.

    Attributes:
        parts: Rows with label 0 and 1 by split or file, the one that is never absent first; or rows alone.
        note: What whoever has it should know.
    """

    name: Name
    title: str
    language: str = "en"
    parts: dict[str, tuple[int, int] | int]
    note: str = ""


class Layout(Entry):
    """How a dataset's own files say what an item is.

    Attributes:
        items: What it has.
        split: Without it, files say it, or the dataset's ``split_shares`` draw it.
        facets, segments, votes: What else it says of items.
        duplicates: An id that stands twice is an error (``refuse``), or left out where the rows are equal
            (``drop_equal``).
        places: Of its media.
        releases: That are known; ``counted_by`` says whether their parts are splits, files (by name without extension)
            or everything (``all``, where splits are drawn).
        defined_by: Target whose definition of the label its videos share.
        apart: Its splits may lie in folders of their own.
        overlaps: A file whose items stand in an earlier file of its split is left out of what is proposed.
    """

    items: Literal["memes", "videos"]
    files: Annotated[tuple[LayoutFile, ...], Field(min_length=1)]
    id: IdRule
    text: TextRule = TextRule()
    label: LabelRule
    split: SplitRule | None = None
    media: dict[Literal["image", "video", "audio"], MediaRule] = Field(default_factory=dict)
    facets: dict[Name, FacetRule] = Field(default_factory=dict)
    segments: SegmentRule | None = None
    votes: VoteRule | None = None
    duplicates: Literal["refuse", "drop_equal"] = "refuse"
    places: Places = Places()
    releases: tuple[Release, ...] = ()
    counted_by: Literal["split", "file"] = "split"
    defined_by: str | None = None
    overlaps: bool = False
    apart: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the rows that are read, in plain data: not what it is called, knows of releases or of media."""
        besides = {"name", "title", "places", "releases", "counted_by", "defined_by", "overlaps", "apart"}
        # Without what is so by default, a rule that is new one day makes no older layout another one.
        return self.model_dump(mode="json", exclude=besides, exclude_defaults=True)

    @property
    def has_splits(self) -> bool:
        """Whether its files say an item's split; else it is drawn."""
        return bool(self.split) or any(file.split for file in self.files)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that an item's row must have."""
        return tuple(dict.fromkeys(self._required()))

    def _required(self) -> Iterator[str]:
        yield from () if self.id.field.startswith("$") else (self.id.field,)
        yield from self.text.fields
        if self.split:
            yield self.split.field
        for rule in self.media.values():
            yield from rule.fields

    @property
    def optional(self) -> tuple[str, ...]:
        """Columns with what else is said of items, which copies of a dataset may lack."""
        return tuple(name for name in dict.fromkeys(self._optional()) if name not in self.required)

    def _optional(self) -> Iterator[str]:
        if self.label.field:
            # Its absence has an error of its own: test files of challenges have none.
            yield self.label.field
        for facet in self.facets.values():
            yield from (facet.field,) if facet.field else facet.flags
        if self.segments:
            yield from (name for name in (self.segments.field, self.segments.labels_field) if name)
        if self.votes:
            yield from (self.votes.field,) if self.votes.field else self.votes.columns

    @property
    def structured(self) -> frozenset[str]:
        """Columns that hold lists."""
        names = {name for name in (self.segments and self.segments.field, self.votes and self.votes.field) if name}
        names |= {rule.field for rule in self.facets.values() if rule.field and rule.form}
        if self.segments and self.segments.labels_field:
            names.add(self.segments.labels_field)
        if self.label.field and (self.label.place is not None or self.label.any_of or self.label.majority):
            names.add(self.label.field)
        return frozenset(names)
