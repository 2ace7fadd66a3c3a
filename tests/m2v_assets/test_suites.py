"""A suite through the graph: answers under each definition, results, the report, and nothing asked twice."""

import json
from pathlib import Path

import polars as pl
import pytest

from m2v_resources.store.versions import TableStore
from tests.m2v_assets.conftest import as_json, command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which `sample-suite` was run."""
    folder = tmp_path_factory.mktemp("suite")
    command(folder)("run", "--study", "sample-suite")
    return folder


def test_a_suite_is_answered_scored_and_reported(home: Path) -> None:
    store = TableStore(home / "tables")
    answers = store.read("suite_answers", "sample_suite_tiny_mllama_veggie_tasks_rot")
    assert answers.height == 80
    rows = store.read("suite_results", "sample_suite")
    assert rows.height == 25
    own = rows.filter(~pl.col("is_transfer"))
    assert own["task"].to_list() == own["definition"].to_list() == ["insult", "welcome", "rot", "freshness", "trade"]
    assert own["n_positive"].to_list() == [40] * 5
    # Random weights know nothing.
    assert (own["low"] <= own["chance"]).sum() >= 2

    said = as_json(command(home)("report", "--study", "sample-suite", "--json"))
    saved = json.loads(Path(said["json"]).read_text(encoding="utf-8"))
    assert len(saved["suite_results"]) == 25
    assert [
        sentence for sentence in saved["summary"] if sentence.startswith("Suite sample-suite: tiny-mllama is above")
    ]
    checks = {finding["check"] for finding in saved["findings"]}
    assert {"definitions_heeded", "suite_answered"} <= checks
    page = Path(said["report"]).read_text(encoding="utf-8")
    assert '<section id="suites">' in page


def test_an_equal_study_is_up_to_date_and_asks_nothing(home: Path) -> None:
    done = as_json(command(home)("run", "--study", "sample-suite", "--json"))
    assert (done["materialised"], done["failed"]) == (0, 0)


def test_the_trail_of_a_meme_leads_to_its_answers(home: Path) -> None:
    story = as_json(command(home)("audit", "meme", "veggie-tasks/001", "--json"))
    shown = command(home)("audit", "meme", "veggie-tasks/001").stdout
    assert "suite_answers" in json.dumps(story)
    assert shown.count("suite_answers/sample_suite_tiny_mllama_veggie_tasks_") == 5
