import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from m2v_assets import staleness

FILE = dg.AssetKey(["files", "peas"])


class World:
    """A garden of four tables: file → memes → (predictions, votes) and predictions → votes; each holds a number."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.code = {"memes": "1", "predictions": "1", "votes": "1"}
        self.data = {"memes": "a", "predictions": "a", "votes": "a"}
        self.edges = {"memes": [FILE], "predictions": ["memes"], "votes": ["memes", "predictions"]}

    def assets(self) -> list[dg.AssetsDefinition]:
        with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):

            @dg.multi_observable_source_asset(specs=[dg.AssetSpec(FILE)])
            def file() -> dg.ObserveResult:
                return dg.ObserveResult(asset_key=FILE, data_version=dg.DataVersion("never called"))

        return [file, *(self.table(name) for name in self.edges)]

    def table(self, name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=self.edges[name], code_version=self.code[name])
        def asset() -> dg.MaterializeResult:
            return dg.MaterializeResult(data_version=dg.DataVersion(self.data[name]))

        return asset

    @property
    def graph(self) -> staleness.AssetGraph:
        return staleness.AssetGraph(self.assets())

    def stale(self) -> dict[str, str]:
        found = staleness.stale(self.graph, staleness.recall(self.graph, self.instance))
        return {asset.to_user_string(): why.reason for asset, why in found.items()}

    def wave(self) -> list[str]:
        record = staleness.recall(self.graph, self.instance)
        wave = staleness.wave(self.graph, staleness.stale(self.graph, record))
        return [asset.to_user_string() for asset in wave]

    def make(self, *names: str) -> None:
        assert dg.materialize(self.assets(), selection=list(names), instance=self.instance).success

    def observe(self, version: str) -> None:
        for observation in staleness.observe({FILE: version}, self.instance):
            self.instance.report_runless_asset_event(observation)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        world = World(instance)
        world.observe("sha-1")
        world.make("memes", "predictions", "votes")
        yield world


def test_at_first_everything_is_missing_and_rides_in_one_wave(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        world = World(instance)
        assert world.stale() == dict.fromkeys(("memes", "predictions", "votes"), "not made yet")
        assert world.wave() == ["memes", "predictions", "votes"]


def test_what_was_just_made_is_fresh(world: World) -> None:
    assert world.stale() == {}
    assert world.wave() == []


def test_a_changed_file_makes_only_its_readers_stale(world: World) -> None:
    world.observe("sha-2")
    assert world.stale() == {"memes": "data of files/peas"}


def test_an_equal_result_stops_the_wave(world: World) -> None:
    world.observe("sha-2")
    world.make(*world.wave())
    assert world.stale() == {}


def test_a_changed_result_goes_on_to_its_children(world: World) -> None:
    world.observe("sha-2")
    world.data["memes"] = "b"
    world.make(*world.wave())
    assert world.stale() == {"predictions": "data of memes", "votes": "data of memes"}


def test_a_child_waits_for_its_stale_parent(world: World) -> None:
    world.data["memes"] = "b"
    world.make("memes")
    assert world.wave() == ["predictions"], "votes waits: predictions may turn out equal, or not"
    world.make("predictions")
    assert world.wave() == ["votes"]


def test_new_code_makes_stale_and_rides_with_pending_parents(world: World) -> None:
    world.code |= {"memes": "2", "votes": "2"}
    assert world.stale() == {"memes": "code", "votes": "code"}
    assert world.wave() == ["memes", "votes"]


def test_an_added_and_a_removed_parent_make_stale(world: World) -> None:
    world.edges["votes"] = ["predictions"]
    assert world.stale() == {"votes": "dependencies of memes"}
    world.edges |= {"votes": ["memes", "predictions"], "predictions": ["memes", FILE]}
    assert world.stale() == {"predictions": "dependencies of files/peas"}


def test_a_file_seen_only_after_its_reader_was_made_makes_it_stale(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        world = World(instance)
        world.make("memes", "predictions", "votes")
        assert world.stale() == {}
        world.observe("sha-1")
        assert world.stale() == {"memes": "data of files/peas"}


def test_an_unchanged_file_is_not_observed_again(world: World) -> None:
    assert staleness.observe({FILE: "sha-1"}, world.instance) == []
    assert len(staleness.observe({FILE: "sha-2"}, world.instance)) == 1


def test_a_plan_is_the_same_until_something_is_made_or_changes(world: World) -> None:
    def fingerprint() -> str:
        record = staleness.recall(world.graph, world.instance)
        return staleness.fingerprint(
            world.graph, record, staleness.wave(world.graph, staleness.stale(world.graph, record))
        )

    world.observe("sha-2")
    second = fingerprint()
    assert fingerprint() == second
    world.observe("sha-3")
    assert fingerprint() != second
    world.make("memes")
    world.observe("sha-2")
    assert fingerprint() != second, "the file is back at sha-2, but memes was made since"


def test_assets_of_one_function_are_made_together(tmp_path: Path) -> None:
    @dg.multi_asset(specs=[dg.AssetSpec("examples", deps=["memes"], code_version="1"), dg.AssetSpec("rejects")])
    def both() -> Iterator[dg.MaterializeResult]:
        yield dg.MaterializeResult(asset_key="examples")
        yield dg.MaterializeResult(asset_key="rejects")

    graph = staleness.AssetGraph([both])
    examples = staleness.Stale(dg.AssetKey("examples"), staleness.StaleCause.CODE)
    assert staleness.wave(graph, {examples.key: examples}) == [dg.AssetKey("examples"), dg.AssetKey("rejects")]


def test_ancestors_are_everything_above_that_can_be_made(world: World) -> None:
    found = world.graph.ancestors({dg.AssetKey("predictions")})
    assert found == {dg.AssetKey("predictions"), dg.AssetKey("memes")}
