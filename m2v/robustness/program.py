"""Program: operators make new items of a dataset's videos, and what stands in new frames is read where no text is left.

The spec says ``operators`` (catalog entries with their ``folder``), ``items`` (parquet with ``item_id``, ``label``,
``text``, ``frames`` (paths below the home) and ``frame_sha256``), ``ocr`` (a catalog entry, or null) and ``home`` (the
platform's). The folder gets ``made.parquet``, columns of ``MADE``; new frames lie in ``media/made`` below the home,
named by their content.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from m2v.entries.operators import Operator
from m2v.entries.readers import Ocr
from m2v.errors import Unusable
from m2v.files import storage
from m2v.files.whole import replacing
from m2v.media import readings
from m2v.media import texts as reading
from m2v.programs import contract, progress
from m2v.programs.progress import Report
from m2v.robustness import items, registry
from m2v.robustness.draws import generator
from m2v.robustness.operated import label

FILE, PLACE = "made.parquet", "media/made"
MADE = {
    **dict.fromkeys(("operator", "item_id", "parent_id", "donor_id"), pl.String),
    "label": pl.Boolean,
    "text": pl.String,
    "frames": pl.List(pl.String),
    "frame_sha256": pl.List(pl.String),
}


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    rows, home = pl.read_parquet(spec["items"]).sort("item_id"), Path(spec["home"])
    ocr = Ocr.model_validate(spec["ocr"]) if spec["ocr"] else None
    with progress.reporting() as report:
        parts = [_made(told, rows, home=home, report=report) for told in spec["operators"]]
        made = pl.concat([pl.DataFrame(schema=MADE), *parts])
        if ocr:
            made = read(made, entry=ocr, home=home, report=report)
    made.write_parquet(out / FILE)
    contract.finish(
        out,
        files=[FILE],
        packages=["pillow", *([ocr.package] if ocr else [])],
        program="m2v.robustness.program",
        n_items=made.height,
        seconds=time.monotonic() - began,
    )


def _made(told: Mapping[str, Any], rows: pl.DataFrame, *, home: Path, report: Report) -> pl.DataFrame:
    """Return the new items of one operator, columns of ``MADE``."""
    operator = Operator.model_validate({name: value for name, value in told.items() if name != "folder"})
    operator._folder = Path(told["folder"])
    made = list(_changed(operator, rows, home=home, report=report))
    return pl.DataFrame(made, schema=MADE).with_columns(label(operator))


def _changed(operator: Operator, rows: pl.DataFrame, *, home: Path, report: Report) -> Iterator[dict[str, Any]]:
    """Yield the new items of one operator, still with their parents' labels."""
    operation = registry.of(operator)
    parents = rows if operation.parents == "all" else rows.filter(label=operation.parents == "positive")
    for n_done, row in enumerate(parents.iter_rows(named=True), start=1):
        others = rows.filter(label=not row["label"])
        if others.is_empty():
            continue
        place = int(generator(operator.seed, row["item_id"], operator.kind).integers(others.height))
        donor = others.row(place, named=True)
        item, given = _item(row, operation, home), _item(donor, operation, home)
        try:
            new = items.changed(operator, item, donor=given)
        except Unusable:
            # Which items an operator cannot change is counted in `robustness`.
            continue
        kept = [(path, sha) for path, sha in zip(row["frames"] or [], row["frame_sha256"] or [], strict=True)]
        if new.frames != item.frames:
            kept = [_kept(frame, home) for frame in new.frames]
        yield {
            "operator": operator.name,
            "item_id": f"{row['item_id']}~{operator.name}",
            "parent_id": row["item_id"],
            "donor_id": donor["item_id"] if operator.kind in {"quotation", "neutral"} else None,
            "label": row["label"],
            "text": new.text,
            "frames": [path for path, _ in kept],
            "frame_sha256": [sha for _, sha in kept],
        }
        report.step(n_done, parents.height, unit=f"videos changed by {operator.name}")


def read(made: pl.DataFrame, *, entry: Ocr, home: Path, report: Report) -> pl.DataFrame:
    """Return new items with the text that stands in their frames, in order, where they have no other.

    Args:
        made: Columns of ``MADE``.
    """
    silent = made.filter(pl.col("text").str.strip_chars() == "").select("item_id", "frames", "frame_sha256")
    shown = silent.explode("frames", "frame_sha256").drop_nulls()
    pictures = dict(shown.select("frame_sha256", "frames").iter_rows())
    if not pictures:
        return made
    found = readings.read(pictures, entry=entry, home=home, report=report)
    said = {
        digest: reading.text(lines, sure, min_confidence=entry.min_confidence)[0]
        for digest, lines, sure in found.select("pixels_sha256", "lines", "confidences").iter_rows()
    }
    texts_read = {
        item: " ".join(said[digest] for digest in digests if said[digest]).replace("\n", " ")
        for item, digests in silent.select("item_id", "frame_sha256").iter_rows()
    }
    new = [texts_read.get(item, text) for item, text in made.select("item_id", "text").iter_rows()]
    return made.with_columns(text=pl.Series(new, dtype=pl.String))


def _item(row: Mapping[str, Any], operation: registry.Operation, home: Path) -> items.Item:
    paths = [storage.local(storage.place(home, path)) for path in (row["frames"] or []) if operation.needs_frames]
    return items.Item(row["item_id"], row["text"], items.opened(paths))


def _kept(frame: Image.Image, home: Path) -> tuple[str, str]:
    """Write a frame below the home, named by its pixels; return its path there and their sha256."""
    digest = hashlib.sha256(f"{frame.width}x{frame.height}:".encode() + frame.tobytes()).hexdigest()
    path = home / PLACE / f"{digest}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            frame.save(scratch, format="PNG", compress_level=1)
    return f"{PLACE}/{path.name}", digest


if __name__ == "__main__":
    main()
