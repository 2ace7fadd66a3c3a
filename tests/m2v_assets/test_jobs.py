"""Jobs by name: what each makes, and the weekly look at every hash."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from m2v import catalog
from m2v_assets.definitions import build


@pytest.fixture
def defs(finished_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """The sample's, in a copy of a home in which it was run."""
    shutil.copytree(finished_home, home)
    monkeypatch.setenv("M2V_HOME", str(home))
    return build(catalog.open_study("sample-recorded"))


def test_each_part_of_the_method_is_a_job(defs: dg.Definitions) -> None:
    tables = {
        "label": {"predictions"},
        "rounds": {"conflicts", "human_labels", "voted_labels"},
        "train": {"training_examples", "rejects", "checkpoints"},
        "evaluate": {"metrics", "test_predictions", "results", "operating_points", "reports"},
    }
    for name, of_job in tables.items():
        keys = defs.resolve_job_def(name).asset_layer.selected_asset_keys
        assert of_job <= {key.path[0] for key in keys}, name
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == {*tables, "verify"}


def test_the_weekly_look_fails_where_a_hash_does_not_match_and_says_where(defs: dg.Definitions, home: Path) -> None:
    (schedule,) = list(defs.schedules or [])
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.job_name, schedule.cron_schedule) == ("verify", "0 4 * * 0")
    verify = defs.resolve_job_def("verify")
    assert verify.execute_in_process().success
    (damaged,) = (home / "tables" / "memes" / "veggie").glob("*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    result = verify.execute_in_process(raise_on_error=False)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    said = failure.step_failure_data.error_display_string
    assert "memes/veggie" in said
    assert "m2v audit verify" in said
