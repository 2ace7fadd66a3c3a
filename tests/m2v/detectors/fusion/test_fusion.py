"""Heads that fuse modalities: what they are given, what they learn, and what a missing modality is to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from m2v import schemas
from m2v.detectors import program
from m2v.detectors.fusion.entry import Fusion
from m2v.errors import InvalidRows, StoreError
from m2v.files.digests import file_sha256
from m2v.programs.progress import quiet
from tests import tables

SMALL = {"width": 8, "epochs": 60, "weight_decay": 0.01, "learning_rate": 0.01, "batch_size": 16}
ENTRY = Fusion.model_validate(
    {"name": "fusion", "title": "Fusion", "kind": "fusion", "features": ["eye", "ear"], **SMALL}
)
N = 60


class Plot:
    """Items with two modalities of which each knows a half of the answer, in files."""

    def __init__(self, folder: Path, *, lacking: str = "") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        generator = np.random.default_rng(5)
        halves = generator.normal(size=(3 * N, 2))
        labels = halves.sum(1) > 0
        splits = ["train"] * N + ["validation"] * N + ["test"] * N
        self.items = pl.DataFrame(
            {"dataset": "garden", "item_id": [f"i{n:03}" for n in range(3 * N)], "split": splits, "label": labels},
            schema_overrides={"split": schemas.SPLITS},
        )
        for place, (name, modality) in enumerate({"eye": "frames", "ear": "sound"}.items()):
            rows = [
                {
                    "item_id": item,
                    "split": split,
                    "modality": modality,
                    "part": part,
                    # Of every third item the ear heard nothing, where a test says so.
                    "vector": None if name == lacking and int(item[1:]) % 3 == 0 else [5 + 3 * float(half), 1.0, noise],
                }
                for (item, split), half in zip(
                    self.items.select("item_id", "split").rows(), halves[:, place], strict=True
                )
                for part, noise in enumerate(generator.normal(size=2 if name == "eye" else 1).tolist())
            ]
            table = tables.frame(schemas.FEATURES, rows, role="item", token=0)
            table.write_parquet(folder / f"{name}.parquet")
        for split in ("train", "validation", "test"):
            self.of(split).write_parquet(folder / f"{split}.parquet")

    def of(self, split: str) -> pl.DataFrame:
        return self.items.filter(split=split)

    def made(self, name: str, **changes: Any) -> Path:
        spec = {
            "model": ENTRY.model_dump(mode="json"),
            "home": str(self.folder),
            "features": {each: {"garden": str(self.folder / f"{each}.parquet")} for each in ENTRY.features},
            "train": str(self.folder / "train.parquet"),
            "validation": str(self.folder / "validation.parquet"),
            **changes,
        }
        out = self.folder / name
        out.mkdir()
        program.run(spec, out, quiet())
        return out

    def accuracy(self, checkpoint: Path, **changes: Any) -> float:
        items = str(self.folder / "test.parquet")
        name = f"scored-{checkpoint.name}-{len(list(self.folder.iterdir()))}"
        found = pl.read_parquet(
            self.made(name, checkpoint=str(checkpoint), items=items, **changes) / program.PROBABILITIES
        )
        assert found["item_id"].to_list() == self.of("test")["item_id"].to_list()
        assert found["probability"].is_between(0, 1).all()
        return float(((found["probability"] > manifest(checkpoint)["threshold"]) == self.of("test")["label"]).mean())  # pyright: ignore[reportArgumentType]


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_two_halves_of_an_answer_are_put_together(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    whole = plot.made("whole")
    alone = {"model": ENTRY.model_copy(update={"features": ("eye",)}).model_dump(mode="json")}
    eye = {"features": {"eye": {"garden": str(plot.folder / "eye.parquet")}}, **alone}
    half = plot.made("half", **eye)
    assert plot.accuracy(whole) > plot.accuracy(half, **eye) + 0.1
    assert plot.accuracy(whole) > 0.85
    found = manifest(whole)
    assert found["selection"]["validation_auroc"] > 0.95
    assert found["n_train"] == N
    assert found["n_lacking"] == {"eye:frames": 0, "ear:sound": 0}


def test_an_item_without_a_modality_is_scored_by_the_others(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot", lacking="ear")
    checkpoint = plot.made("lacking")
    assert manifest(checkpoint)["n_lacking"] == {"eye:frames": 0, "ear:sound": 20}
    # By one half alone it would be 0.75, by chance 0.5.
    assert plot.accuracy(checkpoint) > 0.77
    # Vectors are standardised by the training items that have them, and the head is told which are there.
    tensors = load_file(checkpoint / "head.safetensors")
    assert tensors["head.layers.0.weight"].shape == (8, 3 + 3 + 2)
    heard = pl.read_parquet(plot.folder / "ear.parquet").filter(split="train")["vector"].drop_nulls()
    np.testing.assert_allclose(tensors["standardised.mean_1"], np.mean(heard.to_list(), axis=0), rtol=1e-5)
    # A dimension that never varies divides by nothing.
    assert tensors["standardised.deviation_1"][1] == 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    one, same, other = (
        (plot.made(name, seed=seed) / "head.safetensors").read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_without_a_validation_split_the_last_epoch_is_kept(tmp_path: Path) -> None:
    found = manifest(Plot(tmp_path / "plot").made("paper", validation=None))
    assert (found["threshold"], found["selection"]) == (0.5, {"epoch": ENTRY.epochs})


def test_features_that_no_item_has_are_an_error_that_names_them(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    schemas.FEATURES.empty().write_parquet(plot.folder / "ear.parquet")
    with pytest.raises(InvalidRows, match="fusion: no item to train on has a feature by ear"):
        plot.made("none")


def test_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    checkpoint = plot.made("head")
    longer = pl.read_parquet(plot.folder / "ear.parquet").with_columns(
        pl.col("vector").list.concat([0.0]).cast(pl.List(pl.Float32))
    )
    longer.write_parquet(plot.folder / "ear.parquet")
    with pytest.raises(InvalidRows, match="ear gives sound of garden 4 dimensions, where others have 3"):
        plot.accuracy(checkpoint)


def test_features_of_two_extractors_in_one_table_are_refused(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    path = plot.folder / "ear.parquet"
    pl.read_parquet(path).with_columns(
        pl.when(pl.col("item_id") == "i007")
        .then(pl.lit([0.0]))
        .otherwise("vector")
        .alias("vector")
        .cast(pl.List(pl.Float32))
    ).write_parquet(path)
    with pytest.raises(
        InvalidRows, match=r"two extractors are mixed. By ear the sound of garden have 1 and 3 dimensions"
    ):
        plot.made("mixed")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_is_an_error_that_names_the_item(tmp_path: Path, number: float) -> None:
    plot = Plot(tmp_path / "plot")
    path = plot.folder / "ear.parquet"
    broken = pl.lit([0.0, number, 0.0], pl.List(pl.Float32))
    pl.read_parquet(path).with_columns(
        pl.when(pl.col("item_id") == "i007").then(broken).otherwise("vector").alias("vector")
    ).write_parquet(path)
    with pytest.raises(InvalidRows, match=r"ear gives sound of 1 of 60 items \(i007\) of garden a number that is not"):
        plot.made("broken")


def test_an_item_without_any_feature_is_refused_unless_the_entry_keeps_it(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot", lacking="ear")
    alone = {"features": {"ear": {"garden": str(plot.folder / "ear.parquet")}}}
    model = ENTRY.model_copy(update={"features": ("ear",)}).model_dump(mode="json")
    with pytest.raises(
        InvalidRows, match=r"20 of 60 items \(i000, i003.*…\) have no feature by ear.*without_features: keep"
    ):
        plot.made("refused", model=model, **alone)
    keeping = {**alone, "model": {**model, "without_features": "keep"}}
    checkpoint = plot.made("kept", **keeping)
    assert (manifest(checkpoint)["n_train"], manifest(checkpoint)["n_left_out"]) == (40, 20)
    assert plot.accuracy(checkpoint, **keeping) > 0.5


@pytest.mark.parametrize(("label", "lacking"), [(True, "negative"), (False, "positive")])
def test_a_class_without_an_example_is_an_error(tmp_path: Path, label: bool, lacking: str) -> None:
    plot = Plot(tmp_path / "plot")
    plot.of("train").with_columns(label=pl.lit(label)).write_parquet(plot.folder / "train.parquet")
    with pytest.raises(InvalidRows, match=f"none of the 60 items to train on is {lacking}"):
        plot.made("one-sided")


def test_gated_takes_two_modalities_and_no_other_number(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    model = {**ENTRY.model_dump(mode="json"), "head": "gated", "features": ["eye"]}
    with pytest.raises(InvalidRows, match="two modalities against each other, and its features are eye:frames"):
        plot.made("one", model=model, features={"eye": {"garden": str(plot.folder / "eye.parquet")}})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"head": "gated", "adapter_share": 0.5},
            "adapter_share is a switch of head product; those of gated are alignment",
        ),
        ({"head": "mixture", "width": 0}, "width 0 is logistic regression"),
        ({"head": "tokens", "width": 6, "n_attention_heads": 4}, "width 6 cannot be shared by 4 heads of attention"),
    ],
)
def test_switches_that_fit_no_head_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fusion.model_validate({"name": "x", "title": "X", "kind": "fusion", "features": ["eye"], **given})


def test_a_head_with_other_tensors_is_refused(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "plot")
    folder = plot.made("head")
    save_file({"w1": np.zeros((8, 8), dtype=np.float32)}, folder / "head.safetensors")
    with pytest.raises(StoreError, match="is missing or damaged"):
        plot.accuracy(folder)
    found = manifest(folder)
    found["files"]["head.safetensors"] = file_sha256(folder / "head.safetensors")
    (folder / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(StoreError, match=r"lacks head\.layers.0.bias"):
        plot.accuracy(folder)
