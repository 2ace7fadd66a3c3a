"""What breaks first as a corpus grows, tried with synthetic rows: the figures of docs/scale.md.

A hundred million votes through the table store (``scale_votes.py``, against Polars' own streaming sink), ten thousand
assets planned (``scale_plan.py``) and a million tasks in the rounds' ledger (``scale_ledger.py``); then what grows by
the item, the file and the version (``scale_rates.py``). Each part is a process of its own, whose highest resident size
counts.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import scale_ledger
import scale_plan
import scale_rates
import scale_votes

from figure import report, scratch_folder


def part(name: str, folder: Path) -> dict[str, Any]:
    """What a part measures of itself, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, name, str(folder)], check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{name}: {measured}\n")
    return measured


def say(title: str, figure: float, unit: str, most: float | None = None) -> None:
    target = "–" if most is None else f"≤ {most:,g}"
    report(f"scale: {title}", figure, unit=unit, target=target, holds=most is None or figure <= most)


def votes(folder: Path) -> None:
    measured = {way: part(f"votes {way}", folder) for way in scale_votes.WAYS}
    store, plain, alone = (measured[way] for way in ("store", "plain", "votes alone"))
    say("100 M votes, size of their frame", alone["frame_mib"], "MiB")
    say("100 M votes, voted and nothing written", alone["seconds"], "s")
    say("100 M votes, voted and written in parts", store["seconds"], "s")
    say("100 M votes, over a plain streaming sink and sha256", store["seconds"] / plain["seconds"], "×", 1.5)
    say("100 M votes, peak memory of the write", store["peak_mib"], "MiB", 1024)
    say("100 M votes, peak memory of the plain sink", plain["peak_mib"], "MiB")
    say("100 M votes, verified and counted by a scan", measured["scan"]["seconds"], "s", 30)
    say("100 M votes, peak memory of the scan", measured["scan"]["peak_mib"], "MiB", 1024)


def plan(folder: Path) -> None:
    measured = part("plan planned", folder)
    say(f"{measured['n_assets']:,} assets built", measured["building"], "s", 30)
    say(f"{measured['n_assets']:,} assets planned, cold", measured["cold"], "s", 5)
    say(f"{measured['n_assets']:,} assets planned, warm", measured["warm"], "s", 5)
    say(f"{measured['n_assets']:,} assets, a process readied for its first run", measured["readying"], "s")
    say(f"{measured['n_assets']:,} assets, peak memory", measured["peak_mib"], "MiB", 1024)
    log = part("plan logged", folder / "home")
    say("event-log rows per asset made", log["rows"], "rows")
    say("event-log bytes per asset made", log["bytes"] / 1000, "kB")


def ledger(folder: Path) -> None:
    measured = {step: part(f"ledger {step}", folder) for step in scale_ledger.STEPS}
    for step, title in scale_ledger.STEPS.items():
        say(f"1 M tasks, {title}", measured[step]["seconds"], "s", 60)
    place = next(folder.glob("rounds/*/*"))
    say("1 M tasks, bytes of an item", (place / "items.parquet").stat().st_size / scale_ledger.N_ITEMS, "bytes")
    n_answers = scale_ledger.N_ITEMS * scale_ledger.N_PEOPLE
    say("1 M tasks, bytes of an answer", (place / "annotations.parquet").stat().st_size / n_answers, "bytes")
    say("1 M tasks, highest peak memory of a step", max(step["peak_mib"] for step in measured.values()), "MiB", 4096)


def rates(folder: Path) -> None:
    measured = {what: part(f"rates {what}", folder / what) for what in scale_rates.WHATS}
    kept, asked, walked, known, written, decoded, voted = (measured[what] for what in scale_rates.WHATS)
    say("1 M kept answers of a model read", kept["seconds"], "s")
    say("1 M kept answers of a model, on disk", kept["bytes"] / 2**20, "MiB")
    say("1 M kept answers of a model, memory to read them", kept["grown_mib"], "MiB")
    per_item = 1e6 / scale_rates.N_ITEMS
    say("an item's request hashed", asked["seconds"] * per_item, "µs")
    say("an item's request held by the program that asks", asked["grown_mib"] * 2**20 / scale_rates.N_ITEMS, "bytes")
    say("a source file looked at", walked["seconds"] * 1e6 / scale_rates.N_FILES, "µs")
    say("a video's kept result looked up", known["seconds"] * 1e6 / scale_rates.N_TASKS, "µs")
    say("a version of a small table written", written["seconds"] * 1e3 / scale_rates.N_VERSIONS, "ms")
    say("final labels of 1 M memes made whole, memory", voted["grown_mib"], "MiB")
    say("a video of 144 s in 720p decoded", decoded["seconds"], "s")
    say("a version of a small table, on disk", written["bytes"] / scale_rates.N_VERSIONS, "bytes")


def measured(name: str, folder: Path) -> dict[str, Any]:
    kind, _, what = name.partition(" ")
    if kind == "votes":
        return scale_votes.measured(what, folder)
    if kind == "ledger":
        return scale_ledger.measured(what, folder)
    if kind == "rates":
        folder.mkdir()
        return scale_rates.measured(what, folder)
    return scale_plan.planned(folder) if what == "planned" else scale_plan.logged(folder)


def main() -> None:
    for case in (votes, plan, ledger, rates):
        with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
            case(Path(folder))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1], Path(sys.argv[2]))))
    else:
        main()
