"""Labelling and encoding on a Ray cluster of two workers against the plain programs, on the same items.

Three ways, each a whole program: on one core, on both cores, and by Ray with two workers of one core each, whose head
is idle. What a second host is worth is the first over the third; what Ray costs where work does not dominate is what
the third takes more on a few items. What is known is deleted before each, and must be the same after it.

Both workers are on one machine, whose cores share caches and memory: what they do of plain matrix products at once,
over one alone, is the limit, and measured too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import vlms
from figure import report, scratch_folder
from labelling import N_DEMONSTRATIONS, asked
from m2v import catalog
from m2v.datasets import sample
from m2v_resources.launching.program import ALLOCATOR

N_ITEMS, N_TEXTS, N_FEW, TARGET = 4_096, 24_000, 8, 1.6
WAYS = ("one core", "both cores", "ray")


class Work:
    """A program, and the ways to run it.

    Attributes:
        n: How many items make the work dominate.
    """

    name: str
    n: int

    def __init__(self, folder: Path, *, by_ray: dict[str, str]) -> None:
        self.folder, self.by_ray = folder, by_ray
        self.said: dict[int, np.ndarray] = {}

    def __call__(self, way: str, n: int) -> float:
        """Seconds of the program on the first so many items."""
        for kept in ("requests", "cache", "out"):
            shutil.rmtree(self.folder / kept, ignore_errors=True)
        with cores(1 if way == "one core" else 2):
            seconds, vectors = self.run(n, self.by_ray if way == "ray" else {})
        assert len(vectors) == n
        assert np.abs(vectors - self.said.setdefault(n, vectors)).max() < 1e-6
        return seconds

    def run(self, n: int, environment: Any) -> tuple[float, np.ndarray]:
        """Seconds that the program counts, and what it found."""
        raise NotImplementedError


class Labelling(Work):
    """A model of about 20 million parameters asked about memes."""

    name, n = "memes labelled", N_ITEMS

    def __init__(self, folder: Path, *, by_ray: dict[str, str]) -> None:
        super().__init__(folder, by_ray=by_ray)
        self.model = vlms.entry("llava_next_video")
        self.examples = vlms.items(folder, N_DEMONSTRATIONS, seed=1)
        self.items = [{"item_id": str(place), **row} for place, row in enumerate(vlms.items(folder, N_ITEMS, seed=2))]

    def run(self, n: int, environment: Any) -> tuple[float, np.ndarray]:
        manifest = asked(self.folder, "out", self.items[:n], self.examples, model=self.model, **environment)
        answers = pl.read_parquet(self.folder / "out" / "answers.parquet")
        return manifest["seconds"], answers["probability"].to_numpy()


class Encoding(Work):
    """all-MiniLM-L6-v2 on texts of the sample's words."""

    name, n = "texts encoded", N_TEXTS

    def run(self, n: int, environment: Any) -> tuple[float, np.ndarray]:
        draw, words = np.random.default_rng(0), " ".join(sample.ATTACKS + sample.FRIENDLY).split()
        texts = [" ".join(draw.choice(words, size=draw.integers(8, 40))) + f" {place}" for place in range(n)]
        rows = {"modality": "text", "sha256": [f"{place:08}" for place in range(n)], "text": texts, "path": None}
        pl.DataFrame(rows).write_parquet(self.folder / "parts.parquet")
        spec = {
            "extractor": catalog.load().models["minilm"].model_dump(mode="json"),
            "parts": str(self.folder / "parts.parquet"),
            "media": None,
            "home": str(self.folder),
        }
        path, out = self.folder / "encode.json", self.folder / "out"
        path.write_text(json.dumps(spec), encoding="utf-8")
        program = [sys.executable, "-m", "m2v.features.program", "--spec", str(path), "--out", str(out)]
        subprocess.run(program, check=True, capture_output=True, env=os.environ | environment)
        vectors = pl.read_parquet(out / "vectors.parquet").sort("sha256")["vector"]
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        return manifest["seconds"], np.stack(vectors.to_list())


@contextmanager
def cores(n: int) -> Iterator[None]:
    """Only so many for what is started meanwhile."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(mine)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def main() -> None:
    # As the launcher starts programs; hosts and copies get it from here too.
    os.environ |= ALLOCATOR
    # The tests know how to start a cluster.
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.cluster.raying import Cluster

    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch, Cluster(Path(scratch)) as cluster:
        cluster.grow(2)
        by_ray = {"M2V_SPREAD": "ray", "RAY_ADDRESS": f"127.0.0.1:{cluster.gcs}"}
        for work in (Labelling(Path(scratch), by_ray=by_ray), Encoding(Path(scratch), by_ray=by_ray)):
            compare(work)
    report("hosts: matrix products on both cores, over one", limit(), unit="× as many", target="–", holds=True)


def compare(work: Work) -> None:
    """Report what a second host is worth, and what Ray costs on a few items."""
    # Builds the model, and has every library in the disk's cache.
    for way in WAYS:
        work(way, N_FEW)
    measured = {(way, n): work(way, n) for n in (N_FEW, work.n) for way in WAYS}
    for (way, n), seconds in measured.items():
        sys.stderr.write(f"{n} {work.name}, {way}: {seconds:.1f} s\n")
    one, both, ray = (measured[way, work.n] for way in WAYS)
    title = f"hosts: {work.n:,} {work.name} by Ray with two workers, over"
    report(f"{title} one core", one / ray, unit="× as fast", target=f"≥ {TARGET}", holds=one / ray >= TARGET)
    report(f"{title} both cores in one program", both / ray, unit="× as fast", target="–", holds=True)
    more = measured["ray", N_FEW] - measured["one core", N_FEW]
    report(f"hosts: {N_FEW} {work.name} by Ray, more than on one core", more, unit="s", target="–", holds=True)


def limit() -> float:
    """How many more products of matrices two programs of one thread do at once than one alone."""
    alone, together = products(1), products(2)
    return sum(together) / alone[0]


def products(n: int) -> list[int]:
    """How many each of so many programs does in some seconds."""
    started = [subprocess.Popen([sys.executable, "-c", PRODUCTS], stdout=subprocess.PIPE) for _ in range(n)]
    return [int(process.communicate()[0]) for process in started]


PRODUCTS = """
import time
import torch

torch.set_num_threads(1)
left, right, n, end = torch.randn(1024, 576), torch.randn(576, 2304), 0, time.perf_counter() + 8
while time.perf_counter() < end:
    left @ right
    n += 1
print(n)
"""


if __name__ == "__main__":
    main()
