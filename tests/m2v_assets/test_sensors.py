from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from m2v import catalog
from m2v.catalog.plan import StudyPlan
from m2v.errors import Unreachable
from m2v_assets import describe, materialise, sensors, staleness
from m2v_assets.definitions import assets, build
from m2v_assets.describe import PLAN
from m2v_resources.store.home import home


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyPlan:
    monkeypatch.setenv("M2V_HOME", str(tmp_path / "home"))
    return catalog.open_study("sample-recorded")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(instance=instance) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
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
    # What else is there is observed all the same.
    others = tick(sensors.observe_files(published), instance)
    assert isinstance(others, dg.SensorResult)
    for event in others.asset_events:
        instance.report_runless_asset_event(event)
    found = tick(sensors.observe_files(published), instance)
    assert isinstance(found, dg.SkipReason)
    assert "M2V_PUBLISHED_DIR" in (found.skip_message or "")


def test_nothing_is_made_of_files_that_nobody_observed_yet(plan: StudyPlan, instance: dg.DagsterInstance) -> None:
    sensor = sensors.materialise_stale(plan, staleness.AssetGraph(assets(plan)))
    early = tick(sensor, instance)
    assert isinstance(early, dg.SkipReason)
    assert "observe_files" in (early.skip_message or "")
    observed = tick(sensors.observe_files(plan), instance)
    assert isinstance(observed, dg.SensorResult)
    for event in observed.asset_events:
        instance.report_runless_asset_event(event)
    assert requests(sensor, instance)


def requests(sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    found = tick(sensor, instance)
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or [])


def named(request: dg.RunRequest) -> set[str]:
    return {asset.to_user_string() for asset in request.asset_selection or []}


@pytest.fixture
def sensor(plan: StudyPlan, instance: dg.DagsterInstance) -> dg.SensorDefinition:
    materialise.observe(plan, home=home(), instance=instance)
    return sensors.materialise_stale(plan, staleness.AssetGraph(assets(plan)))


def create(
    plan: StudyPlan,
    instance: dg.DagsterInstance,
    *selected: str,
    status: dg.DagsterRunStatus,
    tags: dict[str, str] | None = None,
) -> None:
    job = build(plan).resolve_implicit_global_asset_job_def()
    chosen = frozenset(dg.AssetKey.from_user_string(each) for each in selected) or None
    instance.create_run_for_job(job, status=status, asset_selection=chosen, tags=tags)


def test_a_stale_plan_is_launched_and_never_twice(
    plan: StudyPlan, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    first, second = requests(sensor, instance), requests(sensor, instance)
    # Dagster launches a run key once: while nothing was made and nothing changed, an asset that fails is left alone.
    assert [each.run_key for each in first] == [each.run_key for each in second]
    assert "memes/veggie" in named(first[0])

    done = materialise.run(plan, instance=instance, selection="memes/veggie")
    assert done.materialised == ["memes/veggie"]
    third = requests(sensor, instance)
    assert third[0].run_key != first[0].run_key
    assert "memes/veggie" not in named(third[0])


@pytest.fixture
def ready(plan: StudyPlan, instance: dg.DagsterInstance, sensor: dg.SensorDefinition) -> dg.SensorDefinition:
    """The sensor where datasets are read: people and training can both go on."""
    for selection in ("memes", "demonstrations"):
        assert not materialise.run(plan, instance=instance, selection=selection).errors
    return sensor


def test_what_people_wait_for_is_a_run_of_its_own_before_training(
    instance: dg.DagsterInstance, ready: dg.SensorDefinition
) -> None:
    first, rest = requests(ready, instance)
    assert first.tags["dagster/priority"] > rest.tags["dagster/priority"]
    assert named(first) == {
        "predictions/veggie_garden",
        "conflicts/veggie_garden",
        "human_labels/veggie_garden",
        "voted_labels/veggie_garden",
    }
    # What rests on it comes at a later tick; what does not rest on it needs not wait.
    assert "checkpoints/minilm_probe_vid_ft_garden_s0" in named(rest)
    assert not any("rm_ft" in asset for asset in named(rest))


def test_nothing_is_launched_that_rests_on_a_run_under_way(
    plan: StudyPlan, instance: dg.DagsterInstance, ready: dg.SensorDefinition
) -> None:
    create(plan, instance, "features/minilm_garden", status=dg.DagsterRunStatus.STARTED)
    first, rest = requests(ready, instance)
    assert "voted_labels/veggie_garden" in named(first)
    assert named(rest) & {"features/minilm_garden", "checkpoints/minilm_probe_vid_ft_garden_s0"} == set()
    create(plan, instance, status=dg.DagsterRunStatus.NOT_STARTED)
    found = tick(ready, instance)
    assert isinstance(found, dg.SkipReason)
    assert "under way" in (found.skip_message or "")


def test_a_run_that_will_be_retried_is_under_way_until_its_retry_is(
    plan: StudyPlan, instance: dg.DagsterInstance, ready: dg.SensorDefinition
) -> None:
    create(plan, instance, status=dg.DagsterRunStatus.FAILURE, tags={"dagster/will_retry": "true"})
    assert isinstance(tick(ready, instance), dg.SkipReason)
    (failed,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    instance.add_run_tags(failed.run_id, {"dagster/auto_retry_run_id": "another"})
    assert len(requests(ready, instance)) == 2


def test_a_run_that_was_killed_is_launched_again_and_one_that_failed_is_not(
    plan: StudyPlan, instance: dg.DagsterInstance, ready: dg.SensorDefinition
) -> None:
    first, rest = requests(ready, instance)
    create(plan, instance, status=dg.DagsterRunStatus.FAILURE, tags={**first.tags})
    create(
        plan,
        instance,
        status=dg.DagsterRunStatus.FAILURE,
        tags={**rest.tags, "dagster/failure_reason": "STEP_FAILURE"},
    )
    again, still = requests(ready, instance)
    assert again.run_key != first.run_key
    assert still.run_key == rest.run_key
    # But not for ever.
    for _ in range(sensors.MAX_DEATHS):
        create(plan, instance, status=dg.DagsterRunStatus.FAILURE, tags={**first.tags})
    assert requests(ready, instance)[0].run_key == first.run_key


def test_an_up_to_date_study_is_left_alone(instance: dg.DagsterInstance, plan: StudyPlan) -> None:
    small = catalog.resolve(plan.study.model_copy(update={"training": ()}), catalog.load())
    materialise.observe(small, home=home(), instance=instance)
    assert not materialise.run(small, instance=instance).errors
    found = tick(sensors.materialise_stale(small, staleness.AssetGraph(assets(small))), instance)
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == "Everything is up to date."


def test_observing_is_on_by_itself_and_materialising_is_not(plan: StudyPlan) -> None:
    states = {sensor.name: sensor.default_status for sensor in build(plan).sensors or ()}
    assert states == {
        "observe_files": dg.DefaultSensorStatus.RUNNING,
        "materialise_stale": dg.DefaultSensorStatus.STOPPED,
    }


@pytest.mark.parametrize("tags", [{}, {PLAN: "a plan"}], ids=["waited for", "launched by the sensor"])
def test_a_server_that_does_not_answer_is_asked_again_where_nobody_waits(
    instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    tries = []

    @dg.asset
    def asked(context: dg.AssetExecutionContext) -> None:
        tries.append(1)
        with describe.outages_waited_for(context, wait_s=0):
            if len(tries) < 3:
                raise Unreachable("it did not answer")

    done = dg.materialize([asked], instance=instance, tags=tags, raise_on_error=False)
    assert (done.success, len(tries)) == ((True, 3) if tags else (False, 1))
