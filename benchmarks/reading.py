"""What it costs to read a dataset's files: MMHS150K's size, as JSON by id with three votes each; and names of media.

The alternative to reading is ``json.load`` of the same file, which checks nothing. Memory is a fresh process's peak
over what it had after its imports, as a share of the file.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figure import report, scratch_folder

N_ROWS, N_NAMES, N_FILES = 150_000, 10_000, 100_000


def written(folder: Path) -> Path:
    """Write the files of the dataset; give the largest."""
    draw = random.Random(0)  # noqa: S311 (no secret)
    words = ["leek", "pea", "beet", "kale", "swede", "onion"]
    data, ids = {}, []
    for number in range(N_ROWS):
        text = " ".join(draw.choices(words, k=20))
        labels = [draw.randrange(6) for _ in range(3)]
        name = str(10**18 + number)
        data[name] = {
            "img_url": "u" * 60,
            "labels": labels,
            "tweet_url": "u" * 60,
            "tweet_text": text,
            "labels_str": [],
        }
        ids.append(name)
    path = folder / "MMHS150K_GT.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    (folder / "train_ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    return path


READ = """
import resource, sys, time
from pathlib import Path
from m2v import schemas
from m2v.datasets import details, readers
from m2v.entries.datasets import MemeDataset
folder = Path(sys.argv[1])
names = ("MMHS150K_GT.json", "train_ids.txt")
dataset = MemeDataset(name="mmhs", title="MMHS", source="mmhs", layout="mmhs150k", files=names)
files = {name: folder / name for name in names}
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
memes = readers.memes(dataset, files=files)
parts = readers.parts(dataset, files=files, ids=set(memes["meme_id"]))
votes = details.rows(schemas.SOURCE_VOTES, parts)
assert votes.height == 3 * memes.height
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
NAMES = """
import sys, time
from pathlib import Path
import polars as pl
from m2v.datasets import mediapaths
from m2v.entries.datasets import MemeDataset
dataset = MemeDataset(name="mami", title="MAMI", source="mami", layout="mami", files=("training.csv",))
n = int(sys.argv[2])
rows = pl.DataFrame({"id": [str(i) for i in range(n)], "label": [False] * n, "image": [f"{i}.jpg" for i in range(n)]})
began = time.perf_counter()
listing = mediapaths.Listing(Path(sys.argv[1]))
found = mediapaths.resolved(rows, dataset, listing, item_id="id", media="image")
assert all(listing.find([name]) for name in found["image"])
print(time.perf_counter() - began, len(listing))
"""


def figures(code: str, *arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        folder = Path(scratch)
        path = written(folder)
        seconds, kib = figures(READ, str(folder))
        began = time.perf_counter()
        json.loads(path.read_bytes())
        plain = time.perf_counter() - began
        memory = kib * 1024 / path.stat().st_size
        report("reading: 150,000 items with three votes each", seconds, unit="s", target="≤ 10", holds=seconds <= 10)
        ratio = seconds / plain
        report("reading: the same, over json.load, which checks nothing", ratio, unit="×", target="–", holds=True)
        report("reading: peak memory of it, over the file", memory, unit="×", target="≤ 4", holds=memory <= 4)
        media = folder / "media" / "images"
        media.mkdir(parents=True)
        for number in range(N_FILES):
            (media / f"{number}.jpg").touch()
        seconds, _ = figures(NAMES, str(media.parent), str(N_NAMES))
        title = "reading: 10,000 media names in a folder of 100,000 files"
        report(title, seconds, unit="s", target="≤ 5", holds=seconds <= 5)
        sys.stderr.write(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KiB\n")


if __name__ == "__main__":
    main()
