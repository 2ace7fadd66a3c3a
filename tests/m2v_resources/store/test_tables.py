"""What assets read and write, and what Dagster's UI shows of it: text, whatever the ids and names in rows say."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from markdown_it import MarkdownIt

from m2v import schemas
from m2v.errors import StoreError
from m2v.lineage.findings import Finding
from m2v_resources.store.tables import Tables, check_result, preview
from m2v_resources.store.versions import open_store
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


EARLIER = schemas.Table(
    name="test_predictions",
    row="as an earlier M2V wrote it",
    columns={"video_id": pl.String, "label": pl.Boolean, "probability": pl.Float64},
    key=("video_id",),
)


def test_a_table_with_an_earlier_m2vs_columns_is_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = pl.DataFrame({"video_id": ["v1"], "label": [True], "probability": [0.9]})
    open_store(tmp_path).write(rows, EARLIER, "radish")

    @dg.asset
    def reader(tables: Tables) -> None:
        tables.read(schemas.TEST_PREDICTIONS, "radish")

    with pytest.raises(StoreError, match=r"no true_label, predicted, threshold.*run --select test_predictions/radish"):
        dg.materialize([reader], resources={"tables": Tables(home=str(tmp_path))})
    # Who only looks still reads it: it is not taken for a newer M2V's.
    assert open_store(tmp_path).read("test_predictions", "radish").equals(rows)


@pytest.mark.parametrize(
    ("finding", "passes"),
    [
        (Finding("texts_unique", "memes", "fhm", False, "2 texts."), False),
        (Finding("texts_unique", "memes", "fhm", True, "None."), True),
        (Finding("undecided", "voted_labels", "leeks", False, "10 memes have no final label."), True),
        (
            Finding("agreed_error", "voted_labels", "leeks", False, "Nobody looked.", figures={"error_share": None}),
            True,
        ),
        (Finding("agreed_error", "voted_labels", "leeks", False, "4 of 13.", figures={"error_share": 0.31}), False),
    ],
)
def test_a_normal_state_is_no_failed_check_but_says_the_same(finding: Finding, passes: bool) -> None:
    result = check_result(finding)
    assert (result.passed, result.description) == (passes, finding.summary)
    assert result.severity == dg.AssetCheckSeverity.WARN
