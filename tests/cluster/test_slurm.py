"""Programs as jobs of a real Slurm cluster of two hosts."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v.errors import ClusterError
from m2v.files.checkout import CHECKOUT
from m2v_resources.launching.program import Program
from m2v_resources.launching.slurm import Slurm
from tests.cluster.slurm_cluster import CONTROLLER, OTHER, Cluster
from tests.m2v.detectors.text_lora.test_finetune import losses, manifest, one_host, planted
from tests.m2v_assets.conftest import sample_home
from tests.patience import PATIENCE_S

GROWING = "tests.m2v_resources.launching.growing"
WORKER = "tests.cluster.worker"
M2V = "from m2v_cli.cli import main; main()"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


class Run:
    """A Dagster run, where people submit, whose asset is made by a program on the cluster."""

    def __init__(
        self,
        cluster: Cluster,
        home: Path,
        /,
        arguments: str = "",
        *,
        module: str = GROWING,
        n_processes: int = 0,
        path: str = "",
        **spec: Any,
    ) -> None:
        self.cluster, self.home = cluster, home
        self.out = home / "programs" / "predict" / "garden" / "f00d"
        environment = {"M2V_LAUNCHER": f"slurm:{arguments}" if arguments else "slurm", "HF_HUB_OFFLINE": "1"}
        self.process = cluster.python(
            *["-m", WORKER, str(home), json.dumps(spec), module, str(n_processes)],
            environment=environment | {"PYTHONPATH": f"{CHECKOUT}:{path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ended(self) -> dict[str, Any]:
        """What the run says: its observations, the manifest, the error."""
        said, errors = self.process.communicate(timeout=PATIENCE_S)
        assert said, errors
        return json.loads(said.splitlines()[-1])

    def error(self) -> str:
        return self.ended()["error"]

    def until_started(self) -> None:
        until((self.out / "starts").exists)

    def signal(self, name: str) -> None:
        """To the run's own process; what waits for it on this side of the namespaces hears of it."""
        self.cluster.login.do("pkill", f"-{name}", "-f", f"{WORKER} {self.home} ")
        self.process.communicate(timeout=PATIENCE_S)

    def jobs(self) -> list[str]:
        """Those of this folder that Slurm still has."""
        return self.cluster.slurm("squeue", "--noheader", f"--name={Program(GROWING, self.out, {}).name}").splitlines()


def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# Waits for a job of a controller that is away, without patience.
IMPATIENT = """
import sys
from pathlib import Path
from m2v_resources.launching.slurm import Slurm, SlurmJob
job = SlurmJob(Slurm(patience_s=0), "999", out=Path(sys.argv[1]))
while job.wait(0.1) is None:
    pass
"""


@pytest.fixture(scope="module")
def too_long(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with the shortest limit that Slurm knows, a minute; it works while the other tests do."""
    home = tmp_path_factory.mktemp("too_long")
    return Run(cluster, home, f"--time=1 --mem=500 --nodelist={CONTROLLER}", steps=1000, step_s=1)


@pytest.mark.usefixtures("too_long")
def test_a_program_is_a_job_whose_progress_streams_into_the_run(cluster: Cluster, tmp_path: Path) -> None:
    run = Run(cluster, tmp_path, f"--nodelist={OTHER} --comment='two leeks'", steps=3, step_s=0.8)
    said = run.ended()
    assert said["manifest"]["n_leeks"] == 3
    assert [each["done"] for each in said["observations"]] == [1, 2, 3]
    assert (run.out / "starts").read_text(encoding="utf-8") == "x"


def test_a_failure_is_the_programs_own(cluster: Cluster, tmp_path: Path) -> None:
    run = Run(cluster, tmp_path, ends="raises")
    assert run.error().startswith(f"ProgramFailed: {GROWING} ended with exit code 1: ValueError: the soil is dry Its ")


@pytest.mark.parametrize(
    ("arguments", "n_processes", "message"),
    [
        (
            "--partition=weeds",
            0,
            "sbatch: error: invalid partition specified: weeds sbatch: error: Batch job submission failed: "
            "Invalid partition name specified. M2V_LAUNCHER gave it: --partition=weeds.",
        ),
        ("--mem=100G", 0, "Requested node configuration is not available"),
        ("--nodes=2", 3, "has n_processes 3, which 2 nodes cannot share evenly. Change --nodes in M2V_LAUNCHER"),
        ("--begin=tomorrow --hold", 0, "will never start: JobHeldUser. Change sbatch's arguments in M2V_LAUNCHER (now"),
        ("--mem=20 --nodelist=leek", 0, "on leek took more memory than it had asked for. Ask for more, as by M2V_LAUN"),
    ],
)
def test_what_slurm_refuses_is_named(
    cluster: Cluster, tmp_path: Path, arguments: str, n_processes: int, message: str
) -> None:
    run = Run(cluster, tmp_path, arguments, n_processes=n_processes, steps=20, step_s=0.5)
    error = run.error()
    assert error.startswith(("ClusterError: ", "SlurmRefuses: "))
    assert message in error
    assert run.jobs() == []


def test_without_slurms_commands_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="There is no squeue on this machine, which M2V_LAUNCHER=slurm needs"):
        Slurm().find(Program(GROWING, tmp_path, {}))


def test_a_cancelled_run_takes_its_job_down(cluster: Cluster, tmp_path: Path) -> None:
    run = Run(cluster, tmp_path, steps=1000, step_s=1)
    run.until_started()
    run.signal("INT")
    assert run.jobs() == []
    for host in cluster.network.hosts.values():
        assert host.run("pgrep", "-f", f"{GROWING} .*{run.out}").stdout == ""


def test_a_killed_runs_job_goes_on_and_the_next_run_waits_for_it(cluster: Cluster, tmp_path: Path) -> None:
    first = Run(cluster, tmp_path, steps=16, step_s=1)
    first.until_started()
    first.signal("KILL")
    assert len(first.jobs()) == 1
    said = Run(cluster, tmp_path, steps=16, step_s=1).ended()
    assert said["manifest"]["n_leeks"] == 3
    assert said["observations"][-1]["done"] == 16
    assert (first.out / "starts").read_text(encoding="utf-8") == "x"


def test_a_controller_that_is_away_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    run = Run(cluster, tmp_path / "works", f"--nodelist={OTHER}", steps=20, step_s=1)
    run.until_started()
    cluster.stop_controller()
    try:
        late = Run(cluster, tmp_path / "late")
        impatient = cluster.python("-c", IMPATIENT, str(run.out), environment={}, stderr=subprocess.PIPE)
        assert "Slurm's controller does not answer: slurm_load_jobs error: Unable to contact slurm" in late.error()
        assert "Slurm's controller does not answer" in impatient.communicate(timeout=PATIENCE_S)[1]
    finally:
        cluster.start_controller()
    said = run.ended()
    assert said["manifest"], said
    cluster.until_idle()


def test_a_lost_node_is_named(cluster: Cluster, tmp_path: Path) -> None:
    run = Run(cluster, tmp_path, f"--nodelist={OTHER} --no-requeue", steps=1000, step_s=1)
    run.until_started()
    cluster.network.hosts[OTHER].end()
    error = run.error()
    cluster.start_host(OTHER)
    assert error.startswith("ClusterError: Slurm's job ")
    assert f" on {OTHER} lost its node. Run again" in error


def test_a_node_with_other_code_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "m2v", tmp_path / "m2v", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "m2v" / "progress.py").open("a", encoding="utf-8") as file:
        file.write("# A version of one's own.\n")
    node = cluster.network.hosts[OTHER]
    node.do("mount", "--bind", str(tmp_path / "m2v"), str(CHECKOUT / "m2v"))
    run = Run(cluster, tmp_path / "home", f"--nodelist={OTHER}")
    error = run.error()
    node.do("umount", str(CHECKOUT / "m2v"))
    assert f"The host {OTHER} has other code than the one that started this" in error
    assert not (run.out / "starts").exists()


def test_a_training_over_two_nodes_learns_what_one_host_learns(cluster: Cluster, tmp_path: Path) -> None:
    planted(tmp_path).command("two_nodes", entry={"n_processes": 2, "zero_stage": 2, "epochs": 2})
    spec = json.loads((tmp_path / "two_nodes.json").read_text(encoding="utf-8"))
    run = Run(
        cluster,
        tmp_path / "home",
        "--nodes=2 --mem=3000",
        module="m2v.detectors.program",
        n_processes=2,
        path=str(tmp_path),
        **spec,
    )
    said = run.ended()
    assert said["manifest"], said
    assert said["manifest"]["n_processes"] == 2
    assert said["observations"][-1]["done"] == 8
    assert len([each for each in said["observations"] if each["done"] == 8]) == 1  # one node speaks
    alone = one_host(2)
    assert_frame_equal(losses(run.out), losses(alone), abs_tol=1e-6)
    files, expected = manifest(run.out)["files"], manifest(alone)["files"]
    assert files["adapter_model.safetensors"] == expected["adapter_model.safetensors"]


def test_a_study_made_by_slurm_has_the_rows_of_a_local_one(cluster: Cluster, tmp_path: Path) -> None:
    home = tmp_path / "slurm"
    environment = {"M2V_LAUNCHER": "slurm", "M2V_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}
    command = ["-c", M2V, "run", "--study", "sample", "--select", "+meme_images/veggie"]
    run = cluster.python(*command, environment=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, said
    # The folder of the copies is named by where the originals lie, in each home.
    by_slurm, alone = (
        [pl.read_parquet(path) for path in (each / "tables" / "meme_images").rglob("*.parquet")]
        for each in (home, sample_home())
    )
    assert [table.height for table in by_slurm] == [240]
    assert_frame_equal(by_slurm[0].drop("path"), alone[0].drop("path"))
    assert [*(home / "programs" / "pictures").rglob("slurm.sh")]


def test_a_job_over_its_time_limit_is_named(too_long: Run) -> None:
    error = too_long.error()
    assert f" on {CONTROLLER} ran into its time limit. Ask for more, as by M2V_LAUNCHER='slurm:--time=" in error
