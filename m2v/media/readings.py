"""Program: the text in pictures, each picture once.

The spec says ``pictures`` (parquet with ``pixels_sha256`` and ``path`` below the home), ``ocr`` (a catalog
entry) and ``home`` (the platform's). The folder gets ``readings.parquet``: columns of ``READINGS``.
"""

import importlib.metadata
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v.entries.readers import Ocr
from m2v.errors import MissingSource
from m2v.files import row_cache, storage
from m2v.media.texts import FILE
from m2v.programs import contract, progress

# What is kept of each picture by its pixels. Boxes have x and y of their corners, clockwise from the upper left one, as
# shares of the picture's width and height.
READINGS = {
    "pixels_sha256": pl.String,
    "lines": pl.List(pl.String),
    "confidences": pl.List(pl.Float64),
    "boxes": pl.List(pl.List(pl.Float64)),
}


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    rows = pl.read_parquet(spec["pictures"]).unique("pixels_sha256").sort("pixels_sha256")
    entry = Ocr.model_validate(spec["ocr"])
    with progress.reporting() as report:
        table = read(dict(rows.iter_rows()), entry=entry, home=Path(spec["home"]), report=report)
    table.write_parquet(out / FILE)
    contract.finish(
        out,
        files=[FILE],
        packages=[entry.package],
        program="m2v.media.readings",
        n_pictures=table.height,
        n_with_text=table.filter(pl.col("lines").list.len() > 0).height,
        seconds=time.monotonic() - began,
    )


def read(pictures: Mapping[str, str], *, entry: Ocr, home: Path, report: progress.Report) -> pl.DataFrame:
    """Return what stands in each picture, line by line from top to bottom; read unless it is known.

    Args:
        pictures: Paths below the home, by the sha256 of their pixels.
        home: The platform's.

    Returns:
        Columns of ``READINGS``, sorted by the first.

    Raises:
        MissingSource: The package is not installed, or another version of it.
    """
    folder = row_cache.folder(home / "media" / "readings", entry.name, entry.identity)
    known = row_cache.known(folder, READINGS)
    unknown = {digest: path for digest, path in pictures.items() if digest not in known}
    if unknown:
        engine = _engine(entry)
        with row_cache.journal(folder, READINGS) as keep:
            for n_done, (digest, path) in enumerate(unknown.items(), start=1):
                keep(pixels_sha256=digest, **_lines(engine, storage.place(home, path)))
                report.step(n_done, len(unknown), unit="pictures read")
    wanted = pl.DataFrame({"pixels_sha256": sorted(pictures)}, schema={"pixels_sha256": pl.String})
    return wanted.join(row_cache.read(folder, READINGS), on="pixels_sha256", how="left").sort("pixels_sha256")


def _engine(entry: Ocr) -> Any:
    way_out = f"pip install '.[ocr]', which brings {entry.package} {entry.version}"
    try:
        installed = importlib.metadata.version(entry.package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingSource(f"{entry.name} needs the package {entry.package}, which is not here: {way_out}.") from None
    if installed != entry.version:
        raise MissingSource(
            f"{entry.name} is {entry.package} {entry.version}, and {installed} is installed, which may read otherwise: "
            f"{way_out}, or name your version in the YAML of the model."
        )
    import rapidocr

    return rapidocr.RapidOCR(params={"Global.log_level": "error"})


def _lines(engine: Any, place: storage.Place) -> dict[str, list]:
    from PIL import Image

    with Image.open(storage.local(place)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    # It takes pictures as OpenCV has them, blue first.
    found = engine(np.ascontiguousarray(pixels[:, :, ::-1]))
    if found.boxes is None:
        return {"lines": [], "confidences": [], "boxes": []}
    boxes = np.asarray(found.boxes, dtype=np.float64) / (width, height)  # (lines, 4, 2)
    return {
        "lines": [str(line) for line in found.txts],
        "confidences": [float(score) for score in found.scores],
        "boxes": boxes.reshape(len(boxes), 8).round(5).tolist(),
    }


if __name__ == "__main__":
    main()
