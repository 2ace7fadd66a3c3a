"""A real Slurm of two hosts made of namespaces: munged and slurmd on both, slurmctld on the first."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests import warm
from tests.cluster.namespaces import Host, Network
from tests.patience import PATIENCE_S

CONTROLLER, OTHER = "leek", "carrot"
# No cgroups, and everything as root: what Slurm does with rights and limits is not what is tested.
CONFIGURATION = """
ClusterName=garden
SlurmctldHost={controller}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerNode=1500
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
ReturnToService=2
SlurmdTimeout=12
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2
MessageTimeout=5
NodeName={nodes} CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=bed Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """The daemons.

    Args:
        folder: Configuration, states and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.network = folder, Network(folder, CONTROLLER, OTHER)
        self.configuration = folder / "slurm.conf"
        nodes = f"{CONTROLLER},{OTHER}"
        text = CONFIGURATION.format(controller=CONTROLLER, folder=folder, nodes=nodes)
        self.configuration.write_text(text, encoding="utf-8")
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)

    def __enter__(self) -> "Cluster":
        self.network.__enter__()
        try:
            for host in self.network.hosts.values():
                self.start_node(host)
            self.start_controller()
            self.until_idle()
        except BaseException:
            self.network.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.network.__exit__()

    @property
    def login(self) -> Host:
        """Where people submit."""
        return self.network.hosts[CONTROLLER]

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.configuration)} | more

    def start_node(self, host: Host) -> None:
        host.do("mkdir", "/run/munge")
        names = {"key": "munge.key", "log": f"munged-{host.name}.log", "seed": f"munge-{host.name}.seed"}
        files = [f"--{kind}-file={self.folder / name}" for kind, name in names.items()]
        host.do("munged", "--force", "--num-threads=2", "--pid-file=/run/munge/munged.pid", *files)
        self._daemon(host, "slurmd", "-D", "-N", host.name)

    def start_controller(self) -> None:
        self.controller = self._daemon(self.login, "slurmctld", "-D")

    def start_host(self, name: str) -> None:
        """Start a host again that was ended."""
        self.start_node(self.network.start(name))
        self.until_idle()

    def stop_controller(self) -> None:
        """As for maintenance; on ``kill -9`` Slurm itself forgets what it did in the last seconds."""
        self.login.do("pkill", "-TERM", "slurmctld")
        self.controller.wait()

    def until_idle(self) -> None:
        """Wait until every node can take jobs."""
        deadline = time.monotonic() + PATIENCE_S
        while set(self.slurm("sinfo", "--noheader", "--Node", "--format=%T").split()) - {"idle", "mixed"}:
            assert time.monotonic() < deadline, self.slurm("sinfo")
            time.sleep(0.2)

    def slurm(self, *command: str) -> str:
        """One of Slurm's commands; what it says."""
        done = self.login.run(*command, env=self.environment())
        return done.stdout + done.stderr

    def python(self, *arguments: str, environment: Mapping[str, str], **options: object) -> "subprocess.Popen[str]":
        """Start Python where people submit."""
        return self.login.start([warm.python(), *arguments], env=self.environment(**environment), **options)

    def _daemon(self, host: Host, *command: str) -> "subprocess.Popen[str]":
        with (self.folder / f"{command[0]}-{host.name}.out").open("a") as log:
            return host.start(command, env=self.environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
