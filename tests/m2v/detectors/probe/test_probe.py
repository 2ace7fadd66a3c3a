import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from m2v import catalog
from m2v.detectors.probe import regression
from m2v.detectors.probe.entry import Probe
from m2v.errors import StoreError
from m2v.files import digests

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


def test_a_saved_head_is_the_same_head(tmp_path: Path) -> None:
    features, labels = blobs(60, seed=0)
    head = regression.fit(features, labels, probe=ENTRY, validation=blobs(40, seed=1))
    manifest = regression.save(head, tmp_path / "head", content={"training_examples": "abc"})
    assert manifest["content"] == {"training_examples": "abc"}
    assert manifest["files"] == {"head.safetensors": digests.file_sha256(tmp_path / "head" / "head.safetensors")}
    loaded = regression.load(tmp_path / "head")
    assert np.array_equal(loaded.probabilities(features), head.probabilities(features))
    assert (loaded.threshold, loaded.selection) == (head.threshold, head.selection)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    features, labels = blobs(60, seed=0)
    for name in ("one", "other"):
        regression.save(regression.fit(features, labels, probe=ENTRY, validation=None), tmp_path / name, content={})
    one, other = ((tmp_path / name / "head.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_head_with_other_keys_is_refused_and_they_are_named(tmp_path: Path) -> None:
    features, labels = blobs(60, seed=0)
    regression.save(regression.fit(features, labels, probe=ENTRY, validation=None), tmp_path, content={})
    (tmp_path / "head.safetensors").write_bytes(save({"weight": np.zeros(8), "bias": np.zeros(1)}))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["head.safetensors"] = digests.file_sha256(tmp_path / "head.safetensors")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"lacks weights and has weight, which nothing uses"):
        regression.load(tmp_path)


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no complete checkpoint"):
        regression.load(tmp_path / "nowhere")
    features, labels = blobs(60, seed=0)
    regression.save(regression.fit(features, labels, probe=ENTRY, validation=None), tmp_path, content={})
    (tmp_path / "head.safetensors").write_bytes(save({"weights": np.zeros(8), "bias": np.zeros(1)}))
    with pytest.raises(StoreError, match="is damaged: its sha256 is not the manifest's"):
        regression.load(tmp_path)
    for manifest in ("{", "{}", "[]"):
        (tmp_path / "manifest.json").write_text(manifest)
        with pytest.raises(StoreError, match="holds no complete checkpoint"):
            regression.load(tmp_path)
