"""Program: memes' pictures, decoded once.

The spec says ``memes`` (parquet with ``meme_id`` and ``image``), ``media`` (the place that images lie below), ``home``
(the platform's) and ``version`` (which, when it changes, has known results recomputed). The folder gets
``pictures.parquet``: rows of ``meme_images``, their paths relative to the home.
"""

import time
from pathlib import Path
from typing import Any

import polars as pl

from m2v import schemas
from m2v.files import storage
from m2v.media import images
from m2v.media.stamps import Stamps, stamps_below
from m2v.programs import contract, progress, workers

PLACE = "media/pictures"
# Pictures to a task: one file of results for so many.
CHUNK = 64


def main() -> None:
    spec, out = contract.arguments(__doc__ or "")
    if contract.complete(out):
        return
    began = time.monotonic()
    rows = pl.read_parquet(spec["memes"]).sort("meme_id")
    media, home = storage.given(spec["media"]), Path(spec["home"])
    stamps = stamps_below(media)
    chunks = [rows.slice(start, CHUNK).rows() for start in range(0, rows.height, CHUNK)]
    tasks = {
        str(number): _task(chunk, media, stamps=stamps, version=spec["version"]) for number, chunk in enumerate(chunks)
    }
    with progress.reporting() as report:
        results = workers.results(
            tasks, pictures, folder=storage.place(home, PLACE), report=report, unit="batches of pictures"
        )
    made = [row for name, task in tasks.items() for row in _rows(task, results[name])]
    table = pl.DataFrame(made, schema=dict(schemas.MEME_IMAGES.columns)).sort("meme_id")
    table.write_parquet(out / "pictures.parquet")
    contract.finish(
        out,
        files=["pictures.parquet"],
        packages=["pillow", "imagehash"],
        program="m2v.media.pictures",
        n_pictures=table.height,
        n_unusable=table["problem"].is_not_null().sum(),
        seconds=time.monotonic() - began,
    )


def pictures(task: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return a chunk's pictures, written as PNG into the task's folder; their hashes, or what is wrong with them."""
    rows = []
    for meme_id, name, _ in task["pictures"]:
        try:
            if name is None:
                raise images.NoPicture("missing")
            path = images.below(storage.given(task["media"]), name)
            picture = images.read(path)
        except images.NoPicture as error:
            rows.append({"meme_id": meme_id, "problem": error.reason})
            continue
        # Named by its pixels: equal pictures are one file.
        copy = place / f"{picture.pixels_sha256[:32]}.png"
        if not copy.exists():
            picture.image.save(copy, compress_level=1)
        rows.append(
            {
                "meme_id": meme_id,
                "file": copy.name,
                "width": picture.width,
                "height": picture.height,
                "pixels_sha256": picture.pixels_sha256,
                "perceptual_hash": picture.perceptual_hash,
                "is_torn": picture.is_torn,
            }
        )
    return {"pictures": rows}


def _task(chunk: list[tuple[Any, ...]], media: storage.Place, *, stamps: Stamps, version: str) -> dict[str, Any]:
    listed = [[meme_id, name, stamps(name) if name else None] for meme_id, name in chunk]
    return {"pictures": listed, "media": storage.absolute(media), "side": images.SIDE, "version": version}


def _rows(task: dict[str, Any], result: dict[str, Any]) -> list[dict[str, Any]]:
    if "problem" in result:
        return [{"meme_id": meme_id, "problem": "unreadable"} for meme_id, _, _ in task["pictures"]]
    place = f"{PLACE}/{workers.key(task)}"
    return [
        {**picture, "path": f"{place}/{picture['file']}"} if "file" in picture else picture
        for picture in result["pictures"]
    ]


if __name__ == "__main__":
    main()
