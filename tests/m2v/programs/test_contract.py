"""What a program's files say of the code that wrote them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from m2v.files.checkout import CHECKOUT
from m2v.programs import contract


def digest(folder: Path) -> str:
    """The digest that a host says whose package lies in ``folder``."""
    command = [sys.executable, "-c", "from m2v.programs import contract; print(contract.code_digest())"]
    return subprocess.check_output(command, env=os.environ | {"PYTHONPATH": str(folder)}, cwd=folder, text=True).strip()


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),  # where it lies does not count
        ({"notes.txt": "leeks"}, True),
        ({"progress.py": "# leeks"}, False),
        ({"catalog/models/leek.yaml": "title: Leek"}, False),
        ({"growing.py": ""}, False),
    ],
)
def test_the_codes_digest_follows_the_code(tmp_path: Path, change: dict[str, str], is_same: bool) -> None:
    shutil.copytree(CHECKOUT / "m2v", tmp_path / "m2v", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in change.items():
        with (tmp_path / "m2v" / name).open("a", encoding="utf-8") as file:
            file.write(text)
    assert (digest(tmp_path) == contract.code_digest()) is is_same
