"""A family is a folder, a line and a YAML: one is added to a copy of the code, and runs to a score."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from m2v.files.checkout import CHECKOUT

ENTRY = """
from typing import ClassVar, Literal
from m2v.detectors.family import Detector

class Counting(Detector):
    is_light: ClassVar[bool] = True
    scores_untrained: ClassVar[bool] = True
    kind: Literal["counting"]
    letter: str
"""
PROGRAM = """
import numpy as np
from m2v.detectors.family import Trained

def train(task, *, out, report):
    (out / "letter.txt").write_text(task.model.letter)
    return Trained(["letter.txt"], [], threshold=0.5, selection={}, facts={"n_train": 0})

def score(task, *, checkpoint, items, report):
    letter = (checkpoint / "letter.txt").read_text()
    counts = np.array([text.count(letter) for text in items["text"]])
    return counts / (counts + 1.0)
"""
MODEL = "title: How often a letter stands in the text\nkind: counting\nletter: e\n"
STUDY = "title: Toy\ntargets: [garden]\ntraining:\n  - {model: counting, strategies: [no_ft]}\n"
REGISTRY = Path("m2v/detectors/__init__.py")


def test_a_new_family_touches_its_folder_one_line_and_one_yaml(tmp_path: Path) -> None:
    code, study = tmp_path / "code", tmp_path / "study"
    for package in ("m2v", "m2v_assets", "m2v_cli", "m2v_resources"):
        shutil.copytree(CHECKOUT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(CHECKOUT / name, code / name)
    family = code / "m2v" / "detectors" / "counting"
    family.mkdir()
    for name, text in (("__init__", ""), ("entry", ENTRY), ("program", PROGRAM)):
        (family / f"{name}.py").write_text(text, encoding="utf-8")
    registry = code / REGISTRY
    line = "from m2v.detectors.counting.entry import Counting\n"
    registry.write_text(line + registry.read_text(encoding="utf-8").replace("DETECTORS = (", "DETECTORS = (Counting,"))
    (study / "models").mkdir(parents=True)
    (study / "models" / "counting.yaml").write_text(MODEL, encoding="utf-8")
    (study / "study.yaml").write_text(STUDY, encoding="utf-8")
    m2v = [sys.executable, "-c", "from m2v_cli.cli import main; main()"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
    done = subprocess.run(
        [*m2v, "run", "--study", str(study / "study.yaml"), "--json"],
        env={**clean, "PYTHONPATH": str(code), "M2V_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 0
    folders = (tmp_path / "home" / "programs" / "infer" / "counting_no_ft_garden_s0").iterdir()
    # Test videos, and those that it is selected on.
    assert 40 in [json.loads((folder / "manifest.json").read_text())["n_items"] for folder in folders]
    assert (tmp_path / "home" / "tables" / "metrics" / "counting_no_ft_garden_s0").is_dir()
