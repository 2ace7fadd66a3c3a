"""Labelling on a Ray cluster of two workers against the plain program, on the same items.

Three ways, each a whole program with its start: on one core, on both cores, and by Ray with two workers of one core
each, whose head is idle. What a second host is worth is the first over the third; what Ray costs where work does not
dominate is what the third takes more on a few items. What models said is deleted before each, and must be the same.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

import vlms
from figure import report, scratch_folder
from labelling import N_DEMONSTRATIONS, asked

N_ITEMS, N_FEW, N_ROUNDS, TARGET = 1024, 8, 2, 1.6
WAYS = ("one core", "both cores", "ray")


class Labelling:
    """Items, and the ways to label them."""

    def __init__(self, folder: Path, *, by_ray: dict[str, str]) -> None:
        self.folder, self.by_ray = folder, by_ray
        self.model = vlms.entry("llava_next_video")
        self.examples = vlms.items(folder, N_DEMONSTRATIONS, seed=1)
        self.items = [{"item_id": str(place), **row} for place, row in enumerate(vlms.items(folder, N_ITEMS, seed=2))]
        self.said: dict[int, pl.DataFrame] = {}

    def __call__(self, way: str, n: int) -> float:
        """Seconds of the whole program on the first so many items."""
        shutil.rmtree(self.folder / "requests", ignore_errors=True)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        environment: dict[str, Any] = self.by_ray if way == "ray" else {}
        with cores(1 if way == "one core" else 2):
            manifest = asked(self.folder, "out", self.items[:n], self.examples, model=self.model, **environment)
        answers = pl.read_parquet(self.folder / "out" / "answers.parquet")
        difference = (answers["probability"] - self.said.setdefault(n, answers)["probability"]).abs().max()
        assert manifest["n_asked"] == n
        assert isinstance(difference, float)
        assert difference < 1e-6
        return manifest["seconds"]


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
    # The tests know how to start a cluster.
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.cluster.raying import Cluster

    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch, Cluster(Path(scratch)) as cluster:
        cluster.grow(2)
        label = Labelling(Path(scratch), by_ray={"M2V_SPREAD": "ray", "RAY_ADDRESS": f"127.0.0.1:{cluster.gcs}"})
        # Builds the model, and has every library in the disk's cache.
        for way in WAYS:
            label(way, N_FEW)
        for _ in range(N_ROUNDS):
            for n in (N_FEW, N_ITEMS):
                for way in WAYS:
                    found.setdefault((way, n), []).append(label(way, n))
                    sys.stderr.write(f"{n} items, {way}: {found[way, n][-1]:.1f} s\n")

    def ratio(way: str) -> float:
        return median(one / other for one, other in zip(found[way, N_ITEMS], found["ray", N_ITEMS], strict=True))

    title = f"hosts: {N_ITEMS} items labelled by Ray with two workers, over"
    report(
        f"{title} one core",
        ratio("one core"),
        unit="× as fast",
        target=f"≥ {TARGET}",
        holds=ratio("one core") >= TARGET,
    )
    report(f"{title} both cores in one program", ratio("both cores"), unit="× as fast", target="–", holds=True)
    more = median(ray - one for one, ray in zip(found["one core", N_FEW], found["ray", N_FEW], strict=True))
    report(f"hosts: {N_FEW} items labelled by Ray, more than on one core", more, unit="s", target="–", holds=True)


if __name__ == "__main__":
    main()
