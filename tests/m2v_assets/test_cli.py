import csv
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from m2v.errors import StoreError
from m2v_assets import materialise
from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import Run, as_json


def test_help_lists_the_commands_with_examples(m2v: Run) -> None:
    shown = m2v("--help").stdout
    commands = re.findall(r"^│ ([a-z]+) ", shown, re.MULTILINE)
    assert commands[:5] == ["run", "status", "report", "ui", "datasets"], "what somebody new needs comes first"
    assert commands[-1] == "host"
    assert "╭─ Commands" not in shown, "every command stands in a panel of its own kind"
    assert "m2v run --study sample" in m2v("run", "--help").stdout


def test_columns_are_chosen_by_name(sample: Run) -> None:
    shown = as_json(sample("tables", "show", "results/sample_recorded", "--columns", "run, macro_f1", "--json"))
    assert all(list(row) == ["run", "macro_f1"] for row in shown["rows"])
    assert "Did you mean macro_f1" in sample(
        "tables", "show", "results/sample_recorded", "--columns", "macrof1", code=1
    ).stderr.replace("\n", " ")
    refused = sample("tables", "show", "memes/veggie", "--columns", "meme_id,text", code=1).stderr
    assert "see it with --text" in refused.replace("\n", " ")


def test_tables_are_listed_shown_and_exported(sample: Run, tmp_path: Path) -> None:
    listed = as_json(sample("tables", "list", "--json"))
    assert {"memes/veggie@1", "voted_labels/veggie_garden@1", "results/sample_recorded@1"} <= {
        each["name"] for each in listed
    }
    assert "voted_labels/veggie_garden@1" in sample("tables", "list").stdout
    shown = as_json(sample("tables", "show", "memes/veggie", "--rows", "2", "--json"))
    assert shown["n_rows"] == 240
    assert [set(row) for row in shown["rows"]] == [{"meme_id", "split", "label", "image", "text_sha256"}] * 2
    with_text = as_json(sample("tables", "show", "memes/veggie@1", "--rows", "2", "--text", "--json"))
    assert all(row["text"] for row in with_text["rows"])
    for ending, read in ((".csv", pl.read_csv), (".parquet", pl.read_parquet)):
        target = tmp_path / f"votes{ending}"
        sample("tables", "export", "voted_labels/veggie_garden", "-o", str(target))
        assert read(target).height == 240


def test_lists_survive_an_export_to_csv(sample: Run, tmp_path: Path) -> None:
    sample("tables", "export", "features/minilm_garden", "-o", str(tmp_path / "features.csv"))
    with (tmp_path / "features.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert len(json.loads(first["vector"])) == 384


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--study", "sampel"], "No study is called 'sampel'. Did you mean sample"),
        (["run", "--study", "sample-recorded", "--select", "voted_lables"], "Did you mean voted_labels"),
        (["tables", "show", "voted_labels/veggie"], "No stored table is called"),
        (["tables", "show", "voted_labels"], "Write table/variant"),
        (["tables", "show", "voted_labels/veggie_garden@9"], "No version of voted_labels/veggie_garden is called '9'"),
        (["tables", "diff", "voted_labels/veggie_garden@1", "memes/veggie@1"], "compare versions of one table"),
        (["tables", "export", "memes/veggie", "-o", "memes.xlsx"], "end it in .csv or .parquet"),
        (["tables", "export", "memes/veggie", "-o", "/proc/none/memes.csv"], "cannot be written"),
        (["report", "--study", "published"], "There is no report of published yet"),
        (["study", "copy", "sample-recorded", "."], "is not empty"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_1(sample: Run, arguments: list[str], message: str) -> None:
    done = sample(*arguments, code=1)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_exit_code_2(m2v: Run) -> None:
    assert "No such option" in m2v("run", "--colour", code=2).stderr


def test_two_runs_at_once_are_refused_and_status_still_works(sample: Run, home: Path) -> None:
    with (home / "run.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("4711")
        lock.flush()
        done = sample("run", "--study", "sample-recorded", code=1)
        assert "Process 4711 is already running `m2v run`" in " ".join(done.stderr.split())
        assert "up to date" in sample("status", "--study", "sample-recorded").stdout
    assert "up to date" in sample("run", "--study", "sample-recorded").stdout


def test_without_tables_and_network_the_places_are_listed(m2v: Run, tmp_path: Path) -> None:
    study = alone(tmp_path, m2v)
    done = m2v("run", "--study", study, code=1)
    said = " ".join(done.stderr.split())
    assert str(tmp_path / "mine" / "nowhere") in said
    assert "MY_VEGGIES_DIR" in said
    status = m2v("status", "--study", study)
    assert "MY_VEGGIES_DIR" in status.stderr
    assert "not made yet" in status.stdout


def test_a_fallback_is_said_plainly(m2v: Run, tmp_path: Path) -> None:
    arguments = ("--fallback", "sample", "--select", "memes/veggie", "--json")
    done = m2v("run", "--study", alone(tmp_path, m2v), *arguments)
    assert "Running the study 'sample' instead of" in " ".join(done.stderr.split())
    assert as_json(done)["assets"] == ["memes/veggie"]


def alone(tmp_path: Path, m2v: Run) -> str:
    """A copy of the sample whose source looks where there is nothing."""
    study = as_json(m2v("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    source = tmp_path / "mine" / "sources" / "sample.yaml"
    text = source.read_text(encoding="utf-8").replace("- tables/sample", "- nowhere\nenvironment: MY_VEGGIES_DIR")
    source.write_text(text, encoding="utf-8")
    return study


def test_a_source_in_the_environment_is_used_and_its_checksums_hold(m2v: Run, tmp_path: Path) -> None:
    mine = as_json(m2v("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    tables = tmp_path / "mine" / "tables" / "sample"
    source = tmp_path / "mine" / "sources" / "sample.yaml"
    pinned = source.read_text(encoding="utf-8").replace(
        "  garden.csv: {}", f"  garden.csv: {{sha256: '{'0' * 64}'}}", 1
    )
    source.write_text(f"{pinned}environment: MY_VEGGIES_DIR\n", encoding="utf-8")
    done = m2v("run", "--study", mine, code=1, MY_VEGGIES_DIR=str(tables))
    said = " ".join(done.stderr.split())
    assert "garden.csv: sha256 is" in said
    assert "m2v study copy" in said


def test_a_bad_file_leaves_the_last_good_version_and_says_where(sample: Run, home: Path, tmp_path: Path) -> None:
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    path = tmp_path / "mine" / "tables" / "sample" / "garden.csv"
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace(",train,1\n", ",train,2\n", 1), encoding="utf-8")
    done = sample("run", "--study", study, "--json", code=1)
    outcome = as_json(done)
    assert (outcome["failed"], outcome["materialised"]) == (1, 0)
    assert "garden.csv, row" in outcome["errors"]["videos/garden"]
    assert "column 'label': '2' is not one of '0', '1'" in outcome["errors"]["videos/garden"]
    assert TableStore(home / "tables").numbers("videos", "garden") == [1]
    assert "column 'label'" in " ".join(sample("run", "--study", study, code=1).stderr.split())
    path.write_text(good, encoding="utf-8")
    assert as_json(sample("run", "--study", study, "--json"))["failed"] == 0


def test_a_dataset_may_be_a_release_with_a_dot(m2v: Run, home: Path, tmp_path: Path) -> None:
    study = as_json(m2v("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    for path, line in ((tmp_path / "mine" / "memes" / "veggie.yaml", "name: veggie\n"), (Path(study), "- veggie\n")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(line, line.replace("veggie", "veggie-2.0")), encoding="utf-8")
    (tmp_path / "mine" / "memes" / "veggie.yaml").rename(tmp_path / "mine" / "memes" / "veggie-2.0.yaml")
    made = as_json(m2v("run", "--study", study, "--select", "voted_labels", "--json"))
    assert "memes/veggie_2_0" in made["assets"]
    meme = TableStore(home / "tables").read("memes", "veggie_2_0")["meme_id"][0]
    assert as_json(m2v("audit", "meme", f"veggie-2.0/{meme}", "--json"))["rows"]
    assert as_json(m2v("audit", "impact", "meme", f"veggie-2.0/{meme}", "--json"))
    m2v("forget", "meme", f"veggie-2.0/{meme}", "--why", "a request", "--json")
    assert TableStore(home / "tables").read("forgotten", "veggie_2_0")["meme_id"].to_list() == [meme]
    again = as_json(m2v("run", "--study", study, "--select", "memes", "--json"))
    assert again["failed"] == 0
    assert meme not in TableStore(home / "tables").read("memes", "veggie_2_0")["meme_id"]


def test_all_that_rests_on_no_failure_is_made_and_the_rest_is_said(sample: Run, tmp_path: Path) -> None:
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    tables = tmp_path / "mine" / "tables" / "sample"
    answers = (tables / "veggie_answers.csv").read_text(encoding="utf-8")
    (tables / "veggie_answers.csv").write_text("meme_id,annotator\n", encoding="utf-8")
    videos = (tables / "garden.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tables / "garden.csv").write_text("".join(videos[:-1]), encoding="utf-8")
    done = sample("run", "--study", study, "--json", code=1)
    outcome = as_json(done)
    assert list(outcome["errors"]) == ["human_labels/veggie_garden"]
    assert outcome["waves"] > 1, "waves go on after the one in which an asset failed"
    made = set(outcome["assets"])
    assert {"videos/garden", "metrics/minilm_probe_vid_ft_garden_s0"} <= made
    assert outcome["skipped"]["metrics/minilm_probe_rm_ft_veggie_garden_s0"] == ["human_labels/veggie_garden"]
    assert not made & outcome["skipped"].keys()
    assert outcome["report_is_current"] is False
    # For people: what is left, on what it waits, and a report that is not offered as if it were of today.
    again = sample("run", "--study", study, code=1)
    assert f"{len(outcome['skipped'])} more assets rest on what failed; they are as they were before" in again.stderr
    assert "on human_labels/veggie_garden: voted_labels/veggie_garden" in again.stderr
    assert "The report of sample-recorded is not current: it rests on human_labels/veggie_garden" in again.stderr
    assert "Report:" not in again.stdout
    told = sample("report", "--study", study, "--json")
    assert as_json(told)["is_current"] is False
    assert "is not current" in told.stderr
    # Once it is mended, the rest follows.
    (tables / "veggie_answers.csv").write_text(answers, encoding="utf-8")
    assert as_json(sample("run", "--study", study, "--json"))["report_is_current"] is True
    assert as_json(sample("report", "--study", study, "--json"))["is_current"] is True


def test_a_second_study_that_calls_another_dataset_the_same_is_stopped(sample: Run, home: Path, tmp_path: Path) -> None:
    study = as_json(sample("study", "copy", "sample-recorded", str(tmp_path / "mine"), "--json"))["study"]
    path = tmp_path / "mine" / "tables" / "sample" / "garden.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(header + "".join(f"bed-{row}" for row in rows), encoding="utf-8")
    done = as_json(sample("run", "--study", study, "--select", "videos", "--json", code=1))
    assert "videos/garden in this home holds another dataset" in done["errors"]["videos/garden"]
    assert TableStore(home / "tables").numbers("videos", "garden") == [1]
    # In a home of its own, the way out that the message names, it is the first.
    done = as_json(sample("run", "--study", study, "--select", "videos", "--json", M2V_HOME=str(tmp_path / "own")))
    assert done["assets"] == ["videos/garden"]


def test_a_damaged_table_is_named_and_made_anew_by_force(sample: Run, home: Path) -> None:
    store = TableStore(home / "tables")
    path = store.path(store.version("memes", "veggie"))
    path.write_bytes(path.read_bytes()[:-4])
    assert "is missing or damaged" in " ".join(sample("tables", "show", "memes/veggie", code=1).stderr.split())
    sample("run", "--study", "sample-recorded", "--force", "--select", "memes/veggie")
    assert store.read("memes", "veggie").height == 240
    assert store.numbers("memes", "veggie") == [1]


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o ro none "$1" && exec "$2" run --study sample'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", *command[4:]]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("M2V_", "DAGSTER_"))}
    done = subprocess.run(
        [*command, str(tmp_path), Path(sys.executable).with_name("m2v")],
        env={**clean, "M2V_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stderr.split())
    assert "Read-only file system" in said
    assert "M2V_HOME" in said
    assert "Traceback" not in said


def test_the_report_is_found_and_holds_no_text_outside_its_details(sample: Run, home: Path) -> None:
    path = Path(as_json(sample("report", "--study", "sample-recorded", "--json"))["report"])
    assert path.is_relative_to(home)
    page = path.read_text(encoding="utf-8")
    assert "The sample, with predictions that were recorded" in page
    assert "<script" not in page


def test_an_error_of_ours_is_told_whatever_caused_it_and_whatever_wraps_it() -> None:
    try:
        try:
            try:
                raise OSError("28")
            except OSError as error:
                raise StoreError("No room for leeks: free some.") from error
        except StoreError as error:
            raise RuntimeError("Dagster's own") from error
    except RuntimeError:
        told = serializable_error_info_from_exc_info(sys.exc_info())
    assert materialise.message(told, run_id="f00d") == "No room for leeks: free some."
    assert materialise.message(told.cause.cause, run_id="f00d").startswith("OSError: 28 (unexpected; ")


def test_help_imports_no_heavy_library() -> None:
    script = (
        "import sys\nfrom m2v_cli.cli import main\nsys.argv = ['m2v', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'dagster', 'polars', 'pydantic', 'torch', 'yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
