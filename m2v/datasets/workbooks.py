"""Workbooks (xlsx) read as tables: what is wrong is named by file, row and column, and never by its content."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from m2v.datasets.textfiles import MAX_CELL_CHARACTERS, N_QUOTED, Row, called
from m2v.errors import BadInput, MissingColumn

# A workbook is a zip of XML: unpacked it may be this large, and so many times its size.
MAX_BYTES, MAX_RATIO = 1 << 30, 200


def rows(
    path: Path,
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    aliases: Mapping[str, Sequence[str]] | None = None,
    sheet: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a sheet whose first row is its header; whole numbers become text, formulas their last value.

    Args:
        columns: The columns that it must have; ``optional`` are kept where they are there.
        aliases: Other names that a column may have, by its name in the rows.
        sheet: Its name; the first one without it.

    Raises:
        BadInput: It is no workbook, has no such sheet, or names the row and column.
    """
    from openpyxl import load_workbook

    _check_size(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its parts raise
        raise BadInput(path, f"cannot be read as a workbook ({type(error).__name__}).") from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise BadInput(path, f"has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}.")
        values = book[sheet or book.sheetnames[0]].iter_rows(values_only=True)
        header = [str(value).strip() if value is not None else "" for value in next(values, ())]
        places = _places(path, header, columns, optional, aliases or {})
        for number, cells in enumerate(values, start=2):
            if any(cell is not None for cell in cells):
                named = {
                    name: _text(cells[place] if place < len(cells) else None, path, number, name)
                    for name, place in places.items()
                }
                yield Row(path, number, named)
    finally:
        book.close()


def _places(
    path: Path,
    header: list[str],
    columns: Sequence[str],
    optional: Sequence[str],
    aliases: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    names = {column: called(column, aliases, header) for column in (*columns, *optional)}
    places = {column: header.index(name) for column, name in names.items() if name is not None}
    missing = [column for column in columns if column not in places]
    if missing:
        raise MissingColumn(path, f"lacks column {', '.join(missing)}; expected {', '.join(columns)}.", row=1)
    return places


def _text(value: Any, path: Path, number: int, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if len(text) > MAX_CELL_CHARACTERS:
        raise BadInput(path, f"has more than {MAX_CELL_CHARACTERS:,} characters.", row=number, column=column)
    return text


def _check_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(path, f"cannot be read as a workbook ({type(error).__name__}).") from error
    if unpacked > MAX_BYTES or unpacked > MAX_RATIO * max(path.stat().st_size, N_QUOTED):
        raise BadInput(path, f"would unpack to {unpacked:,} bytes, which no honest workbook of its size does.")
