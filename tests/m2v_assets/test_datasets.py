"""`m2v datasets check` says what a folder holds, and the YAML that it shows runs."""

import csv
import json
import re
import shutil
from pathlib import Path

import yaml

from m2v import catalog
from m2v.datasets import sources
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


OWN_ANNOTATIONS = {
    "sources/notes.yaml": "title: Notes\nlicence: {name: mine}\nfolders: [notes]\nrequired: false\n"
    "files: {notes.csv: {}, parts.csv: {}}\n",
    "layouts/notes.yaml": "title: Notes\nitems: videos\nfiles:\n  - {names: [notes.csv]}\nid: {field: id}\n"
    'label: {field: label, map: {"0": false, "1": true}}\nfacets: {target: {field: target, form: names}}\n'
    "segments: {field: spans, form: seconds, label: rude}\n",
}


def annotated_study(m2v: Run, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of the sample whose videos are annotated elsewhere, and divided otherwise; with the videos' ids."""
    m2v("study", "copy", "sample", str(tmp_path / "mine"))
    root = written(tmp_path / "mine", OWN_ANNOTATIONS)
    path = root / "videos" / "garden.yaml"
    garden = yaml.safe_load(path.read_text())
    garden["annotations"] = {"source": "notes", "layout": "notes", "files": ["notes.csv"]}
    garden["splits"] = {
        "parts": {"source": "notes", "column": {"file": "parts.csv", "id": "id", "split": "part"}},
        "three": {"folds": {"n": 3}, "grouped_by": "target"},
    }
    path.write_text(yaml.safe_dump(garden))
    study = yaml.safe_load((root / "study.yaml").read_text())
    study["training"] = [{"model": "minilm-probe", "strategies": ["vid_ft", "rm_ft"], "splits": ["own", "three"]}]
    (root / "study.yaml").write_text(yaml.safe_dump(study))
    with (root / "tables" / "sample" / "garden.csv").open(newline="") as file:
        return root, list(dict.fromkeys(row["id"] for row in csv.DictReader(file)))


def test_facets_come_from_other_files_than_the_items_and_splits_group_by_them(m2v: Run, tmp_path: Path) -> None:
    root, ids = annotated_study(m2v, tmp_path)
    study = str(root / "study.yaml")
    # Without the files everything runs, and says so; only what is grouped by a facet cannot be divided.
    m2v("run", "--study", study, "--select", "facets/garden")
    [_, _, said] = [
        row["summary"] for row in as_json(m2v("tables", "show", "findings/facets_garden", "--json"))["rows"]
    ][-3:]
    assert "are not here, so this table is empty" in said
    assert "notes" in said
    told = m2v("run", "--study", study, "--select", "splits/garden_three_1", code=1)
    assert "no item has a facet 'target' to group by" in told.stdout + told.stderr

    rows = [f'{name},0,"leeks{number // 4}","[(1, 2), (3, 4)]"\n' for number, name in enumerate(ids[:-2])]
    written(root / "notes", {"notes.csv": "id,label,target,spans\n" + "".join(rows)})
    written(root / "notes", {"parts.csv": "id,part\n"})
    assert as_json(m2v("run", "--study", study, "--json"))["failed"] == 0
    found = {row["check"]: row for row in as_json(m2v("tables", "show", "findings/facets_garden", "--json"))["rows"]}
    assert found["items_annotated"]["summary"] == "2 items stand in none of the dataset's annotations."
    assert not found["labels_agree"]["is_fine"]
    metrics = as_json(m2v("tables", "show", "results/sample", "--rows", "99", "--json"))["rows"]
    of_folds = [row for row in metrics if row["split"] == "three"]
    assert {row["fold"] for row in of_folds} == {1, 2, 3}
    assert len({row["split_digest"] for row in metrics}) == 4
    assert {row["strategy"] for row in of_folds} == {"vid_ft", "rm_ft", "majority"}
    shown = m2v("report", "--study", study, "--json")
    assert "garden, three" in Path(as_json(shown)["report"]).read_text()


def test_a_split_that_nobody_named_is_an_error(m2v: Run, tmp_path: Path) -> None:
    root, _ = annotated_study(m2v, tmp_path)
    path = root / "study.yaml"
    path.write_text(path.read_text().replace("three", "tree"))
    told = m2v("status", "--study", str(path), code=1).stderr
    assert "No split of garden is called 'tree'. Did you mean three" in told


def test_two_copies_of_a_dataset_are_compared_item_by_item(m2v: Run, tmp_path: Path) -> None:
    """The paper's table of Hateful Memes against made files of phase 2: other labels, and ids with zeros in front."""
    files = sources.find(catalog.load().sources["published"], home=tmp_path)
    published = files["fhm_aligned_with_hatemm.csv"].parent
    with (published / "fhm_aligned_with_hatemm.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:40]
    turned, moved = rows[3]["id"], rows[5]["id"]
    lines = [
        json.dumps(
            {
                "id": row["id"].zfill(6),
                "img": f"img/{row['id']}.png",
                "label": int(row["original_dataset_label"]) ^ (row["id"] == turned),
                "text": row["text"],
            }
        )
        + "\n"
        for row in rows
    ]
    theirs = {"train.jsonl": "".join(lines[:5] + lines[6:]), "dev_seen.jsonl": lines[5]}
    root = written(tmp_path / "phase-2", theirs)
    done = m2v("datasets", "diff", str(published), str(root), "-o", str(tmp_path / "changed.csv"), "--json")
    assert as_json(done) == {
        "left": "m2v-fhm",
        "right": "hateful-memes",
        "n_both": 40,
        "n_only_left": 2960,
        "n_only_right": 0,
        "n_split_differs": 1,
        "n_label_differs": 1,
        "n_text_differs": 0,
        "written": str(tmp_path / "changed.csv"),
    }
    with (tmp_path / "changed.csv").open(newline="") as file:
        changed = {row["what"]: (row["id"], row["left"], row["right"]) for row in csv.DictReader(file)}
    assert changed["split"] == (moved, "train", "validation")
    assert changed["label"][0] == turned
    shown = m2v("datasets", "diff", str(published), str(root)).stdout
    assert f"1 items have another label ({turned})." in shown
    assert rows[3]["text"] not in shown
    other = written(tmp_path / "other", {"training.csv": MAMI + "a.jpg\t1\t0\t0\t0\t0\tb\n"})
    told = m2v("datasets", "diff", str(published), str(other), code=1)
    assert "have no item in common" in told.stderr
