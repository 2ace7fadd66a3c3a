import csv
import json
from pathlib import Path

import polars as pl
import pytest

from m2v_resources.store.exports import export_table


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("leek")'])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, text: str) -> None:
    frame = pl.DataFrame({"id": [text], text: ["leek"], "kind": pl.Series([text], dtype=pl.Enum([text]))})
    export_table(frame, tmp_path / "leeks.csv")
    with (tmp_path / "leeks.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert cells == ["id", f"'{text}", "kind", f"'{text}", "leek", f"'{text}"]


def test_numbers_and_harmless_texts_stay_as_they_are(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["1 = 1", "", None, "a-b"], "n": [-1, 2, None, 0]})
    export_table(frame, tmp_path / "leeks.csv")
    assert (tmp_path / "leeks.csv").read_text() == 'text,n\n1 = 1,-1\n"",2\n,\na-b,0\n'


def test_lists_are_json(tmp_path: Path) -> None:
    rows = [['a"b', "c,d", None], [], None, ["=1"]]
    frame = pl.DataFrame({"names": rows, "numbers": [[1.5], None, [], [2.0]], "both": [{"a": [1]}] * 4})
    export_table(frame, tmp_path / "leeks.csv")
    with (tmp_path / "leeks.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [json.loads(row["names"]) if row["names"] else None for row in read] == rows
    assert [json.loads(row["numbers"]) if row["numbers"] else None for row in read] == [[1.5], None, [], [2.0]]
    assert json.loads(read[0]["both"]) == {"a": [1]}


def test_parquet_holds_what_the_table_holds(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["=1"], "names": [["a"]]})
    export_table(frame, tmp_path / "leeks.parquet")
    assert pl.read_parquet(tmp_path / "leeks.parquet").equals(frame)
