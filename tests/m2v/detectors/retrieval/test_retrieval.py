"""A head that compares: what it learns, whom it takes for neighbours, and whom never."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from m2v import schemas
from m2v.detectors import program
from m2v.detectors.retrieval import neighbours
from m2v.detectors.retrieval.entry import Retrieval
from m2v.detectors.retrieval.neighbours import Index
from tests.made_features import Patch, xor


def entry(**changes: Any) -> Retrieval:
    given = {"name": "near", "title": "Near", "kind": "retrieval", "features": ["eye", "pen"], "width": 64}
    return Retrieval.model_validate({**given, "learning_rate": 1e-3, "epochs": 12, "patience": 4, **changes})


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Patch:
    return Patch(tmp_path_factory.mktemp("near") / "patch", xor)


@pytest.mark.parametrize("changes", [{"readout": "logit"}, {"readout": "knn"}, {"fusion": "concat", "n_layers": 2}])
def test_it_can_tell_an_exclusive_or(parity: Patch, changes: dict[str, Any]) -> None:
    model = entry(**changes)
    assert parity.auroc(model, parity.made(model, "-".join(map(str, changes.values())))) >= 0.95


def test_its_neighbours_are_known_items_of_training_the_nearest_first(parity: Patch) -> None:
    model = entry(k=5)
    rows = pl.read_parquet(parity.scored(model, parity.made(model, "five")) / program.EXPLANATIONS)
    schemas.EXPLANATIONS.validate(rows)
    assert set(rows["kind"].cast(pl.String)) == {"neighbour"}
    assert rows.group_by("item_id").len()["len"].unique().to_list() == [5]
    known = dict(parity.of("train").select("item_id", "label").iter_rows())
    assert all(known[name] is label for name, label in rows.select("name", "label").iter_rows())
    falls = rows.sort("item_id", "rank").select(pl.col("weight").diff().over("item_id").fill_null(0.0) <= 1e-6)
    assert falls["weight"].all()


def test_an_item_never_retrieves_itself_or_its_duplicate(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", xor, n=60)
    # An item to train on and one to test are made the same as the first.
    test = patch.of("test")["item_id"][0]
    for name in ("eye", "pen"):
        path = patch.folder / f"{name}.parquet"
        rows = pl.read_parquet(path)
        vector = pl.lit(rows.filter(item_id="i0000")["vector"].to_list()[0], pl.List(pl.Float32))
        same = pl.col("item_id").is_in(["i0001", test])
        rows.with_columns(vector=pl.when(same).then(vector).otherwise("vector")).write_parquet(path)
    model = entry(k=59, epochs=2)
    checkpoint = patch.made(model, "one")
    asked = {"checkpoint": str(checkpoint), "items": str(patch.folder / "train.parquet")}
    rows = pl.read_parquet(patch.made(model, "self", **asked) / program.EXPLANATIONS)
    assert rows.filter(pl.col("name") == pl.col("item_id")).is_empty()
    found = dict(rows.group_by("item_id").agg("name").iter_rows())
    assert (len(found["i0000"]), len(found["i0001"]), len(found["i0002"])) == (58, 58, 59)
    leaked = pl.read_parquet(patch.scored(model, checkpoint) / program.EXPLANATIONS).filter(item_id=test)
    assert not {"i0000", "i0001"} & set(leaked["name"])


def test_items_with_equal_features_are_passed_over_and_missing_neighbours_are_none() -> None:
    embeddings = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    index = Index(embeddings, np.array([True, True, False, False]), np.array([7, 7, 8, 9], np.uint64))
    found = neighbours.nearest(index, embeddings[:1], np.array([7], np.uint64), k=4)
    # Items 0 and 1 are the item and its duplicate.
    assert found.places.tolist() == [[2, 3, -1, -1]]
    assert neighbours.vote(index, found).tolist() == [0.5]
    among = neighbours.nearest(index, embeddings[:1], np.array([1], np.uint64), k=1, labels=np.array([False]))
    assert among.places.tolist() in ([[2]], [[3]])


def test_the_vote_weighs_nearer_neighbours_more() -> None:
    embeddings = np.array([[1, 0], [0.8, 0.6]], np.float32)
    index = Index(embeddings, np.array([True, False]), np.array([1, 2], np.uint64))
    found = neighbours.nearest(index, np.array([[1, 0]], np.float32), np.array([3], np.uint64), k=2)
    # Two parts of a cosine of 1 for, one of 0.8 against, over three.
    np.testing.assert_allclose(neighbours.vote(index, found), [(1 + (2 * 1 - 1 * 0.8) / 3) / 2], rtol=1e-6)


def test_the_same_seed_gives_the_same_index(parity: Patch) -> None:
    digests = [
        json.loads((parity.made(entry(epochs=2), name, seed=seed) / "manifest.json").read_text())["files"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1]
    assert digests[0]["index.safetensors"] != digests[2]["index.safetensors"]


def test_the_loss_by_neighbours_brings_like_labels_nearer(tmp_path: Path) -> None:
    patch = Patch(tmp_path / "patch", xor, n=300, strength=1.5)
    shares = {}
    for guided in (0.0, 1.0):
        model = entry(guided=guided, readout="knn", epochs=6, patience=6)
        rows = pl.read_parquet(patch.scored(model, patch.made(model, f"{guided}")) / program.EXPLANATIONS)
        true = patch.of("test").select("item_id", own="label")
        shares[guided] = rows.join(true, on="item_id").select((pl.col("label") == pl.col("own")).mean()).item()
    assert shares[1.0] > shares[0.0]
