import polars as pl
import pytest

from m2v import schemas
from m2v.datasets import identity
from m2v.errors import AnotherDataset
from tests import tables

ROWS = [
    {"meme_id": "1", "text": "peas", "text_sha256": "a" * 64, "image": "1.png"},
    {"meme_id": "2", "text": "", "text_sha256": "0" * 64, "image": "pod.png"},
]


def memes(*rows: dict) -> pl.DataFrame:
    return tables.frame(schemas.MEMES, list(rows), split="train", label=True)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [ROWS[0], {**ROWS[1], "image": "other.png"}],  # an edited item, and one as it was
        [{**ROWS[0], "text_sha256": "b" * 64}, ROWS[1]],
        [ROWS[1]],
        [],  # nothing to compare
    ],
)
def test_a_dataset_that_was_edited_is_the_same(rows: list[dict]) -> None:
    identity.refuse_another(memes(*ROWS), memes(*rows), name="memes/mine", title="Peas")
    identity.refuse_another(memes(*rows), memes(*ROWS), name="memes/mine", title="Peas")


@pytest.mark.parametrize(
    "rows",
    [
        [{**ROWS[0], "text_sha256": "b" * 64}],  # numbers are ids of many datasets
        [{**ROWS[0], "meme_id": "3"}],
        [{**ROWS[1], "image": "leek.png"}],  # and all of them have items without a text
        [{**ROWS[1], "image": None}],
    ],
)
def test_a_dataset_without_an_item_in_common_is_another(rows: list[dict]) -> None:
    with pytest.raises(AnotherDataset, match=r"memes/mine in this home holds another dataset.*Peas.*Rename.*M2V_HOME"):
        identity.refuse_another(memes(*ROWS), memes(*rows), name="memes/mine", title="Peas")
