"""What people see of a row in a terminal of any width."""

import pytest

from m2v_cli import cells, console

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


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of the terminal, as shells tell programs."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def printed(n_rows: int, said: pytest.CaptureFixture[str]) -> list[str]:
    wide = {**ROW, **{f"score_{number}": number / 7 for number in range(20)}}
    console.rows("metrics", [wide] * n_rows, key=KEY, how_to_see_all="Choose with --columns.")
    return said.readouterr().out.splitlines()


def test_few_rows_stand_upright_where_they_do_not_fit(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(1, capsys)

    assert all(len(line) <= width for line in lines)
    assert sum("│" in line for line in lines) == len(ROW) + 20  # a line for each column


def test_many_rows_name_the_columns_that_they_leave_out(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    *lines, last = printed(9, capsys)

    assert all(len(line) <= width for line in lines)
    assert sum("radish_vid_ft_garden_s0" in line for line in lines) == 9
    assert last.startswith(f"Left out at {width} characters: ")
    assert "score_19" in last
    assert last.endswith("Choose with --columns.")
