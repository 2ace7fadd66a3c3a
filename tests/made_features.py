"""Features made for tests: a picture and a text, each with a bit that is 0 or 1, and a label that is made of both."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from m2v import schemas
from m2v.detectors import program
from m2v.detectors.family import Detector
from m2v.programs.progress import quiet
from tests import tables

SIZE = 24
MODALITIES = {"eye": "picture", "pen": "text"}
Label = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Patch:
    """Items of a dataset ``garden`` with features by ``eye`` (pictures) and ``pen`` (texts), in files.

    Args:
        label: Of the bits of pictures and of texts, (items,) bool each.
        n: Items to train on; half as many to select, and to test.
        strength: How far a bit moves a vector, in deviations of its noise.
        n_parts: Vectors of each modality; the bit is in one of them.
        lacking: Share of items that lack a modality, by extractor.
    """

    def __init__(
        self,
        folder: Path,
        label: Label,
        *,
        n: int = 600,
        strength: float = 3,
        n_parts: int = 1,
        lacking: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        generator = np.random.default_rng(11)
        splits = ["train"] * n + ["validation"] * (n // 2) + ["test"] * (n // 2)
        bits = generator.integers(0, 2, (2, 2 * n)).astype(bool)
        ids = [f"i{number:04}" for number in range(2 * n)]
        self.items = pl.DataFrame(
            {"dataset": "garden", "item_id": ids, "split": splits, "label": label(*bits)},
            schema_overrides={"split": schemas.SPLITS},
        )
        for name, bit in zip(MODALITIES, bits, strict=True):
            direction = generator.normal(size=SIZE)
            direction /= np.linalg.norm(direction)
            vectors = generator.normal(size=(2 * n, n_parts, SIZE))
            which = generator.integers(0, n_parts, 2 * n)
            vectors[np.arange(2 * n), which] += strength * np.where(bit, 1, -1)[:, None] * direction
            lacks = generator.random(2 * n) < (lacking or {}).get(name, 0)
            rows = [
                {
                    "item_id": item,
                    "split": split,
                    "modality": MODALITIES[name],
                    "part": part,
                    "vector": None if lacks[place] else vectors[place, part].tolist(),
                }
                for place, (item, split) in enumerate(zip(ids, splits, strict=True))
                for part in range(1 if lacks[place] else n_parts)
            ]
            tables.frame(schemas.FEATURES, rows, role="item", token=0).write_parquet(folder / f"{name}.parquet")
        for split in ("train", "validation", "test"):
            self.of(split).write_parquet(folder / f"{split}.parquet")

    def of(self, split: str) -> pl.DataFrame:
        return self.items.filter(split=split)

    def spec(self, entry: Detector, **changes: Any) -> dict[str, Any]:
        return {
            "model": entry.model_dump(mode="json"),
            "home": str(self.folder),
            "features": {each: {"garden": str(self.folder / f"{each}.parquet")} for each in entry.features_named},
            "train": str(self.folder / "train.parquet"),
            "validation": str(self.folder / "validation.parquet"),
            **changes,
        }

    def made(self, entry: Detector, name: str, **changes: Any) -> Path:
        out = self.folder / name
        out.mkdir()
        program.run(self.spec(entry, **changes), out, quiet())
        return out

    def scored(self, entry: Detector, checkpoint: Path, **changes: Any) -> Path:
        """Return the folder with what the checkpoint says of the test items."""
        items = str(self.folder / "test.parquet")
        number = len(list(self.folder.iterdir()))
        return self.made(entry, f"scored-{number}", checkpoint=str(checkpoint), items=items, **changes)

    def auroc(self, entry: Detector, checkpoint: Path, **changes: Any) -> float:
        from m2v.detectors import selection

        scored = pl.read_parquet(self.scored(entry, checkpoint, **changes) / program.PROBABILITIES)
        assert scored["item_id"].to_list() == self.of("test")["item_id"].to_list()
        value = selection.auroc(self.of("test")["label"].to_numpy(), scored["probability"].to_numpy())
        assert value is not None
        return value


def xor(picture: np.ndarray, text: np.ndarray) -> np.ndarray:
    return picture ^ text


def only_text(picture: np.ndarray, text: np.ndarray) -> np.ndarray:
    return text


def only_picture(picture: np.ndarray, text: np.ndarray) -> np.ndarray:
    return picture
