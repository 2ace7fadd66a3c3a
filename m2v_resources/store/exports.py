"""Tables as files for other programs."""

import json
import re
from pathlib import Path

import polars as pl

from m2v.errors import M2VError
from m2v.files.whole import replacing

# Spreadsheets run what begins so.
FORMULAS = "^[=+@\t\r-]"


def export_table(frame: pl.DataFrame, path: Path) -> None:
    """Write rows as CSV or parquet, as the path's ending says.

    In CSV lists become JSON, and a text that a spreadsheet would run as a formula begins with an apostrophe; parquet
    holds the rows as they are.

    Raises:
        M2VError: The ending is neither.
        StoreError: The file cannot be written.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise M2VError(f"{path} ends in {path.suffix or 'nothing'}; end it in .csv or .parquet.")
    with replacing(path) as scratch:
        if path.suffix == ".parquet":
            frame.write_parquet(scratch)
        else:
            _flat(frame).write_csv(scratch)


def write_text(text: str, path: Path) -> None:
    """Write a text file whole or not at all.

    Raises:
        StoreError: The file cannot be written.
    """
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    as_json = [pl.Series(name, [_json(cell) for cell in frame[name].to_list()], dtype=pl.String) for name in nested]
    flat = frame.with_columns(as_json).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    guarded = flat.with_columns(pl.col(pl.String).str.replace(f"({FORMULAS})", "'$1"))
    # Of a stranger's release the columns have names of his choice.
    return guarded.rename({name: f"'{name}" for name in guarded.columns if re.match(FORMULAS, name)})


def _json(cell: object) -> str | None:
    return None if cell is None else json.dumps(cell, ensure_ascii=False, default=str)
