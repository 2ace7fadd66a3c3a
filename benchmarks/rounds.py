"""3,000 conflicts opened and 9,000 answers pulled from a real Label Studio on this machine.

The alternative is the SDK's plain way: one ``import_tasks`` with everything, and iterating over ``tasks.list``. It
looks up nothing first, counts nothing afterwards and judges nothing, so at opening it is the faster one; the ratio says
what that care costs. Both in one run, one after the other, against the same server.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import polars as pl
from label_studio_sdk.client import LabelStudio

from figure import report, scratch_folder
from m2v.entries.study import RoundPlan
from m2v_resources.annotators import label_studio_server as local
from m2v_resources.annotators.address import address
from m2v_resources.annotators.label_studio import AnnotationServer
from m2v_resources.annotators.rounds import RoundQuestion, Rounds

N_ITEMS, N_PEOPLE, PORT = 3000, 3, 18080
PLAN = RoundPlan(n_annotators=N_PEOPLE, accept_imports=True)


def question(n_items: int) -> RoundQuestion:
    ids = [f"{number:05}" for number in range(n_items)]
    memes = pl.DataFrame({"meme_id": ids, "text": [f"a text of the usual length, about leek number {i}" for i in ids]})
    memes = memes.with_columns(image=pl.lit(None, pl.String), text_sha256=pl.col("text").hash().cast(pl.String))
    conflicts = pl.DataFrame({"meme_id": ids}).with_columns(
        original=True, predicted=False, reason=pl.lit("disagreement")
    )
    return RoundQuestion(
        conflicts, memes, pl.DataFrame(schema={"meme_id": pl.String, "label": pl.Boolean}), "a guideline"
    )


def seconds(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def answered(home: Path, name: str, n_items: int) -> Rounds:
    """A round whose tasks all hold answers: the opened tasks are replaced by the same ones with annotations inside."""
    live = Rounds(home, name, AnnotationServer(address(home)))
    (opened,) = live.open(PLAN, question(n_items))
    (project,) = live.server.projects(opened.uid)
    http = httpx.Client(
        base_url=address(home).url, headers={"Authorization": f"Token {address(home).token}"}, timeout=300
    )
    path = f"/api/dm/actions?id=delete_tasks&project={project.project_id}"
    http.post(path, json={"selectedItems": {"all": True, "excluded": []}}).raise_for_status()
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["positive"]}}]
    annotations = [{"result": result, "completed_by": person, "lead_time": 5} for person in people(http)]
    keys = live.ledger.items(opened)["item_key"]
    data = [{"data": {"item_key": key, "text": "t", "definition": "d"}, "annotations": annotations} for key in keys]
    for start in range(0, len(data), 500):
        http.post(f"/api/projects/{project.project_id}/import", json=data[start : start + 500]).raise_for_status()
    return live


def people(http: httpx.Client) -> list[int]:
    known = [user["id"] for user in http.get("/api/users/").json()]
    for number in range(N_PEOPLE - len(known)):
        made = {"email": f"{number}@garden.example", "username": f"p{number}", "first_name": "", "last_name": ""}
        known.append(http.post("/api/users/", json=made).raise_for_status().json()["id"])
    return known[:N_PEOPLE]


def one_more(home: Path, project_id: int) -> None:
    """An answer some time after the others, as people give them: what came within ten seconds is looked at again."""
    time.sleep(11)
    server = address(home)
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Token {server.token}"}, timeout=60) as http:
        task = http.get("/api/tasks", params={"project": project_id, "page_size": 1}).json()["tasks"][0]["id"]
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["negative"]}}]
        http.post(f"/api/tasks/{task}/annotations/", json={"result": result, "lead_time": 5}).raise_for_status()


def plain_pull(home: Path, project_id: int) -> int:
    sdk = LabelStudio(base_url=address(home).url, api_key=address(home).token, timeout=300)
    rows = [
        annotation for task in sdk.tasks.list(project=project_id, fields="all") for annotation in task.annotations or ()
    ]
    return len(rows)


def memory(home: Path, name: str, way: str) -> float:
    """Peak memory of a process that pulls, in MiB."""
    command = [sys.executable, __file__, "--pull", str(home), name, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["mib"]


def pull_in_process(home: Path, name: str, way: str) -> None:
    live = Rounds(home, name, AnnotationServer(address(home)))
    if way == "ours":
        live.pull(full=True)
    else:
        (opened,) = live.ledger.rounds()
        plain_pull(home, live.server.projects(opened.uid)[0].project_id)
    # Not ru_maxrss, which a process inherits from the one that started it.
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(json.dumps({"mib": int(peak.split()[1]) / 1024}))


def opening(home: Path) -> None:
    sdk = LabelStudio(base_url=address(home).url, api_key=address(home).token, timeout=300)
    live = Rounds(home, "opening", AnnotationServer(address(home)))
    ours = seconds(lambda: live.open(PLAN, question(N_ITEMS)))
    (opened,) = live.ledger.rounds()
    data = [{"data": item} for item in live._data(opened, question(N_ITEMS))]

    def plainly() -> None:
        project = sdk.projects.create(title="plain", label_config=opened.config)
        sdk.projects.import_tasks(project.id, request=data)  # pyright: ignore[reportArgumentType]

    plain = seconds(plainly)
    report("rounds: 3,000 conflicts opened", ours, unit="s", target="≤ 10", holds=ours <= 10)
    report(
        "rounds: 3,000 conflicts opened, over one import and no look", ours / plain, unit="×", target="≤ 4",
        holds=ours / plain <= 4,
    )  # fmt: skip


def pulling(home: Path) -> None:
    live = answered(home, "pulling", N_ITEMS)
    (opened,) = live.ledger.rounds()
    project_id = live.server.projects(opened.uid)[0].project_id
    ours = seconds(live.pull)
    n_answers = live.ledger.judged(opened).answers.height
    assert n_answers == N_ITEMS * N_PEOPLE, n_answers
    plain = seconds(lambda: plain_pull(home, project_id))
    one_more(home, project_id)
    assert live.pull() == 1
    nothing = seconds(live.pull)
    sys.stderr.write(f"pull {ours:.1f} s, plainly {plain:.1f} s, nothing new {nothing:.2f} s\n")
    report("rounds: 9,000 answers pulled", ours, unit="s", target="≤ 15", holds=ours <= 15)
    report(
        "rounds: 9,000 answers pulled, over tasks.list",
        ours / plain,
        unit="×",
        target="≤ 1.2",
        holds=ours <= 1.2 * plain,
    )
    report("rounds: a pull with nothing new", nothing, unit="s", target="≤ 1", holds=nothing <= 1)
    report(
        "rounds: a pull with nothing new, over tasks.list", nothing / plain, unit="×", target="≤ 0.1",
        holds=nothing <= plain / 10,
    )  # fmt: skip
    answered(home, "few", N_ITEMS // 3)
    grown = {way: memory(home, "pulling", way) - memory(home, "few", way) for way in ("ours", "plain")}
    sys.stderr.write(f"three times the answers take {grown['ours']:.0f} MiB more, plainly {grown['plain']:.0f} MiB\n")
    report(
        "rounds: memory that 9,000 answers take over 3,000", grown["ours"], unit="MiB", target="≤ 16",
        holds=grown["ours"] <= 16,
    )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        home = Path(folder)
        process = local.start(home, port=PORT, exposure=local.Exposure())
        try:
            opening(home)
            pulling(home)
        finally:
            local.stop(process)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pull"]:
        pull_in_process(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main()
