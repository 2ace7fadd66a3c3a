from pathlib import Path

import pytest

from m2v import catalog
from m2v.catalog.check import check
from m2v.datasets import plain, readers
from m2v.errors import BadInput, M2VError


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        # As anybody may write it.
        (
            "id,text,image,label\n1,peas,a.png,0\n2,beans,b.png,1\n",
            [("1", "peas", False, "a.png"), ("2", "beans", True, "b.png")],
        ),
        # Other names in another order, more columns, a byte order mark, semicolons, words.
        (
            "\ufeffClass;Note;Caption;Meme ID\nHateful;x;peas;7\nnot-hateful;y;beans;8\n",
            [("7", "peas", True, None), ("8", "beans", False, None)],
        ),
        # Pictures alone, which are called by their names; a split that the table says.
        (
            "img_path\tis_hateful\tsplit\nbed/p 1.png\tyes\ttrain\nbed/p2.png\tno\tdev\n",
            [("p 1", "", True, "bed/p 1.png"), ("p2", "", False, "bed/p2.png")],
        ),
    ],
)
def test_a_plain_table_is_a_study_as_its_yaml_is_printed(tmp_path: Path, table: str, rows: list[tuple]) -> None:
    folder = tmp_path / "my beds"
    folder.mkdir()
    (folder / "vegetable memes.csv").write_text(table, encoding="utf-8")
    report = check(folder)
    assert report.layout == "plain"
    for name, text in report.documents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    plan = catalog.open_study(str(folder))
    [memes] = plan.memes
    assert memes.name == "vegetable-memes"
    read = readers.memes(memes, files={"vegetable memes.csv": folder / "vegetable memes.csv"})
    assert read.select("meme_id", "text", "label", "image").sort("meme_id").rows() == rows
    if "split" in table:
        assert read.sort("meme_id")["split"].to_list() == ["train", "validation"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,text\n1,peas\n", "no column for label, called one of label, labels, .* It has id, text"),
        ("id,label\n1,0\n", "no column for text or image, called one of text, .* It has id, label"),
        ("text,label\npeas,0\n", "no column for id or image, called one of id, .* It has text, label"),
        ("id,text,label\n1,peas,0\n2,beans,maybe\n", "column 'label': says 'maybe', and what that means is not known"),
        ("id,text,label,split\n1,peas,0,bed\n", "column 'split': says 'bed', .* known are train, validation, test"),
    ],
)
def test_what_a_table_lacks_is_said_with_what_is_there(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "memes.csv"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        plain.layout(path)
    with pytest.raises(M2VError, match=message):
        check(tmp_path)


def test_a_label_column_of_many_words_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "memes.csv"
    path.write_text("id,text,label\n" + "".join(f"{n},peas,word {n}\n" for n in range(9)), encoding="utf-8")
    with pytest.raises(BadInput, match="says 9 different words, and what"):
        plain.layout(path)
