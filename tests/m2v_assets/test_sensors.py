from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from m2v import catalog
from m2v.catalog.variants import StudyPlan
from m2v_assets import materialise, sensors, staleness
from m2v_assets.definitions import assets, build


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyPlan:
    monkeypatch.setenv("M2V_HOME", str(tmp_path / "home"))
    return catalog.open_study("sample-recorded")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> dg.SensorResult | dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.RunRequest | dg.SkipReason)
    return found


def test_files_are_observed_once_and_again_when_they_change(plan: StudyPlan, instance: dg.DagsterInstance) -> None:
    sensor = sensors.observe_files(plan)
    first = tick(sensor, instance)
    assert isinstance(first, dg.SensorResult)
    assert len(first.asset_events) == 5
    for event in first.asset_events:
        instance.report_runless_asset_event(event)
    again = tick(sensor, instance)
    assert isinstance(again, dg.SkipReason)
    assert again.skip_message == "No file changed."


def test_files_that_cannot_be_had_are_said(
    plan: StudyPlan, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published = catalog.open_study("published")
    monkeypatch.setenv("M2V_PUBLISHED_DIR", str(tmp_path))
    found = tick(sensors.observe_files(published), instance)
    assert isinstance(found, dg.SkipReason)
    assert "M2V_PUBLISHED_DIR" in (found.skip_message or "")


def test_a_stale_plan_is_launched_and_never_twice(plan: StudyPlan, instance: dg.DagsterInstance) -> None:
    materialise.observe(plan, home=Path(build(plan).resources["tables"].home), instance=instance)
    sensor = sensors.materialise_stale(plan, staleness.Graph(assets(plan)))
    first, second = tick(sensor, instance), tick(sensor, instance)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    # Dagster launches a run key once: while nothing was made and nothing changed, an asset that fails is left alone.
    assert first.run_key == second.run_key
    assert dg.AssetKey(["memes", "veggie"]) in (first.asset_selection or [])

    done = materialise.run(plan, instance=instance, selection="memes/veggie")
    assert done.materialised == ["memes/veggie"]
    third = tick(sensor, instance)
    assert isinstance(third, dg.RunRequest)
    assert third.run_key != first.run_key
    assert dg.AssetKey(["memes", "veggie"]) not in (third.asset_selection or [])


def test_nothing_is_launched_while_a_run_is_under_way(plan: StudyPlan, instance: dg.DagsterInstance) -> None:
    sensor = sensors.materialise_stale(plan, staleness.Graph(assets(plan)))
    job = build(plan).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    found = tick(sensor, instance)
    assert isinstance(found, dg.SkipReason)
    assert run.run_id in (found.skip_message or "")


def test_an_up_to_date_study_is_left_alone(instance: dg.DagsterInstance, plan: StudyPlan) -> None:
    small = catalog.resolve(plan.study.model_copy(update={"training": ()}), catalog.load())
    materialise.observe(small, home=Path(build(small).resources["tables"].home), instance=instance)
    assert not materialise.run(small, instance=instance).errors
    found = tick(sensors.materialise_stale(small, staleness.Graph(assets(small))), instance)
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == "Everything is up to date."


def test_observing_is_on_by_itself_and_materialising_is_not(plan: StudyPlan) -> None:
    states = {sensor.name: sensor.default_status for sensor in build(plan).sensors or ()}
    assert states == {
        "observe_files": dg.DefaultSensorStatus.RUNNING,
        "materialise_stale": dg.DefaultSensorStatus.STOPPED,
    }
