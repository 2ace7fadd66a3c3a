"""What people see in a terminal: names from data show as they are and steer nothing."""

import subprocess
import sys

import pytest

# A window's title, a cleared screen, a bell, a C1 introducer, a line overwritten, and text that runs backwards.
HOSTILE = ["\x1b]0;leek\x07", "\x1b[2J", "\a", "\x9b2J", "kale\rleek", "\u202eleek", "\u2066leek", "\x7f"]
PRINTS = {
    "table": "console.table(text, [text, 'n'], [[text, 1]])",
    "warn": "console.warn(text)",
    "fail": "console.fail(text)",
    "print": "console.out.print(text)",
    "line": "console.line({'id': text})",
}


@pytest.mark.parametrize("how", PRINTS)
def test_no_name_steers_the_terminal(how: str) -> None:
    code = f"from m2v_cli import console\nfor text in {HOSTILE!r}:\n    {PRINTS[how]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seen = done.stdout + done.stderr
    assert "leek" in seen
    assert [character for character in seen if not (character.isprintable() or character == "\n")] == []


def test_lines_and_markup_of_our_own_stay() -> None:
    code = "from m2v_cli import console\nconsole.out.print('leek\\nkale [b]beet[/] \\x1b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "leek\nkale beet \\x1b\n"
