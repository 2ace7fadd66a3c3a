"""A study asks what more training data would do: its quick runs are trained on shares of theirs."""

import json
import shutil
from pathlib import Path

import pytest

from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command

RUN = "minilm_probe_vid_ft_garden_s0"
STUDY = {
    "title": "Curves",
    "targets": ["garden"],
    "learning_curves": [0.5, 0.2],
    "training": [{"model": "minilm-probe", "strategies": ["vid_ft"]}],
}


def test_runs_are_trained_on_shares_of_their_data(finished_home: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_home, home)
    m2v, path = command(home), tmp_path / "curves.yaml"
    path.write_text(json.dumps(STUDY))  # JSON is YAML
    assert as_json(m2v("run", "--study", str(path), "--json"))["failed"] == 0

    store = TableStore(home / "tables")
    rows = store.read("learning_curves", "curves")
    whole = store.read("training_examples", "vid_ft_garden").height
    assert rows.select("run", "share", "draw").rows() == [
        *((RUN, share, draw) for share in (0.2, 0.5) for draw in range(3)),
        (RUN, 1.0, 0),
    ]
    sizes = dict(rows.select("share", "n_train").iter_rows())
    assert sizes[1.0] == whole
    assert sizes[0.2] == pytest.approx(0.2 * whole, abs=1)
    # All of the training data is the run's own training: the same score.
    scored = store.read("metrics", RUN).row(0, named=True)
    last = rows.filter(share=1.0).row(0, named=True)
    assert (last["macro_f1"], last["auroc"]) == pytest.approx((scored["macro_f1"], scored["auroc"]))
    # No draw is left behind.
    [folder] = (home / "programs" / "learning_curves").rglob("manifest.json")
    assert not list(folder.parent.glob("draw_*"))
    figures = json.loads(Path(as_json(m2v("report", "--study", str(path), "--json"))["json"]).read_text())
    assert len(figures["learning_curves"]) == 7
    assert as_json(m2v("status", "--study", str(path), "--json"))["stale"] == []


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0], [1.5]])
def test_shares_that_are_none_are_refused(home: Path, tmp_path: Path, shares: list[float]) -> None:
    path = tmp_path / "curves.yaml"
    path.write_text(json.dumps({**STUDY, "learning_curves": shares}))
    said = command(home)("status", "--study", str(path), code=1).stderr
    assert "learning_curves" in said
    assert "Traceback" not in said
