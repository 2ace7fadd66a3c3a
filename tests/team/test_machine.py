"""The team's machine as its users meet it: started, looked at, killed piece by piece, backed up, restored."""

import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from socket import AF_INET
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from m2v.files.checkout import CHECKOUT
from tests.team.machine import Machine

STUDY = """
title: "The sample, with people asked in Label Studio and a model trained"
memes: [veggie]
targets: [garden]
answers: live
audit_share: 0.1
min_answers: 2
training:
  - model: minilm-probe
    strategies: [om_ft, vid_ft]
  - model: minilm-lora
    strategies: [vid_ft]
"""
WAIT_S = 600.0
SENSOR = {"repositoryName": "__repository__", "repositoryLocationName": "m2v", "sensorName": "materialise_stale"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Postgres, who has no rights, must be able to enter it; pytest's own folders are closed to all but us."""
    with tempfile.TemporaryDirectory(prefix="m2v-team-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[Machine]:
    studies = folder / "studies"
    studies.mkdir()
    (studies / "asked.yaml").write_text(STUDY, encoding="utf-8")
    with Machine(folder / "machine", M2V_STUDIES=str(studies), M2V_STUDY="/studies/asked.yaml") as machine:
        machine.start()
        yield machine


def runs(machine: Machine) -> list[dict[str, Any]]:
    query = (
        "{ runsOrError { ... on Runs { results { runId status tags { key value } stepStats { stepKey status } } } } }"
    )
    return machine.ask(query)["runsOrError"]["results"]


def stale(machine: Machine) -> list[str]:
    done = machine.run("code", ["m2v", "status", "--json"])
    assert done.returncode == 0, done.stderr.decode()
    return [each["asset"] for each in json.loads(done.stdout.splitlines()[-1])["stale"]]


def until(condition: Callable[[], object], *, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        try:
            if condition():
                return
        except (httpx.HTTPError, json.JSONDecodeError, LookupError) as error:
            said: object = error
        else:
            said = None
        assert time.monotonic() < deadline, f"It took longer than {seconds} s. {said or ''}"
        # Asking takes a share of the time that the work gets.
        time.sleep(max(1.0, 2 * (time.monotonic() - asked)))


def test_only_the_door_is_promised_and_everything_listens_on_loopback(machine: Machine) -> None:
    listening: dict[str, set[int]] = {}
    for name, service in machine.services.items():
        for process in service.processes():
            connections: list[Any] = []
            # A health check ends meanwhile: a process that is gone listens nowhere.
            with contextlib.suppress(psutil.NoSuchProcess):
                connections = process.net_connections("inet")
            for each in connections:
                if each.status == psutil.CONN_LISTEN:
                    assert each.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", f"{name} listens on {each.laddr}"
                    listening.setdefault(name, set()).add(each.laddr.port)
    promised: dict[str, set[int]] = {}
    for (name, _), port in machine.ports.items():
        promised.setdefault(name, set()).add(port)
    assert listening == promised
    assert [name for name, about in machine.file["services"].items() if about.get("ports")] == ["door"]
    others = {each.address for each in chain(*psutil.net_if_addrs().values()) if each.family == AF_INET}
    for address in others - {"127.0.0.1"}:
        for port in set().union(*promised.values()):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://{address}:{port}", timeout=5)


def test_the_ui_and_label_studio_open_in_a_browser(machine: Machine, page: Page) -> None:
    page.goto(f"{machine.ui}/asset-groups")
    expect(page.get_by_role("button", name="annotation").first).to_be_visible()
    page.goto(machine.label_studio)
    expect(page.get_by_text("Log in").first).to_be_visible()
    # There is no account but the platform's, and nobody makes one without an invitation.
    page.goto(f"{machine.label_studio}/user/signup/")
    page.locator('input[name="email"]').fill("leek@garden.example")
    page.locator('input[name="password"]').fill("leek-and-potato-soup")
    page.get_by_role("button", name="Create Account").click()
    page.wait_for_load_state()
    assert "/projects" not in page.url
    said = machine.run("code", ["m2v", "rounds", "invite", "--json"])
    assert said.returncode == 0, said.stderr.decode()
    link = json.loads(said.stdout.splitlines()[-1])["link"]
    assert link.startswith(f"{machine.label_studio}/user/signup/?token=")


def test_a_study_survives_the_kill_of_each_process(machine: Machine) -> None:
    said = machine.ask(
        "mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename } }",
        sensor=SENSOR,
    )
    assert said["startSensor"]["__typename"] == "Sensor"
    under_way = lambda: [run for run in runs(machine) if run["status"] == "STARTED"]  # noqa: E731
    ended = lambda: all(run["status"] in {"SUCCESS", "FAILURE"} for run in runs(machine))  # noqa: E731
    until(under_way)
    worker(machine).kill()
    for name in ("code", "daemon", "webserver", "postgres", "label-studio", "door"):
        until(lambda: under_way() or (ended() and not stale(machine)))
        machine.services[name].kill()
        for each in machine.services:
            machine.wait_healthy(each)
    until(lambda: ended() and not stale(machine))
    done = runs(machine)
    assert {run["status"] for run in done} == {"SUCCESS", "FAILURE"}
    # Nothing twice: no step that ended well was begun again, and no table has two versions.
    ended_well = Counter(step["stepKey"] for run in done for step in run["stepStats"] if step["status"] == "SUCCESS")
    assert {step: n for step, n in ended_well.items() if n > 1} == {}
    tables = json.loads(machine.run("code", ["m2v", "tables", "list", "--json"]).stdout.splitlines()[-1])
    assert {each["name"] for each in tables if each["number"] > 1} == set()
    # Nothing lost: one project with each item that was to be asked about, once.
    rounds = machine.run("code", ["m2v", "tables", "show", "rounds/veggie_garden", "--json"]).stdout.splitlines()[-1]
    asked = {
        each["round"]: each["n_conflicts"] + each["n_audit"] + each["n_gold"] for each in json.loads(rounds)["rows"]
    }
    assert dict(projects(machine)) == asked
    # The first run is what people wait for.
    assert [tag["value"] for tag in done[-1]["tags"] if tag["key"] == "dagster/priority"] == ["1"]
    # And the place of every run that was killed is free again.
    query = "{ instance { concurrencyLimits { concurrencyKey claimedSlots { runId } } } }"
    until(lambda: not any(each["claimedSlots"] for each in machine.ask(query)["instance"]["concurrencyLimits"]))


def test_two_runs_work_at_a_time_and_of_those_that_need_an_accelerator_one(machine: Machine) -> None:
    # All are in the queue before any is taken off it.
    machine.services["daemon"].stop()
    made = sorted(materialisations(machine))
    light = ("memes/", "videos/", "demonstrations/")
    plain = [machine.launch(each) for each in made if each.startswith(light)]
    learned = ("features/", "checkpoints/minilm_lora", "test_predictions/minilm_lora")
    heavy = [machine.launch(each) for each in made if each.startswith(learned)]
    urgent = machine.launch("memes/veggie", priority=2)
    machine.start("daemon")
    until(lambda: all(each["status"] in {"SUCCESS", "FAILURE"} for each in times(machine).values()))
    seen = times(machine)
    ours = [seen[run] for run in (*plain, *heavy, urgent)]
    assert {run["status"] for run in ours} == {"SUCCESS"}
    assert most_at_once(ours) == 2
    assert len(heavy) > 1
    assert most_at_once([seen[run] for run in heavy]) == 1
    assert seen[urgent]["stats"]["launchTime"] == min(run["stats"]["launchTime"] for run in ours)


def times(machine: Machine) -> dict[str, dict[str, Any]]:
    """When each run was taken off the queue and ended, by id."""
    about = "runId status stats { ... on RunStatsSnapshot { launchTime endTime } }"
    found = machine.ask(f"{{ runsOrError {{ ... on Runs {{ results {{ {about} }} }} }} }}")
    return {run["runId"]: run for run in found["runsOrError"]["results"]}


def most_at_once(runs: list[dict[str, Any]]) -> int:
    """How many runs were off the queue together at most."""
    spans = [(run["stats"]["launchTime"], run["stats"]["endTime"]) for run in runs]
    return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)


def worker(machine: Machine) -> psutil.Process:
    """The process of the run that is under way."""
    found = []
    for each in machine.services["code"].main().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return max(found, key=psutil.Process.create_time)


def materialisations(machine: Machine) -> Counter[str]:
    query = "{ assetNodes { assetKey { path } assetMaterializations { runId } } }"
    found = machine.ask(query)["assetNodes"]
    return Counter({"/".join(each["assetKey"]["path"]): len(each["assetMaterializations"]) for each in found})


def test_a_backup_is_restored_on_empty_volumes(machine: Machine, folder: Path) -> None:
    backup = folder / "backup"
    for line in makes("backup", backup, machine):
        as_compose(line, machine)
    studies = machine.mounts("code")["/studies"]
    empty = Machine(folder / "other", M2V_STUDIES=str(studies), M2V_STUDY="/studies/asked.yaml")
    with empty:
        for line in makes("restore", backup, empty):
            as_compose(line, empty)
        empty.start("label-studio", "code", "webserver", "door")
        assert stale(empty) == stale(machine)
        assert materialisations(empty) == materialisations(machine)
        assert projects(empty) == projects(machine)


def projects(machine: Machine) -> list[tuple[str, int]]:
    """Label Studio's projects and how many items each holds."""
    token = (machine.secrets / "label_studio_token").read_text()
    said = httpx.get(f"{machine.label_studio}/api/projects/", headers={"Authorization": f"Token {token}"}, timeout=60)
    return sorted((each["title"], each["task_number"]) for each in said.json()["results"])


def makes(target: str, backup: Path, machine: Machine) -> list[str]:
    """The commands of a target of the Makefile."""
    given = [f"TO={backup}", f"M2V_SECRETS_DIR={machine.secrets}", "COMPOSE=compose"]
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", target, *given], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def as_compose(line: str, machine: Machine) -> None:
    """Run a line of the Makefile; what it leaves to docker compose is done by the machine."""
    said = re.fullmatch(r"compose (?:exec|run --rm) -T (?:--no-deps )?(\S+) (.*?)(?: ([<>]) (\S+))?( \|\| .*)?", line)
    if up := re.fullmatch(r"compose .*up .* (\S+)", line):
        machine.start(up[1])
    elif said:
        service, words, direction, path = said[1], said[2].split(), said[3], said[4]
        given = Path(path).read_bytes() if direction == "<" else None
        for folder in machine.mounts(service).values():
            folder.exists() or folder.mkdir(parents=True)
        done = machine.run(service, words, input=given)
        assert done.returncode in ({0, 1} if said[5] else {0}), done.stderr.decode()
        if direction == ">":
            Path(path).write_bytes(done.stdout)
    else:
        subprocess.run(["sh", "-c", line], check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
