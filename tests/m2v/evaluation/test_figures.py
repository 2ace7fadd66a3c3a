import json
from dataclasses import replace

from m2v.evaluation.figures import document
from m2v.evaluation.report import StudyReport
from tests.m2v.evaluation import rows


def test_every_figure_is_there_and_no_item():
    report = rows.report()
    text = document(report)
    saved = json.loads(text)

    names = ("results", "comparisons", "differences", "slices", "calibration", "operating_points")
    for name in (*names, "seen", "label_suspects"):
        assert len(saved[name]) == getattr(report, name).height > 0
    assert saved["prevalence"] == 0.02
    found = next(finding for finding in saved["findings"] if finding["check"] == "texts_in_one_split")
    assert (found["n_ids"], found["figures"]["kappa"]) == (3, None)
    for example in report.examples:
        assert example.text not in text
        assert example.meme_id not in text
    assert "v31" not in text


def test_equal_rows_give_equal_bytes_whatever_their_order():
    report = rows.report()
    shuffled = replace(report, results=report.results.reverse(), findings=report.findings[::-1])

    assert document(report) == document(shuffled)


def test_a_study_without_runs_has_empty_sections():
    saved = json.loads(document(StudyReport(study="beds", title="Beds", results=rows.study().clear())))

    assert (saved["differences"], saved["slices"], saved["operating_points"]) == ([], [], [])
