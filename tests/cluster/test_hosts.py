"""Training over two hosts: what one host learns, and nothing waits for a host that is gone or does not fit."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file

from m2v.detectors.trainer import adapters
from m2v.files.checkout import CHECKOUT
from tests import encoders, warm
from tests.cluster.namespaces import Network
from tests.m2v.detectors.text_lora.test_finetune import Garden, losses, manifest, one_host, planted
from tests.patience import PATIENCE_S

# The first one holds the rendezvous; torchrun orders hosts by their names, so that process 0 is on the other one.
FIRST, OTHER = "leek", "carrot"
GROUP = f"--nnodes=2 --rdzv-backend=c10d --rdzv-endpoint={FIRST}:29500 --rdzv-id=vegetables"
ENTRY = {"n_processes": 2, "epochs": 2}
WAIT_S = 240


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    return planted(tmp_path_factory.mktemp("garden"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Network(tmp_path_factory.mktemp("network"), FIRST, OTHER) as network:
        yield network


class Training:
    """A training by torchrun on both hosts, one process on each; what they say is in ``<name>.<host>.log``."""

    def __init__(self, network: Network, garden: Garden, name: str, *, save_steps: int = 50, **entry: Any) -> None:
        self.network, self.garden, self.out = network, garden, garden.folder / name
        command = garden.command(name, entry={**ENTRY, **entry}, save_steps=save_steps)
        torchrun = ["-m", "torch.distributed.run", *GROUP.split(), "--nproc-per-node=1"]
        self.command = [warm.python(), *torchrun, *command[command.index("m2v.detectors.program") - 1 :]]
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, *, environments: Mapping[str, Mapping[str, str]] | None = None) -> "Training":
        for host in self.network.hosts.values():
            environment = encoders.environment(self.garden.folder) | dict((environments or {}).get(host.name, {}))
            with self.log(host.name).open("w") as log:
                self.processes[host.name] = host.start(self.command, env=environment, stderr=log, stdout=log)
        return self

    def log(self, host: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{host}.log")

    def said(self, host: str) -> str:
        return self.log(host).read_text(encoding="utf-8")

    def codes(self, *, seconds: float = WAIT_S) -> list[int]:
        deadline = time.monotonic() + seconds
        return [each.wait(deadline - time.monotonic()) for each in self.processes.values()]

    def until_there_is(self, state: str) -> None:
        while not (self.out / "state" / state / "complete").exists():
            assert self.processes[FIRST].poll() is None, self.said(FIRST)
            time.sleep(0.01)


def assert_same(found: Path, expected: Path) -> None:
    """Losses as exact as two processes on one host repeat them, and the very same weights."""
    assert_frame_equal(losses(found), losses(expected), abs_tol=1e-6)
    saved, reference = (load_file(folder / adapters.ADAPTER) for folder in (found, expected))
    assert saved.keys() == reference.keys()
    assert all((weights == reference[name]).all() for name, weights in saved.items())
    assert manifest(found)["selection"] == manifest(expected)["selection"]
    assert manifest(found)["n_processes"] == 2


def test_two_hosts_learn_what_one_learns(network: Network, garden: Garden) -> None:
    training = Training(network, garden, "two_hosts", zero_stage=3).start()
    assert training.codes() == [0, 0], training.said(FIRST)
    assert_same(training.out, one_host(3))
    # Process 0 speaks, and it is on the other host.
    assert "8 of 8 steps" in training.said(OTHER)
    assert "8 of 8 steps" not in training.said(FIRST)


def test_the_other_host_runs_what_the_first_ones_run_has_written(
    tmp_path: Path, network: Network, garden: Garden
) -> None:
    garden.command("spec", entry=ENTRY)
    spec = (garden.folder / "spec.json").read_text(encoding="utf-8")
    environment = encoders.environment(garden.folder)
    worker = [warm.python(), "-m", "tests.cluster.worker", str(tmp_path), spec, "m2v.detectors.program", "1"]
    first = network.hosts[FIRST].start(
        worker, env=environment | {"M2V_TORCHRUN": GROUP}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    out = tmp_path / "programs" / "predict" / "garden" / "f00d"
    while not (out / "other-hosts.sh").exists():
        assert first.poll() is None
        time.sleep(0.1)
    other = network.hosts[OTHER].start(["sh", str(out / "other-hosts.sh")], env=environment, stderr=subprocess.DEVNULL)
    said = json.loads(first.communicate(timeout=WAIT_S)[0].splitlines()[-1])
    assert said["manifest"], said
    assert other.wait(PATIENCE_S) == 0
    # Dagster listens on the first host, and hears although process 0 is on the other one.
    assert said["observations"][-1]["done"] == 8
    assert_same(out, one_host(2))


def test_a_killed_host_ends_the_other_and_both_go_on_with_the_same_losses(network: Network, garden: Garden) -> None:
    training = Training(network, garden, "killed", save_steps=3).start()
    training.until_there_is("checkpoint-6")
    network.hosts[OTHER].end()
    assert training.processes[FIRST].wait(PATIENCE_S) == 1
    expected = f"m2v.errors.HostLost: {OTHER}, where process 0 of 2 worked, has ended; its own log says why"
    assert expected in training.said(FIRST)
    assert not (training.out / "manifest.json").exists()
    network.start(OTHER)
    assert training.start().codes() == [0, 0], training.said(FIRST)
    assert_same(training.out, one_host(2))


def test_a_host_without_a_cable_is_missed(network: Network, garden: Garden) -> None:
    training = Training(network, garden, "unplugged", save_steps=1, epochs=500).start()
    training.until_there_is("checkpoint-2")
    network.unplug(OTHER)  # it works on and hears nothing, as the first one does
    try:
        assert training.processes[FIRST].wait(PATIENCE_S) == 1
        # Its torchrun still asks the first one's, for minutes.
        for host, lost in ((FIRST, f"{OTHER}, where process 0"), (OTHER, f"{FIRST}, where process 1")):
            expected = f"m2v.errors.HostLost: {lost} of 2 worked, does not answer any more (Connection"
            deadline = time.monotonic() + PATIENCE_S
            while expected not in training.said(host):
                assert time.monotonic() < deadline, training.said(host)
                time.sleep(0.1)
    finally:
        network.plug(OTHER)
        network.hosts[OTHER].do("pkill", "-KILL", "-f", "torch.distributed.run")
        training.processes[OTHER].wait(PATIENCE_S)


@pytest.fixture(scope="module")
def ssh(network: Network, tmp_path_factory: pytest.TempPathFactory) -> str:
    """sshd on the other host, which takes a key made for this test; the command that reaches it."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    host = network.hosts[OTHER]
    host.do("mkdir", "-p", "/run/sshd")
    given = {
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    host.do("/usr/sbin/sshd", "-f", "/dev/null", *(f"-o{name}={value}" for name, value in given.items()))
    known = folder / "known"
    known.write_text(f"{OTHER} {(folder / 'host.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    return f"ssh -F none -i {folder / 'user'} -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"


def by_hostfile(training: Training, text: str, *, ssh: str) -> int:
    """Run it as ``m2v run`` would on the first host; its exit code."""
    hosts = training.out.with_suffix(".hosts")
    hosts.write_text(text, encoding="utf-8")
    module = training.command.index("m2v.detectors.program")
    command = [warm.python(), "-m", "m2v_resources.launching.ssh_hosts", str(hosts), *training.command[module:]]
    environment = encoders.environment(training.garden.folder) | {"M2V_SSH": ssh}
    with training.log(FIRST).open("w") as log:
        started = training.network.hosts[FIRST].start(command, env=environment, stderr=log, stdout=log)
    return started.wait(WAIT_S)


def test_a_hostfile_starts_both_by_ssh(network: Network, garden: Garden, ssh: str) -> None:
    training = Training(network, garden, "hostfile")
    code = by_hostfile(training, f"# Two beds\n{FIRST} slots=1\n{OTHER} slots=1\n", ssh=ssh)
    assert code == 0, training.said(FIRST)
    assert_same(training.out, one_host(2))
    assert network.hosts[OTHER].run("pgrep", "-f", "finetune").stdout == ""


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (f"{FIRST} slots=1\nturnip slots=1\n", "ClusterError: turnip of "),  # no such host
        (f"{FIRST}\n", "Each line: name slots=N"),
        ("# Nothing grows here.\n", " lists no host. Each line: name slots=N"),
    ],
)
def test_a_hostfile_that_cannot_work_is_an_error(
    network: Network, garden: Garden, ssh: str, hosts: str, message: str
) -> None:
    training = Training(network, garden, "no_hosts")
    assert by_hostfile(training, hosts, ssh=ssh) == 1
    assert message in training.said(FIRST)


def test_other_code_on_one_host_is_refused_by_both(tmp_path: Path, network: Network, garden: Garden) -> None:
    shutil.copytree(CHECKOUT / "m2v", tmp_path / "m2v", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "m2v" / "progress.py").open("a", encoding="utf-8") as file:
        file.write("# A version of one's own.\n")
    other = {"PYTHONPATH": f"{tmp_path}:{garden.folder}", "PYTHONSAFEPATH": "1"}
    training = Training(network, garden, "other_code").start(environments={OTHER: other})
    assert training.codes() == [1, 1]
    for host in (FIRST, OTHER):
        assert f"m2v.errors.HostsDiffer: {FIRST} has other code of M2V (" in training.said(host)
        assert "Install the same on all hosts." in training.said(host)
    assert not (training.out / "state").exists()


def test_a_disk_that_is_not_shared_is_refused_by_both(network: Network, garden: Garden) -> None:
    training = Training(network, garden, "own_disk")
    training.out.mkdir()
    network.hosts[FIRST].do("mount", "-t", "tmpfs", "none", str(training.out))
    assert training.start().codes() == [1, 1]
    for host in (FIRST, OTHER):
        assert f"m2v.errors.HostsDiffer: {FIRST} cannot see what {OTHER} writes to {training.out}" in training.said(
            host
        )
    assert not [*training.out.iterdir()]
