"""The tables that are made from datasets' own files."""

import json
from collections.abc import Mapping, Set
from pathlib import Path

import polars as pl

from m2v import schemas
from m2v.datasets import csvfiles, jsonfiles, layouts
from m2v.datasets.textfiles import N_QUOTED, Row, check_unique
from m2v.entries.datasets import Columns, Dataset, MemeDataset, VideoDataset
from m2v.entries.variants import Alignment
from m2v.errors import BadInput, M2VError, MissingColumn
from m2v.files import parquet
from m2v.files.digests import text_sha256


def memes(dataset: MemeDataset, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Return the dataset's memes, sorted by ``meme_id``.

    Args:
        files: The source's files by name.

    Raises:
        UnknownName: No layout has the dataset's ``layout``.
        BadInput: Names the file, row and column that cannot be used.
    """
    return table(dataset, items(dataset, files=files))


def videos(dataset: VideoDataset, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Return the target's videos by ``video_id`` and split; a video may be in two splits, never twice in one."""
    return table(dataset, items(dataset, files=files))


def items(dataset: Dataset, *, files: Mapping[str, Path]) -> layouts.Items:
    """Return the dataset's items as its layout reads them, and what it leaves out.

    Raises:
        BadInput: Names the file, row and column that cannot be used, or the file without rows.
    """
    paths = [files[name] for name in dataset.files]
    read = layouts.items(layouts.of(dataset), paths, dataset=dataset)
    if not read.ids:
        raise BadInput(paths[0], f"has no rows, so {dataset.name} would be empty.")
    return read


def table(dataset: Dataset, read: layouts.Items) -> pl.DataFrame:
    """Return items as rows of ``memes`` or ``videos``, sorted by their key."""
    kind = schemas.VIDEOS if isinstance(dataset, VideoDataset) else schemas.MEMES
    data = {
        kind.key[0]: read.ids,
        "split": read.splits,
        "text": read.texts,
        "label": read.labels,
        **{name: read.media.get(name, [None] * len(read.ids)) for name in ("image", "video", "audio")},
        "text_sha256": [text_sha256(text) for text in read.texts],
    }
    columns = dict(kind.columns)
    return pl.DataFrame({name: data[name] for name in columns}, schema=columns).sort(kind.key)


def parts(dataset: Dataset, *, files: Mapping[str, Path], ids: Set[str]) -> layouts.Parts:
    """Return what else is said of a dataset's items, in its own files or those of its annotations; of others nothing.

    Args:
        files: Of the source of those; without them nothing is said.
        ids: Of the items.
    """
    about = dataset.annotated
    if not files:
        return layouts.Parts()
    paths = [files[name] for name in about.files]
    read = layouts.parts(layouts.of(about), paths, dataset=about, with_labels=dataset.annotations is not None)
    return layouts.Parts(
        [row for row in read.facets if row[0] in ids],
        [row for row in read.segments if row[0] in ids],
        [row for row in read.votes if row[0] in ids],
        [entry for entry in read.malformed if entry[0] in ids],
        [entry for entry in read.again if entry[0] in ids],
        {item_id: label for item_id, label in read.labels.items() if item_id in ids},
    )


def demonstrations(dataset: VideoDataset, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Return the target's few-shot examples in the file's order, none without a file; labels are the target's words."""
    if dataset.demonstrations is None:
        return schemas.DEMONSTRATIONS.empty()
    columns = ["id", "label", "description", "text"]
    rows = csvfiles.read(files[dataset.demonstrations], columns=columns, dialect=csvfiles.LENIENT)
    words = {dataset.label.positive: True, dataset.label.negative: False}
    check_unique(((row["id"],), row) for row in rows)
    return pl.DataFrame(
        {
            "position": range(len(rows)),
            "video_id": [row.filled("id") for row in rows],
            "label": [row.choice("label", words) for row in rows],
            "text": [row["text"] for row in rows],
            "description": [row["description"] or None for row in rows],
        },
        schema=dict(schemas.DEMONSTRATIONS.columns),
    )


def recorded_predictions(alignment: Alignment, *, files: Mapping[str, Path], memes: pl.DataFrame) -> pl.DataFrame:
    """Predictions that were recorded elsewhere, one for each meme, sorted by ``meme_id``.

    Args:
        memes: Rows of ``memes``; memes of the file that are not among them were forgotten.
    """
    recorded, columns = alignment.recorded, alignment.recorded.predictions
    assert columns  # checked when the study was opened
    rows = _recorded(columns, files, {"0": False, "1": True}, known=_meme_ids(alignment, files))
    check_unique(((row["meme_id"],), row["row"]) for row in rows)
    predicted = pl.DataFrame(
        {
            "meme_id": [row["meme_id"] for row in rows],
            "predicted": [row["label"] for row in rows],
            "probability": [_probability(row["row"], columns.probability) for row in rows],
        },
        schema={"meme_id": pl.String, "predicted": pl.Boolean, "probability": pl.Float64},
    )
    absent = memes.join(predicted, on="meme_id", how="anti")["meme_id"]
    if len(absent):
        raise BadInput(files[columns.file], f"has no prediction for {len(absent)} memes, for example {absent.min()!r}.")
    joined = memes.join(predicted, on="meme_id").sort("meme_id")
    asked = [recorded.model, recorded.revision, alignment.target.name]
    requests = [text_sha256(json.dumps(["recorded", *asked, text])) for text in joined["text_sha256"]]
    return joined.select(
        "meme_id",
        original="label",
        predicted="predicted",
        probability="probability",
        model=pl.lit(recorded.model),
        request_sha256=pl.Series(requests, dtype=pl.String),
    )


def recorded_answers(alignment: Alignment, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Answers that were recorded elsewhere, sorted by meme and annotator; an empty cell is no answer.

    Where the file names no annotators there is one, called ``<memes>-recorded-1``.
    """
    columns = alignment.recorded.answers
    if columns is None:
        return schemas.HUMAN_LABELS.empty()
    known = _meme_ids(alignment, files)
    rows = _recorded(columns, files, {"0": False, "1": True, "": None}, known=known)
    answers = [row for row in rows if row["label"] is not None]
    unnamed = f"{alignment.memes.name}-recorded-1"
    names = [row["row"].filled(columns.annotator) if columns.annotator else unnamed for row in answers]
    check_unique(((row["meme_id"], name), row["row"]) for row, name in zip(answers, names, strict=True))
    given = {
        "meme_id": [row["meme_id"] for row in answers],
        "annotator": names,
        "label": [row["label"] for row in answers],
    }
    constant = {"round": "recorded", "role": "annotator", "mode": "unrecorded"}
    columns = schemas.HUMAN_LABELS.columns
    data = {column: given.get(column, [constant.get(column)] * len(answers)) for column in columns}
    return pl.DataFrame(data, schema=dict(columns)).sort("meme_id", "annotator")


def gold_labels(alignment: Alignment, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Labels that are known to be right, columns ``meme_id`` and ``label``, sorted; none where none were given."""
    return _labels(alignment, alignment.recorded.gold, files)


def recorded_votes(alignment: Alignment, *, files: Mapping[str, Path]) -> pl.DataFrame:
    """Return final labels that were published, columns ``meme_id`` and ``label``, sorted; none where none were."""
    return _labels(alignment, alignment.recorded.votes, files)


def texts(path: Path, *, id_column: str, text_column: str, layout: str | None = None) -> pl.DataFrame:
    """Return the texts of somebody's own copy of memes: columns ``meme_id`` and ``text``, as datasets' files are read.

    Args:
        layout: One of memes. Without it the file's ending says what it is: commas, tabs, JSON lines or parquet.

    Raises:
        UnknownName: No layout of memes has that name.
        M2VError: There is no such file, it cannot be read, or a column is not there.
    """
    if layout:
        # The catalog's entries describe whole datasets; of this one only the layout and the file are known.
        copy = MemeDataset(name="copy", title=path.name, source="copy", layout=layout, files=(path.name,))
        return memes(copy, files={path.name: path}).select("meme_id", "text")
    columns = [id_column, text_column]
    known = {
        ".csv": lambda: csvfiles.read(path, columns=columns, others=True),
        ".tsv": lambda: csvfiles.read(path, columns=columns, others=True, dialect=csvfiles.TABS),
        ".jsonl": lambda: jsonfiles.records(path, keys=tuple(columns)),
        ".parquet": lambda: _parquet(path, columns),
    }
    if path.suffix not in known:
        problem = f"ends in none of {', '.join(known)}, and the ending says how it is read; or name its --layout."
        raise BadInput(path, problem)
    try:
        read = known[path.suffix]()
    except MissingColumn as error:
        raise M2VError(f"{error} Name yours with --id and --text-column, or the file's --layout.") from None
    rows = [(row[id_column], row[text_column]) for row in read]
    return pl.DataFrame(rows, schema={"meme_id": pl.String, "text": pl.String}, orient="row")


def _parquet(path: Path, columns: list[str]) -> list[dict[str, str]]:
    return parquet.read(path, columns=columns).select(pl.col(columns).cast(pl.String)).to_dicts()


def _labels(alignment: Alignment, columns: Columns | None, files: Mapping[str, Path]) -> pl.DataFrame:
    if columns is None:
        return pl.DataFrame(schema={"meme_id": pl.String, "label": pl.Boolean})
    rows = _recorded(columns, files, {"0": False, "1": True}, known=_meme_ids(alignment, files))
    check_unique(((row["meme_id"],), row["row"]) for row in rows)
    data = {"meme_id": [row["meme_id"] for row in rows], "label": [row["label"] for row in rows]}
    return pl.DataFrame(data, schema={"meme_id": pl.String, "label": pl.Boolean}).sort("meme_id")


def _meme_ids(alignment: Alignment, files: Mapping[str, Path]) -> Set[str]:
    """Of the file and not of a table: an answer about no meme is an error, and must not be lost in a join."""
    return set(items(alignment.memes, files=files).ids)


def _recorded(
    columns: Columns,
    files: Mapping[str, Path],
    choices: Mapping[str, bool | None],
    *,
    known: Set[str],
) -> list[dict]:
    names = [name for name in (columns.meme_id, columns.label, columns.annotator, columns.probability) if name]
    rows = csvfiles.read(files[columns.file], columns=names, others=True)
    for row in rows:
        if row.filled(columns.meme_id) not in known:
            raise row.bad(columns.meme_id, f"{row[columns.meme_id][:N_QUOTED]!r} is no meme of the dataset.")
    return [{"meme_id": row[columns.meme_id], "label": row.choice(columns.label, choices), "row": row} for row in rows]


def _probability(row: Row, column: str | None) -> float | None:
    if not column or not row[column]:
        return None
    try:
        value = float(row[column])
    except ValueError as error:
        raise row.bad(column, f"{row[column][:N_QUOTED]!r} is not a number.") from error
    if not 0 <= value <= 1:
        raise row.bad(column, "is not between 0 and 1.")
    return value
