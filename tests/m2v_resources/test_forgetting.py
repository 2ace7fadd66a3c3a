from pathlib import Path

from m2v import schemas
from m2v_resources.forgetting import forget
from m2v_resources.store import TableStore
from tests.tables import frame, memes


def test_an_item_of_another_dataset_with_the_same_id_stays(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables")
    read = store.write(memes({"meme_id": "7"}, {"meme_id": "8"}), schemas.MEMES, "veggie")
    rows = [{"dataset": name, "item_id": "7", "label_source": "video"} for name in ("garden", "veggie")]
    examples = frame(schemas.TRAINING_EXAMPLES, rows, split="train", text="a leek", label=True)
    parents = {"memes/veggie": {"version": read.number, "rows_hash": read.rows_hash}}
    store.write(examples, schemas.TRAINING_EXAMPLES, "vid_rm_ft_veggie_garden", provenance={"parents": parents})

    forget(tmp_path, "veggie/7", why="take-down request 12")
    assert store.read("memes", "veggie")["meme_id"].to_list() == ["8"]
    assert store.read("training_examples", "vid_rm_ft_veggie_garden")["dataset"].to_list() == ["garden"]
