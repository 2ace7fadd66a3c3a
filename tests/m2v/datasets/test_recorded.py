import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v import schemas
from m2v.datasets import readers
from m2v.entries.datasets import MemeDataset, VideoDataset
from m2v.entries.variants import Alignment
from m2v.errors import BadInput
from tests import tables

MEMES = (
    "id,image,text,type,original_dataset_label,model_prediction,human_annotation,majority_voting\n"
    "2,,a pea,train,1,0,1,1\n"
    "1,,a leek,train,0,0,,0\n"
)
DEMONSTRATIONS = "id,label,description,text\nv9,firm,a row of leeks,a leek\nv1,mushy,,a pea\n"
FRAME = tables.memes(
    {"meme_id": "1", "text": "a leek", "label": False}, {"meme_id": "2", "text": "a pea", "label": True}
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, content in (("memes.csv", MEMES), ("demonstrations.csv", DEMONSTRATIONS)):
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.fixture
def add(files: dict[str, Path], tmp_path: Path) -> Callable[..., Alignment]:
    """Writes one more file and returns an alignment that reads it as ``part``."""

    def write(part: str, content: str, **columns: str) -> Alignment:
        path = files["more.csv"] = tmp_path / "more.csv"
        path.write_text(content, encoding="utf-8")
        return alignment(**{part: {"file": "more.csv", **columns}})

    return write


def target(**given: object) -> VideoDataset:
    label = {"positive": "mushy", "negative": "firm", "positive_definition": "It is.", "negative_definition": "Not."}
    data = {"name": "rows", "title": "Rows", "source": "bed", "layout": "published", "files": ["videos.csv"]}
    return VideoDataset.model_validate({**data, "label": label, "demonstrations": "demonstrations.csv", **given})


def alignment(**given: object) -> Alignment:
    parts = {
        part: {"file": "memes.csv", "label": column}
        for part, column in (
            ("predictions", "model_prediction"),
            ("answers", "human_annotation"),
            ("votes", "majority_voting"),
        )
    }
    data = {"name": "bed", "title": "Bed", "source": "bed", "layout": "published", "files": ["memes.csv"]}
    recorded = {"rows": {"model": "turnip", "revision": "r1", **parts, **given}}
    return Alignment(MemeDataset.model_validate({**data, "recorded": recorded}), target())


def test_predictions_are_joined_to_their_memes(files: dict[str, Path]) -> None:
    def request(text: str) -> str:
        asked = f'["recorded", "turnip", "r1", "rows", "{tables.sha256(text)}"]'
        return hashlib.sha256(asked.encode()).hexdigest()

    expected = tables.predictions(
        {"meme_id": "1", "original": False, "predicted": False, "request_sha256": request("a leek")},
        {"meme_id": "2", "original": True, "predicted": False, "request_sha256": request("a pea")},
    )
    assert_frame_equal(readers.recorded_predictions(alignment(), files=files, memes=FRAME), expected)


def test_probabilities_are_read_where_there_are_some(files: dict[str, Path], add: Callable[..., Alignment]) -> None:
    live = add("predictions", "id,y,p\n1,0,0.25\n2,1,\n", label="y", probability="p")
    frame = readers.recorded_predictions(live, files=files, memes=FRAME)
    assert frame.select("meme_id", "predicted", "probability").rows() == [("1", False, 0.25), ("2", True, None)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,0,0.5\n", "more.csv: has no prediction for 1 memes, for example '2'."),
        ("1,0,0.5\n2,0,0.5\n3,0,0.5\n", "more.csv, row 4, column 'id': '3' is no meme of the dataset."),
        ("1,0,0.5\n2,0,0.5\n1,1,0.5\n", "more.csv, row 4: '1' stands in row 2 too."),
        ("1,0,0.5\n2,,0.5\n", "more.csv, row 3, column 'y': '' is not one of '0', '1'."),
        ("1,0,half\n2,0,0.5\n", "more.csv, row 2, column 'p': 'half' is not a number."),
        ("1,0,0.5\n2,0,1.5\n", "more.csv, row 3, column 'p': is not between 0 and 1."),
        ("1,0,0.5\n2,0,nan\n", "more.csv, row 3, column 'p': is not between 0 and 1."),
    ],
)
def test_bad_predictions_are_named(
    files: dict[str, Path], add: Callable[..., Alignment], rows: str, message: str
) -> None:
    live = add("predictions", f"id,y,p\n{rows}", label="y", probability="p")
    with pytest.raises(BadInput, match=re.escape(message)):
        readers.recorded_predictions(live, files=files, memes=FRAME)


def test_the_one_unnamed_annotator_gets_a_pseudonym(files: dict[str, Path]) -> None:
    expected = tables.answers({"meme_id": "2", "annotator": "bed-recorded-1", "label": True, "round": "recorded"})
    assert_frame_equal(readers.recorded_answers(alignment(), files=files), expected)


def test_answers_may_have_names(files: dict[str, Path], add: Callable[..., Alignment]) -> None:
    named = add("answers", "meme,who,y\n2,b,0\n2,a,1\n1,b,\n1,a,0\n", meme_id="meme", annotator="who", label="y")
    expected = tables.frame(
        schemas.HUMAN_LABELS,
        [
            {"meme_id": "1", "annotator": "a", "label": False},
            {"meme_id": "2", "annotator": "a", "label": True},
            {"meme_id": "2", "annotator": "b", "label": False},
        ],
        round="recorded",
        role="annotator",
        mode="unrecorded",
    )
    assert_frame_equal(readers.recorded_answers(named, files=files), expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a,0\n3,a,0\n", "more.csv, row 3, column 'id': '3' is no meme of the dataset."),
        ("1,a,0\n1,b,0\n1,a,1\n", "more.csv, row 4: '1', 'a' stands in row 2 too."),
        ("1,,0\n", "more.csv, row 2, column 'who': is empty"),
        ("1,a,yes\n", "more.csv, row 2, column 'y': 'yes' is not one of '0', '1', ''."),
    ],
)
def test_bad_answers_are_named(files: dict[str, Path], add: Callable[..., Alignment], rows: str, message: str) -> None:
    named = add("answers", f"id,who,y\n{rows}", annotator="who", label="y")
    with pytest.raises(BadInput, match=re.escape(message)):
        readers.recorded_answers(named, files=files)


def test_votes_are_read_as_published(files: dict[str, Path], add: Callable[..., Alignment]) -> None:
    expected = pl.DataFrame({"meme_id": ["1", "2"], "label": [False, True]})
    assert_frame_equal(readers.recorded_votes(alignment(), files=files), expected)
    with pytest.raises(BadInput, match="row 2, column 'id': '3' is no meme"):
        readers.recorded_votes(add("votes", "id,y\n3,1\n", label="y"), files=files)


def test_without_answers_or_votes_there_are_none(files: dict[str, Path]) -> None:
    live = alignment(answers=None, votes=None)
    assert_frame_equal(readers.recorded_answers(live, files=files), schemas.HUMAN_LABELS.empty())
    assert_frame_equal(readers.recorded_votes(live, files=files), pl.DataFrame(schema={"meme_id": str, "label": bool}))


def test_demonstrations_keep_the_files_order(files: dict[str, Path]) -> None:
    expected = tables.frame(
        schemas.DEMONSTRATIONS,
        [
            {"position": 0, "video_id": "v9", "label": False, "text": "a leek", "description": "a row of leeks"},
            {"position": 1, "video_id": "v1", "label": True, "text": "a pea", "description": None},
        ],
    )
    assert_frame_equal(readers.demonstrations(target(), files=files), expected)
    assert_frame_equal(readers.demonstrations(target(demonstrations=None), files=files), schemas.DEMONSTRATIONS.empty())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("v1,mushy", "v1,soft", "row 3, column 'label': 'soft' is not one of 'mushy', 'firm'."),
        ("v1,mushy", "v9,mushy", "row 3: 'v9' stands in row 2 too."),
        ("v1,mushy", ",mushy", "row 3, column 'id': is empty"),
    ],
)
def test_bad_demonstrations_are_named(files: dict[str, Path], old: str, new: str, message: str) -> None:
    files["demonstrations.csv"].write_text(DEMONSTRATIONS.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(message)):
        readers.demonstrations(target(), files=files)
