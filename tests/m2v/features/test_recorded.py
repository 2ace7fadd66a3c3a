from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from m2v import schemas
from m2v.entries.features import RecordedFeatures
from m2v.errors import BadInput
from m2v.features import recorded

ITEMS = pl.DataFrame(
    {"item_id": ["leek", "pea", "fig"], "split": ["train", "train", "test"]},
    schema={"item_id": pl.String, "split": schemas.SPLITS},
)
ABOUT = RecordedFeatures(recorded="f.parquet", item_id="video_id", modality="frames", extractor="an eye")


def parquet(path: Path, rows: dict[str, list]) -> Path:
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_a_missing_item_is_a_null_and_never_zeros(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "f.parquet", {"video_id": ["pea", "leek", "kale"], "embedding": [[1.0, 2], [3, 4], [5, 6]]}
    )
    found = schemas.FEATURES.validate(recorded.read(ABOUT, path, items=ITEMS))
    assert found.select("item_id", "split", "modality", "vector").rows() == [
        ("fig", "test", "frames", None),
        ("leek", "train", "frames", [3.0, 4.0]),
        ("pea", "train", "frames", [1.0, 2.0]),
    ]


def test_arrays_and_numbers_as_ids_are_read(tmp_path: Path) -> None:
    rows = pl.DataFrame({"n": [7, 8], "v": [[1.0], [2.0]]}, schema={"n": pl.Int64, "v": pl.Array(pl.Float64, 1)})
    rows.write_parquet(tmp_path / "f.parquet")
    about = ABOUT.model_copy(update={"item_id": "n", "vector": "v"})
    items = ITEMS.head(1).with_columns(item_id=pl.lit("8"))
    assert recorded.read(about, tmp_path / "f.parquet", items=items)["vector"].to_list() == [[2.0]]


def test_safetensors_hold_a_vector_for_each_id(tmp_path: Path) -> None:
    save_file({"leek": np.array([1.0, 2.0], dtype=np.float16)}, tmp_path / "f.safetensors")
    found = recorded.read(ABOUT, tmp_path / "f.safetensors", items=ITEMS)
    assert found["vector"].to_list() == [None, [1.0, 2.0], None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"id": ["leek"], "embedding": [[1.0]]}, "lacks column 'video_id'; it has id, embedding"),
        ({"video_id": ["leek"], "vector": [[1.0]]}, "lacks column 'embedding'"),
        ({"video_id": ["leek"], "embedding": [1.0]}, "'embedding' is Float64; it must hold lists of numbers"),
        ({"video_id": ["leek"], "embedding": [["a"]]}, "it must hold lists of numbers"),
        ({"video_id": ["leek", "pea"], "embedding": [[1.0], [1.0, 2.0]]}, "its vectors have 1 and 2 numbers"),
        ({"video_id": ["leek", "leek"], "embedding": [[1.0], [2.0]]}, "it has 'leek' more than once"),
        ({"video_id": ["pea", "leek"], "embedding": [[1.0], [float("nan")]]}, "the vector of 'leek' holds a number"),
        ({"video_id": ["kale"], "embedding": [[1.0]]}, "it has none of the 3 items' ids"),
        ({"video_id": ["leek"], "embedding": [[]]}, "lists of numbers|has no vectors"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, rows: dict[str, list], message: str) -> None:
    path = parquet(tmp_path / "f.parquet", rows)
    with pytest.raises(BadInput, match=message) as error:
        recorded.read(ABOUT, path, items=ITEMS)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["f.pkl", "f.npy", "f.parquet", "f.safetensors"])
def test_pickles_and_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x04nothing")
    with pytest.raises(BadInput, match="parquet" if name != "f.safetensors" else "safetensors"):
        recorded.read(ABOUT, path, items=ITEMS)


def test_a_tensor_that_is_no_vector_is_named(tmp_path: Path) -> None:
    save_file({"leek": np.zeros((2, 3), dtype=np.float32)}, tmp_path / "f.safetensors")
    with pytest.raises(BadInput, match="its tensor 'leek' has 2 dimensions"):
        recorded.read(ABOUT, tmp_path / "f.safetensors", items=ITEMS)


def test_of_the_published_videos_with_a_text_not_all_have_frames(recorded_features: Path) -> None:
    texts = pl.read_parquet(recorded_features / "hatemm_text_bert_base_uncased.parquet")
    items = texts.select(item_id="video_id", split=pl.lit("train").cast(schemas.SPLITS))
    path = recorded_features / "hatemm_frames_vit_base_patch16_224.parquet"
    found = recorded.read(ABOUT, path, items=items)
    assert (found.height, found["vector"].count()) == (1066, 871)
