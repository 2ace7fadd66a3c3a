"""`m2v datasets check` says what a folder holds, and the YAML that it shows runs."""

import re
import shutil
from pathlib import Path

from tests.m2v.catalog.test_check import HATEMM, MADE, MAMI, hatemm_rows, written
from tests.m2v_assets.conftest import Run, as_json


def saved(root: Path, said: str) -> str:
    """Write the files that the command shows as somebody who copies them would; return the study's path."""
    parts = re.split(r"^# (\S+\.yaml)$", said, flags=re.MULTILINE)[1:]
    written(root, dict(zip(parts[::2], parts[1::2], strict=True)))
    return str(root / "study.yaml")


def test_a_folder_is_checked_for_people_and_for_programs(m2v: Run, tmp_path: Path) -> None:
    root = written(tmp_path / "my [b]memes", MADE["hateful-memes"][0])
    shown = m2v("datasets", "check", str(root)).stdout
    assert "hateful-memes: layout hateful-memes, 5 items, release unknown" in shown
    assert "look  2 of 5 pictures lie there. (12, 2, 3)" in shown
    assert f"m2v run --study '{root}/study.yaml'" in shown
    assert "leek" not in shown
    done = m2v("datasets", "check", str(root), "--layout", "hateful-memes", "--json")
    assert len(done.stdout.splitlines()) == 1
    assert list(as_json(done)) == [
        *("layout", "release", "n_items", "n_by_split_label", "n_media_found", "n_media_missing"),
        *("n_facets", "n_segments", "findings"),
    ]
    told = m2v("datasets", "check", str(tmp_path / "home"), "--json", code=1)
    assert (told.stdout, "is no folder" in told.stderr) == ("", True)


def test_the_yaml_that_it_shows_runs(m2v: Run, tmp_path: Path) -> None:
    # As it is distributed, without transcripts: of every video nothing is known but its label.
    root = written(tmp_path / "data", {"HateMM_annotation.csv": HATEMM + hatemm_rows(40)})
    study = saved(root, m2v("datasets", "check", str(root)).stdout)
    done = as_json(m2v("run", "--study", study, "--json"))
    assert (done["failed"], done["errors"]) == (0, {})
    assert "metrics/minilm_probe_vid_ft_hatemm_s0" in str(done["assets"])
    assert Path(as_json(m2v("report", "--study", study, "--json"))["report"]).is_file()


def test_memes_below_the_folder_run_with_the_target_that_comes_with_m2v(m2v: Run, tmp_path: Path) -> None:
    rows = "".join(f"{row}.jpg\t{row % 2}\t0\t0\t0\t0\ta leek {row}\n" for row in range(24))
    root = written(tmp_path / "data", {"TRAINING/training.csv": MAMI + rows})
    study = saved(root, m2v("datasets", "check", str(root)).stdout)
    done = as_json(m2v("run", "--study", study, "--select", "training_examples", "--json"))
    assert done["failed"] == 0
    assert "training_examples/om_ft_mami_garden" in done["assets"]


def test_what_a_dataset_says_besides_labels_is_in_the_graph(m2v: Run, wild: Path, tmp_path: Path) -> None:
    root = shutil.copytree(wild / "hatemm", tmp_path / "hatemm")
    study = saved(root, m2v("datasets", "check", str(root)).stdout)
    m2v("run", "--study", study, "--select", "segments/hatemm")
    shown = {table: as_json(m2v("tables", "show", f"{table}/hatemm", "--json")) for table in ("segments", "facets")}
    assert shown["segments"]["n_rows"] == 786
    assert shown["facets"]["n_rows"] == 1100
    findings = as_json(m2v("tables", "show", "findings/segments_hatemm", "--json"))["rows"]
    assert {each["check"] for each in findings if not each["is_fine"]} == {"segments_ordered", "segments_apart"}
