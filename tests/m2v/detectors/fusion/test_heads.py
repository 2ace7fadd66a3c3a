"""What each head learns of made features: a label that no modality has alone, and which of two decides."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from m2v import schemas
from m2v.detectors import program
from m2v.detectors.fitting.training import WEIGHTS
from m2v.detectors.fusion.entry import RECIPES, Fusion
from tests import tables
from tests.made_features import Patch, only_picture, only_text, xor

# Small enough for seconds; all else is the recipe's.
SMALL: dict[str, dict[str, Any]] = {
    "concat": {"width": 32, "learning_rate": 3e-3},
    "gated": {"learning_rate": 1e-3},
    "product": {"width": 64, "learning_rate": 1e-3},
    "tokens": {"width": 32, "learning_rate": 1e-3, "dropout": 0.1},
    "co_attention": {"width": 32, "learning_rate": 1e-3},
    "mixture": {"width": 32, "learning_rate": 3e-3, "batch_size": 32},
}


def head(name: str, **changes: Any) -> Fusion:
    given = {"name": "head", "title": "Head", "kind": "fusion", "head": name, "features": ["eye", "pen"]}
    return Fusion.model_validate({**given, **SMALL[name], **changes})


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Patch:
    return Patch(tmp_path_factory.mktemp("parity") / "patch", xor)


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_logistic_regression_cannot_tell_an_exclusive_or(parity: Patch) -> None:
    linear = head("concat", width=0)
    assert parity.auroc(linear, parity.made(linear, "linear")) <= 0.55


@pytest.mark.parametrize("name", ["concat", "gated", "product", "tokens", "co_attention"])
def test_a_head_can_tell_an_exclusive_or(parity: Patch, name: str) -> None:
    entry = head(name)
    checkpoint = parity.made(entry, name)
    assert parity.auroc(entry, checkpoint) >= 0.95
    assert manifest(checkpoint)["fit_seconds"] > 0


def test_either_stage_of_tokens_is_enough_and_neither_is_not(parity: Patch) -> None:
    switches = {"first": {"attends": False}, "second": {"aligns": False}, "none": {"aligns": False, "attends": False}}
    weights = {}
    for name, switched in switches.items():
        entry = head("tokens", epochs=12, **switched)
        checkpoint = parity.made(entry, f"tokens-{name}")
        weights[name] = manifest(checkpoint)["files"][WEIGHTS]
        auroc = parity.auroc(entry, checkpoint)
        assert auroc >= 0.95 if name != "none" else auroc <= 0.6, name
    assert len(set(weights.values())) == 3


@pytest.mark.parametrize("name", ["tokens", "co_attention"])
def test_a_head_of_tokens_finds_the_one_that_matters(tmp_path: Path, name: str) -> None:
    entry = head(name, epochs=20)
    patch = Patch(tmp_path / "patch", xor, n_parts=3, strength=5)
    assert patch.auroc(entry, patch.made(entry, name)) >= 0.95


@pytest.mark.parametrize("name", ["gated", "mixture"])
def test_shares_say_which_modality_decides(tmp_path: Path, name: str) -> None:
    means = {}
    for label in (only_text, only_picture):
        patch = Patch(tmp_path / label.__name__, label, strength=1)
        entry = head(name)
        rows = pl.read_parquet(patch.scored(entry, patch.made(entry, "head")) / program.EXPLANATIONS)
        schemas.EXPLANATIONS.validate(rows)
        assert rows["weight"].is_between(0, 1).all()
        assert set(rows["item_id"]) == set(patch.of("test")["item_id"])
        assert (rows.group_by("item_id").agg(pl.col("weight").sum())["weight"] - 1).abs().max() < 1e-6  # pyright: ignore[reportOperatorIssue]
        means[label] = rows.filter(name="eye:picture")["weight"].mean()
    assert means[only_text] < 0.3
    assert means[only_picture] > 0.7


@pytest.mark.parametrize("name", RECIPES)
def test_every_head_takes_items_that_lack_modalities(tmp_path: Path, name: str) -> None:
    patch = Patch(tmp_path / "patch", only_text, n=300, lacking={"eye": 0.3, "pen": 0.1})
    entry = head(name, epochs=8, without_features="keep")
    checkpoint = patch.made(entry, name)
    # By the texts that are there; whoever has none is guessed, and in a product pictures are noise.
    assert patch.auroc(entry, checkpoint) >= 0.7
    assert manifest(checkpoint)["n_left_out"] > 0


def test_gated_has_the_papers_number_of_parameters(tmp_path: Path) -> None:
    from m2v.detectors.fusion import heads

    built = heads.build(Fusion.model_validate({**head("gated").model_dump(), "width": 128}), {"a": 512, "b": 512})
    assert sum(weights.numel() for weights in built.parameters()) == 353_347


def test_product_starts_from_the_labels_definitions(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", xor, n=60)
    texts = pl.read_parquet(patch.folder / "pen.parquet")
    said = [
        {"role": f"{sign}_definition", "item_id": sign, "modality": "text", "part": 0, "token": 0, "vector": vector}
        for sign, vector in (("positive", [1.0] * 24), ("negative", [-1.0] * 24))
    ]
    pl.concat([texts, tables.frame(schemas.FEATURES, said)]).write_parquet(patch.folder / "pen.parquet")
    weights = {
        manifest(patch.made(head("product", epochs=1, starts_from_texts=starts), f"{starts}"))["files"][WEIGHTS]
        for starts in (True, False)
    }
    assert len(weights) == 2
