"""Programs on a real Ray cluster: a head and two workers on this machine, of which one is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from m2v.errors import ClusterError, ProgramFailed
from m2v.files.checkout import CHECKOUT
from m2v.prediction.task import ANSWERS
from m2v.programs import contract
from m2v_resources.launching import launchers
from m2v_resources.launching.program import Program
from m2v_resources.store.versions import TableStore
from tests import encoders, warm
from tests.cluster.raying import Cluster
from tests.conftest import free_port
from tests.m2v.prediction.test_predict import Asking
from tests.m2v_resources.launching import tree
from tests.m2v_resources.launching.test_programs import progress
from tests.m2v_resources.launching.worker import materialise
from tests.patience import PATIENCE_S

GROWING = "tests.m2v_resources.launching.growing"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("ray")) as cluster:
        cluster.grow(2)
        yield cluster


@pytest.fixture
def by_ray(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("M2V_LAUNCHER", f"ray:{cluster.url}")
    return cluster


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "programs" / "predict" / "garden" / "f00d"


def test_progress_streams_and_the_manifest_comes_back(
    by_ray: Cluster, tmp_path: Path, out: Path, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        result = materialise(str(tmp_path), instance, steps=3, step_s=0.8)
        [event] = result.asset_materializations_for_node("leeks__garden")
        assert event.metadata["n_leeks"].value == 3
    assert (out / "starts").read_text(encoding="utf-8") == "x"
    seen = [metadata for _, metadata in progress(instance)]
    assert seen[-1] == {"done": 3, "total": 3, "unit": "leeks", "height_cm": 1.5}
    assert len(seen) > 1
    # What ended is done anew where somebody took its files away.
    (out / "harvest").unlink()
    materialise(str(tmp_path), instance)
    assert (out / "starts").read_text(encoding="utf-8") == "xx"


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (
            "raises",
            f"{GROWING} ended with exit code 1: ValueError: the soil is dry Its log: ",
        ),
        ("killed", "ended with exit code 137: SIGKILL ended it; if nobody sent that, memory ran out."),
        ("silently", f"{GROWING} ended without a manifest in "),
    ],
)
def test_a_failure_names_the_program_its_exit_code_and_what_it_said(
    by_ray: Cluster, tmp_path: Path, instance: dg.DagsterInstance, ends: str, message: str
) -> None:
    with pytest.raises(ProgramFailed) as caught:
        materialise(str(tmp_path), instance, ends=ends)
    assert message in str(caught.value)


def working(tmp_path: Path, out: Path) -> "subprocess.Popen[bytes]":
    """A run whose program never ends, once that has grown."""
    command = [warm.python(), "-m", "tests.m2v_resources.launching.worker", str(tmp_path)]
    worker = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    tree.grown(out, 2)
    return worker


def test_a_run_that_is_ended_takes_its_job_down(by_ray: Cluster, tmp_path: Path, out: Path) -> None:
    worker = working(tmp_path, out)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) != 0
    assert tree.gone(out, within_s=PATIENCE_S)
    assert by_ray.jobs()[job_of(out)] == "STOPPED"


def test_a_killed_runs_job_goes_on_and_the_next_run_waits_for_it(
    by_ray: Cluster, tmp_path: Path, out: Path, instance: dg.DagsterInstance
) -> None:
    command = [sys.executable, "-m", "tests.cluster.growing_long", str(tmp_path)]
    worker = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    until((out / "starts").exists)
    worker.kill()
    worker.wait()
    assert by_ray.jobs()[job_of(out)] == "RUNNING"
    materialise(str(tmp_path), instance, steps=8, step_s=1.0)
    assert (out / "starts").read_text(encoding="utf-8") == "x"
    assert by_ray.jobs()[job_of(out)] == "SUCCEEDED"


def job_of(out: Path) -> str:
    return (out / ".job").read_text(encoding="utf-8")


def until(condition: Any, *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(home: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """``m2v run`` on the sample."""
    return subprocess.Popen(
        [warm.command(), "run", "--study", "sample", "--json", *words],
        env={**os.environ, **warm.environment(), **warm.SETTINGS, "M2V_HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: "subprocess.Popen[str]") -> dict[str, Any]:
    said, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said + errors
    return json.loads(said.splitlines()[-1])


def test_the_sample_is_labelled_and_encoded_as_on_one_machine_though_a_worker_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for table in ("features", "predictions"):
        done(run(here, "--select", table))
    # The same home before anything was asked or encoded, which are done anew by the cluster.
    shutil.copytree(here, there)
    for asked in ("requests", "encodings", "programs/predict", "programs/extract"):
        shutil.rmtree(there / asked)
    by_ray = {"M2V_LAUNCHER": f"ray:{cluster.url}"}
    done(run(there, "--force", "--select", "features", **by_ray))
    # Here once more by the same command: a text that two datasets share is encoded with whichever comes first, and what
    # it is encoded beside moves its last digits.
    shutil.rmtree(here / "encodings")
    shutil.rmtree(here / "programs" / "extract")
    done(run(here, "--force", "--select", "features"))
    labelling = run(there, "--force", "--select", "predictions", **by_ray)
    answers = there / "requests" / "tiny-mllama"
    until(lambda: any(path.stat().st_size for path in answers.glob("*.jsonl")) or any(answers.glob("*.parquet")))
    cluster.hosts.pop().kill()
    done(labelling)
    for path in (there / "tables" / "features").iterdir():
        by_ray_and_here = (TableStore(home / "tables").read("features", path.name) for home in (there, here))
        # What a text is encoded beside, and by how many threads, moves its last digits.
        assert_frame_equal(*by_ray_and_here, check_exact=False, abs_tol=1e-6, rel_tol=0)
    # Equal rows are the version that was there.
    for path in (there / "tables" / "predictions").iterdir():
        assert TableStore(there / "tables").numbers("predictions", path.name) == [1], path.name
    # Nothing that was answered was asked again.
    kept = pl.concat([pl.read_parquet(path) for path in answers.glob("*.parquet")])
    assert kept.height == kept["request_sha256"].n_unique()
    assert not list(answers.glob("*.jsonl"))
    [manifest] = [json.loads(path.read_text()) for path in there.glob("programs/predict/veggie_garden/*/manifest.json")]
    assert manifest["n_asked"] == kept.height
    assert manifest["hosts"]
    cluster.grow(1)


def ask(cluster: Cluster, asking: Asking, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The program that asks, started by hand as a part of the cluster."""
    spread = {"M2V_SPREAD": "ray", "RAY_ADDRESS": f"127.0.0.1:{cluster.gcs}", **environment}
    return subprocess.run(
        asking.command("spread"),
        env=encoders.environment(asking.folder) | spread,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_what_a_worker_lacks_is_said_with_its_name(cluster: Cluster, tmp_path: Path) -> None:
    asking = Asking(tmp_path, n=4)
    lacking = ask(cluster, asking, M2V_GPUS="1")
    assert lacking.returncode == 1
    assert "ClusterError: No host of the Ray cluster has a CPU and 1 GPUs" in lacking.stderr
    other = ask(cluster, asking, **{contract.CODE: "0" * 64})
    assert other.returncode == 1
    assert "has other code than the one that started this" in other.stderr.splitlines()[-1]
    # The head can read the model, a worker's disk has not got the weights.
    encoder = encoders.tiny(tmp_path / "head")
    parts = tmp_path / "parts.parquet"
    rows = {"modality": "text", "sha256": ["a", "b"], "text": ["leek", "pea"], "path": None}
    pl.DataFrame(rows).write_parquet(parts)
    spec = tmp_path / "spec.json"
    plain = {"extractor": encoder.model_dump(mode="json"), "parts": str(parts), "media": None, "home": str(tmp_path)}
    spec.write_text(json.dumps(plain), encoding="utf-8")
    without = subprocess.run(
        encoders.command("m2v.features.program", spec=spec, out=tmp_path / "encoded"),
        env=encoders.environment(tmp_path / "head") | {"M2V_SPREAD": "ray", "RAY_ADDRESS": f"127.0.0.1:{cluster.gcs}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert without.returncode == 1
    last = without.stderr.strip().splitlines()[-1]
    assert "ClusterError: On the host " in last
    assert "The weights of nobody/tiny at revision 000000000000 are not on this machine" in last


def test_a_program_goes_on_from_what_a_killed_one_left(cluster: Cluster, tmp_path: Path) -> None:
    asking = Asking(tmp_path, n=6)
    alone = asking("alone")
    assert alone["n_asked"] == 6
    folder = tmp_path / "requests" / "tiny-mllama"
    [path] = folder.glob("*.parquet")
    rows = pl.read_parquet(path)
    path.unlink()
    # Of a part, three answers were kept, and half of a fourth.
    lines = [json.dumps(row) for row in rows.head(3).select(list(ANSWERS)).to_dicts()]
    (folder / "part.jsonl").write_text("\n".join([*lines, lines[0][:9]]), encoding="utf-8")
    done = ask(cluster, asking)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads((tmp_path / "spread" / "manifest.json").read_text(encoding="utf-8"))
    assert (said["n_asked"], said["n_known"]) == (3, 3)
    assert asking.answers("spread")["probability"].null_count() == 0


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("ray", "M2V_LAUNCHER is 'ray'. It must be local, "),
        ("rye:http://127.0.0.1:8265", "M2V_LAUNCHER is 'rye:http://127.0.0.1:8265'. It must be local, "),
        ("ray:127.0.0.1:8265", "'127.0.0.1:8265' is no address of Ray's dashboard"),
        ("ray:http://127.0.0.1:{free}", "Ray at http://127.0.0.1:{free} does not answer (ConnectError). Start it"),
    ],
)
def test_a_cluster_that_is_not_there_is_named_before_anything_is_made(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, setting: str, problem: str
) -> None:
    free = free_port()
    monkeypatch.setenv("M2V_LAUNCHER", setting.format(free=free))
    with pytest.raises(ClusterError) as caught:
        materialise(str(tmp_path), instance)
    assert problem.format(free=free) in str(caught.value)


def test_gpus_that_no_host_has_are_refused_at_once(by_ray: Cluster, tmp_path: Path) -> None:
    program = Program("m2v.detectors.program", tmp_path, {}, n_processes=2, gpus=1)
    with pytest.raises(ClusterError, match=r"takes 2 GPUs, the Ray cluster at http://127\.0\.0\.1:\d+ has 0"):
        launchers.chosen().start(program)


def test_a_job_is_told_no_secret(by_ray: Cluster, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "LABEL_STUDIO_TOKEN"):
        monkeypatch.setenv(name, "turnip")
    out.mkdir(parents=True)
    (out / "spec.json").write_text(json.dumps({"steps": 1, "step_s": 0, "ends": "well"}), encoding="utf-8")
    program = Program("tests.m2v_resources.launching.growing", out, {})
    job = launchers.chosen().start(program)
    until(lambda: job.wait(0.5) == 0)
    assert "turnip" not in httpx.get(f"{by_ray.url}/api/jobs/").text
