"""What people see of a row in a terminal of any width."""

import json
import os
import subprocess
import sys

import pytest

from m2v.files.checkout import CHECKOUT
from m2v_cli import cells

KEY = ["run"]
ROW = {
    "run": "radish_vid_ft_garden_s0",
    "rows_hash": "ab" * 32,
    "macro_f1": 0.7414213562,
    "n_bytes": 1234567,
    "seconds": 98765.4321,
    "is_fine": True,
    "fold": None,
    "vector": [0.5] * 384,
    "ids": ["v1", "v2"],
}


def test_cells_are_short() -> None:
    assert [cells.text(value) for value in ROW.values()] == [
        "radish_vid_ft_garden_s0",
        "abababababab…",
        "0.7414",
        "1,234,567",
        "98,765.4",
        "yes",
        "–",
        "384 numbers",
        "[v1, v2]",
    ]


def test_columns_are_left_out_from_where_they_no_longer_fit_but_never_the_key() -> None:
    rows = [["radish", "0.7", "a" * 90], ["beetroot", "0.71", "b"]]

    # 1 for the frame; run takes 8 + 3, macro_f1 8 + 3, detail no more than 32 + 3.
    assert cells.fitting(["run", "macro_f1", "detail"], rows, width=58, first=KEY) == (
        ["run", "macro_f1", "detail"],
        [],
    )
    assert cells.fitting(["run", "macro_f1", "detail"], rows, width=57, first=KEY) == (["run", "macro_f1"], ["detail"])
    assert cells.fitting(["run", "detail"], [["radish", "a" * 90]], width=40, first=["detail"]) == (["detail"], ["run"])


PRINT = """
import json, sys
from m2v_cli import console
console.rows("metrics", json.loads(sys.argv[1]), key=["run"], how_to_see_all="Choose with --columns.")
"""


def printed(n_rows: int, width: int) -> list[str]:
    """Print wide rows in a terminal of a width, as shells tell a program when it starts."""
    wide = {**ROW, **{f"score_{number}": number / 7 for number in range(20)}}
    return subprocess.run(
        [sys.executable, "-c", PRINT, json.dumps([wide] * n_rows)],
        env=os.environ | {"COLUMNS": str(width), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_few_rows_stand_upright_where_they_do_not_fit(width: int) -> None:
    lines = printed(1, width)

    assert all(len(line) <= width for line in lines)
    assert sum("│" in line for line in lines) == len(ROW) + 20  # a line for each column


@pytest.mark.parametrize("width", [80, 120])
def test_many_rows_name_the_columns_that_they_leave_out(width: int) -> None:
    *lines, last = printed(9, width)

    assert all(len(line) <= width for line in lines)
    assert sum("radish_vid_ft_garden_s0" in line for line in lines) == 9
    assert last.startswith(f"Left out at {width} characters: ")
    assert "score_19" in last
    assert last.endswith("Choose with --columns.")
