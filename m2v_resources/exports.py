"""Tables as files for other programs."""

from pathlib import Path

import polars as pl

from m2v.errors import M2VError
from m2v_resources.files import replacing


def export_table(frame: pl.DataFrame, path: Path) -> None:
    """Write rows as CSV or parquet, as the path's ending says; lists become JSON in CSV.

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
            flat = frame.with_columns(
                pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(",")).alias(name)
                for name, dtype in frame.schema.items()
                if isinstance(dtype, pl.List)
            )
            flat.write_csv(scratch)


def write_text(text: str, path: Path) -> None:
    """Write a text file whole or not at all.

    Raises:
        StoreError: The file cannot be written.
    """
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
