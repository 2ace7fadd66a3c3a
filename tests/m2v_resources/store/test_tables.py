"""What Dagster's UI shows of rows is text, whatever the ids and names in them say."""

import pytest
from markdown_it import MarkdownIt

from m2v import schemas
from m2v_resources.store.tables import preview
from tests import tables

HOSTILE = [
    "[leek](https://garden.example)",
    "![leek](https://garden.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "<https://garden.example>",
    "a | b | c",
    "`leek` **leek** ~~leek~~ _leek_",
    "&lt;b&gt; \\<b>",
    "leek\n# leek\n\n> leek",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_id_is_no_markup(text: str) -> None:
    table = preview(tables.memes({"meme_id": text, "image": text}), schemas.MEMES)
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(table)
    for tag in ("<a", "<img", "<b>", "<em", "<strong", "<code", "<s>", "<h1", "<blockquote"):
        assert tag not in page
    assert page.count("<td>") == page.count("<th>")
    shown = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown in page
