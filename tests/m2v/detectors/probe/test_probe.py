import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save

from m2v import catalog, schemas
from m2v.detectors import program
from m2v.detectors.probe import program as probe_program
from m2v.detectors.probe import regression
from m2v.detectors.probe.entry import Probe
from m2v.errors import StoreError, UnknownName
from m2v.files.digests import file_sha256
from m2v.programs.progress import quiet
from tests import tables

ENTRY = catalog.load().models["minilm-probe"]
assert isinstance(ENTRY, Probe)


def blobs(n: int, *, seed: int, positive_share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds on the unit sphere, (n, 8), float32, and which one each point is of."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) < positive_share * n
    points = generator.normal(size=(n, 8)) + labels[:, None] * 1.2
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


def test_a_head_learns_and_is_scikit_learns_own() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = blobs(200, seed=0, positive_share=0.2)
    head = regression.fit(features, labels, probe=ENTRY, validation=None)
    theirs = LogisticRegression(C=ENTRY.paper_c, class_weight="balanced", max_iter=2000).fit(features, labels)
    found, expected = head.probabilities(features), theirs.predict_proba(features)[:, 1]
    assert np.allclose(found, expected, atol=1e-6)
    assert (head.threshold, head.selection) == (0.5, {})


def test_the_validation_split_chooses_c_and_the_threshold() -> None:
    features, labels = blobs(60, seed=0)
    held_out = blobs(100, seed=1, positive_share=0.3)
    head = regression.fit(features, labels, probe=ENTRY, validation=held_out)
    single = {
        c: regression.fit(features, labels, probe=ENTRY.model_copy(update={"c_grid": (c,)}), validation=held_out)
        for c in ENTRY.c_grid
    }
    scores = {c: each.selection["validation_auroc"] or 0 for c, each in single.items()}
    assert len(set(scores.values())) > 1, "the choice matters here"
    best = min(c for c, score in scores.items() if score == max(scores.values()))
    assert head.selection == {"c": best, "validation_auroc": scores[best]}
    assert head.threshold == single[best].threshold


def test_without_fine_tuning_the_definitions_are_the_head() -> None:
    positive, negative = np.array([1, 0, 0], dtype=np.float32), np.array([0, 1, 0], dtype=np.float32)
    features = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    found = regression.zero_shot(positive, negative, validation=None).probabilities(features)
    scale = regression.ZERO_SHOT_SCALE
    assert np.allclose(found, [1 / (1 + np.exp(-scale)), 1 / (1 + np.exp(scale)), 0.5])
    head = regression.zero_shot(positive, negative, validation=(features, np.array([True, False, True])))
    assert head.selection == {"validation_auroc": 1.0}
    assert found[1] < head.threshold <= found[2]


class Plot:
    """Features of items in a file, and a probe that learns from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.train, self.validation = self.items("train", 60, seed=0), self.items("validation", 40, seed=1)
        definitions = {"positive_definition": np.eye(8)[0], "negative_definition": np.eye(8)[1]}
        rows = [
            *(
                {"role": "item", "item_id": name, "split": split, "sha256": name, "vector": list(vector)}
                for split, (names, matrix, _) in {"train": self.train, "validation": self.validation}.items()
                for name, vector in zip(names, matrix, strict=True)
            ),
            *(
                {"role": role, "item_id": role, "split": None, "sha256": role, "vector": list(vector)}
                for role, vector in definitions.items()
            ),
        ]
        features = tables.frame(schemas.FEATURES, rows, modality="text", part=0, token=0)
        features.write_parquet(folder / "features.parquet")

    def items(self, split: str, n: int, *, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        names = [f"{split}{place}" for place in range(n)]
        matrix, labels = blobs(n, seed=seed)
        rows = pl.DataFrame({"item_id": names, "text_sha256": names, "label": labels})
        rows.write_parquet(self.folder / f"{split}.parquet")
        return names, matrix, labels

    def made(self, name: str, **changes: Any) -> Path:
        """Have the program train, or score, into a folder of that name."""
        spec = {
            "model": ENTRY.model_dump(mode="json"),
            "home": str(self.folder),
            "features": {"minilm": {"garden": str(self.folder / "features.parquet")}},
            "train": str(self.folder / "train.parquet"),
            "validation": str(self.folder / "validation.parquet"),
            "content": {"training_examples": "abc"},
            **changes,
        }
        out = self.folder / name
        out.mkdir()
        program.run(spec, out, quiet())
        return out


@pytest.fixture
def plot(tmp_path: Path) -> Plot:
    return Plot(tmp_path / "plot")


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_a_trained_probe_is_the_head_that_its_features_give(plot: Plot) -> None:
    folder = plot.made("head")
    (_, features, labels), (_, *held_out) = plot.train, plot.validation
    head = regression.fit(features, labels, probe=ENTRY, validation=(held_out[0], held_out[1]))
    found = manifest(folder)
    assert found["content"] == {"training_examples": "abc"}
    assert found["files"] == {"head.safetensors": file_sha256(folder / "head.safetensors")}
    assert (found["threshold"], found["selection"], found["n_train"]) == (head.threshold, head.selection, 60)
    scored = plot.made("scored", checkpoint=str(folder), items=str(plot.folder / "validation.parquet"))
    rows = pl.read_parquet(scored / program.PROBABILITIES)
    assert rows["item_id"].to_list() == plot.validation[0]
    assert np.array_equal(rows["probability"].to_numpy(), head.probabilities(held_out[0]))


def test_an_untrained_probe_is_the_two_definitions(plot: Plot) -> None:
    found = manifest(plot.made("untrained", train=None, validation=None))
    assert (found["threshold"], found["selection"], found["n_train"]) == (0.5, {}, 0)
    head = probe_program.load(plot.folder / "untrained")
    assert np.array_equal(head.weights, regression.ZERO_SHOT_SCALE * (np.eye(8)[0] - np.eye(8)[1]))


def test_equal_inputs_give_equal_bytes(plot: Plot) -> None:
    one, other = ((plot.made(name) / "head.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_head_with_other_keys_is_refused_and_they_are_named(plot: Plot) -> None:
    folder = plot.made("head")
    (folder / "head.safetensors").write_bytes(save({"weight": np.zeros(8), "bias": np.zeros(1)}))
    found = manifest(folder)
    found["files"]["head.safetensors"] = file_sha256(folder / "head.safetensors")
    (folder / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(StoreError, match=r"lacks weights and has weight, which nothing uses"):
        probe_program.load(folder)


def test_a_checkpoint_that_is_not_whole_is_refused(plot: Plot) -> None:
    with pytest.raises(StoreError, match="nowhere is no checkpoint: it has no manifest"):
        probe_program.load(plot.folder / "nowhere")
    folder = plot.made("head")
    (folder / "head.safetensors").write_bytes(save({"weights": np.zeros(8), "bias": np.zeros(1)}))
    with pytest.raises(StoreError, match="is missing or damaged: its sha256 is not the manifest's"):
        probe_program.load(folder)
    for text in ("{", "{}", "[]"):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(StoreError, match="is no checkpoint"):
            probe_program.load(folder)


def test_a_kind_that_no_family_has_is_named(plot: Plot) -> None:
    model = {**ENTRY.model_dump(mode="json"), "kind": "prob"}
    with pytest.raises(UnknownName, match=r"No kind of detector is called 'prob'\. Did you mean probe"):
        plot.made("prob", model=model)
