"""Programs in Dagster runs: found, started, watched, taken down."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from m2v.errors import InputGone, ProgramFailed, RunInProgress, UnknownName
from m2v_resources.launching.launchers import ALLOCATOR, Local, Program
from m2v_resources.launching.programs import Programs, only_one, reason
from tests.encoders import CHECKOUT
from tests.m2v_resources.launching import tree
from tests.m2v_resources.launching.worker import materialise
from tests.patience import PATIENCE_S

GROWING = "tests.m2v_resources.launching.growing"

KEY = dg.AssetKey(["leeks", "garden"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "programs" / "predict" / "garden" / "f00d"


def progress(instance: dg.DagsterInstance) -> list[tuple[float, dict]]:
    """When each observation was made, and its metadata; the oldest first."""
    records = instance.fetch_observations(KEY, limit=100).records[::-1]
    return [
        (record.timestamp, {name: value.value for name, value in record.asset_observation.metadata.items()})
        for record in records
        if record.asset_observation
    ]


@pytest.mark.parametrize("n_processes", [None, 2])  # of a group the first one speaks
def test_progress_streams_into_the_run(tmp_path: Path, instance: dg.DagsterInstance, n_processes: int | None) -> None:
    materialise(str(tmp_path), instance, n_processes=n_processes, steps=3, step_s=0.8)
    seen = progress(instance)
    assert [metadata for _, metadata in seen] == [
        {"done": step, "total": 3, "unit": "leeks", "height_cm": step / 2} for step in (1, 2, 3)
    ]
    assert seen[-1][0] - seen[0][0] > 0.8  # as it happened, not at the end
    [first, *_] = instance.fetch_observations(KEY, limit=1).records
    assert first.asset_observation is not None
    assert first.asset_observation.description == "3 of 3 leeks, height_cm 1.5"


def test_the_manifest_comes_back_and_a_finished_folder_starts_nothing(
    tmp_path: Path, out: Path, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        result = materialise(str(tmp_path), instance)
        [event] = result.asset_materializations_for_node("leeks__garden")
        assert event.metadata["n_leeks"].value == 3
    assert (out / "starts").read_text(encoding="utf-8") == "x"
    (out / "harvest").write_text("weeds", encoding="utf-8")
    materialise(str(tmp_path), instance)
    assert (out / "starts").read_text(encoding="utf-8") == "xx"
    assert (out / "harvest").read_text(encoding="utf-8") == "leeks"


@pytest.mark.parametrize(
    ("ends", "n_processes", "message"),
    [
        (
            "raises",
            None,
            f"{GROWING} ended with exit code 1: ValueError: the soil is dry Its log: ",
        ),
        (
            "raises",
            1,
            f"{GROWING} ended with exit code 1: ValueError: the soil is dry Its log: ",
        ),
        ("killed", None, "ended with exit code 137: SIGKILL ended it; if nobody sent that, memory ran out."),
        ("silently", None, f"{GROWING} ended without a manifest in "),
    ],
)
def test_a_failure_names_the_program_its_exit_code_and_what_it_said(
    tmp_path: Path, instance: dg.DagsterInstance, ends: str, n_processes: int | None, message: str
) -> None:
    with pytest.raises(ProgramFailed) as caught:
        materialise(str(tmp_path), instance, n_processes=n_processes, ends=ends)
    assert message in str(caught.value)
    assert str(tmp_path / "programs" / "predict" / "garden" / "f00d" / "log.txt") in str(caught.value)
    materialise(str(tmp_path), instance)  # and the next run is free to go on


def test_a_program_whose_input_was_taken_down_says_so_and_the_way_out(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    gone = tmp_path / "items.parquet"
    with pytest.raises(
        InputGone, match=r"lost .*items\.parquet while it ran: something in it was taken down.*Run again"
    ):
        materialise(str(tmp_path), instance, items=str(gone))


def test_a_program_that_keeps_items_without_registering_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match=r"No program registered in m2v/programs/kept\.py.*is called 'encod'.*Did you mean encode"
    ):
        Programs(home=str(tmp_path)).folder("encod", "garden", "f00d")
    assert list(tmp_path.iterdir()) == []


def test_programs_keep_the_memory_that_they_free(tmp_path: Path) -> None:
    program = Program("tests.m2v_resources.launching.freeing", tmp_path, {})
    (tmp_path / "spec.json").write_text("{}", encoding="utf-8")
    faults = tmp_path / "faults"
    subprocess.run(program.command, check=True, cwd=CHECKOUT)
    plain = int(faults.read_text(encoding="utf-8"))
    assert Local().start(program).wait(PATIENCE_S) == 0
    assert int(faults.read_text(encoding="utf-8")) < plain / 5
    # Hosts of a cluster get the same.
    assert ALLOCATOR.items() <= program.on_a_cluster().items()


def test_only_one_run_works_in_a_folder(tmp_path: Path, out: Path, instance: dg.DagsterInstance) -> None:
    out.mkdir(parents=True)
    with only_one(out), pytest.raises(RunInProgress, match="Another run works in"):
        materialise(str(tmp_path), instance)
    assert not (out / "starts").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_run(tmp_path: Path, out: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.m2v_resources.launching.worker", str(tmp_path)]
    worker = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    tree.grown(out, 2)
    worker.send_signal(number)
    assert tree.gone(out, within_s=PATIENCE_S)
    assert worker.wait(timeout=PATIENCE_S) != 0
    began = time.monotonic()
    with only_one(out):
        assert time.monotonic() - began < 1


TORCHRUN = """
[rank1]: Traceback (most recent call last):
[rank1]:   File "finetune.py", line 1, in <module>
[rank1]: KeyError: 'leek'

[rank1]: During handling of the above exception, another exception occurred:

[rank1]: Traceback (most recent call last):
[rank1]:   File "finetune.py", line 2, in <module>
[rank1]:     raise
[rank1]: m2v.errors.MissingSource: No leeks. Plant some.
E1120 20:00:00.000000 12 torch/distributed/elastic/multiprocessing/api.py:900] failed (exitcode: 1)
Traceback (most recent call last):
  File "run.py", line 3, in main
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
======
growing FAILED
"""


@pytest.mark.parametrize(
    ("log", "code", "expected"),
    [
        (TORCHRUN, 1, "m2v.errors.MissingSource: No leeks. Plant some."),
        ("sown\nout of leeks\n\n", 2, "out of leeks"),
        ("sown\n", 139, "SIGSEGV ended it; if nobody sent that, memory ran out."),
        ("", 1, "it said nothing."),
    ],
)
def test_the_reason_is_the_programs_own_last_word(log: str, code: int, expected: str) -> None:
    assert reason(log, code=code) == expected
