import re
from dataclasses import replace

import polars as pl
import pytest

from m2v import catalog, schemas
from m2v.datasets.details import Annotated
from m2v.entries.datasets import LabelDefinition
from m2v.entries.prompts import Prompt
from m2v.evaluation.forest import paper_results
from m2v.evaluation.report import Example, ShownVersion, StudyReport, render
from m2v.lineage.findings import Finding, LabelFlow
from m2v.prediction.prompts import question
from tests.m2v.evaluation import rows
from tests.m2v.evaluation.pages import Page, words

SECTIONS = [
    "summary",
    "scores",
    "comparisons",
    "differences",
    "calibration",
    "operating_points",
    "slices",
    "training_data",
    "robustness",
    "functions",
    "asked",
    "labels",
    "findings",
    "rejects",
    "versions",
    "reading",
]


def empty(**parts) -> StudyReport:
    return StudyReport(study="vegetables", title="Vegetables", **{"results": rows.study(), **parts})


def test_every_section_stands_in_the_report_in_order():
    page = Page(render(rows.report()))

    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == SECTIONS
    assert [link["href"] for tag, link in page.elements if tag == "a"] == [f"#{name}" for name in SECTIONS]


def test_what_the_model_was_asked_stands_in_the_report():
    label = LabelDefinition(
        positive="mushy", negative="firm", positive_definition="It gives way.", negative_definition="It does not."
    )
    prompt = Prompt(name="short", title="Short", instruction="{text}: {positive}? {positive_definition}")
    bare = Prompt(name="bare", title="Bare", instruction="{text}: {positive}?")
    tiny, real = catalog.load().models["tiny-mllama"], catalog.load().models["qwen3-vl-8b"]
    questions = (
        question(tiny, prompt, label, items="pods under rows", demonstrations="no demonstrations"),
        question(real, bare, label, items="leeks under rows", demonstrations="4 demonstrations"),
    )
    told = Page(render(empty(questions=questions))).shown
    text = " ".join(told.split())

    assert "tiny-mllama was asked about pods under rows, with no demonstrations, by the prompt short:" in text
    assert "[text]: mushy? It gives way." in text
    assert text.count("knows nothing: its weights are random") == 1
    assert "by the prompt bare, which does not say what the label means:" in text
    recorded = " ".join(Page(render(empty(recorded={"pods_rows": "simulated"}))).shown.split())
    assert "The labels of pods_rows were recorded elsewhere, by simulated; what was asked there" in recorded


def test_the_figures_stand_in_the_report():
    page = Page(render(rows.report()))
    text = words(page)

    assert "Which vegetables insult each other" in text
    assert "Study vegetables · data as of 2026-11-28" in text
    assert "The policy of garden. “rude”: It insults. “polite”: It does not." in text
    assert "Preliminary: 17 of 1,617 conflicts of roots_market have too few answers for a vote." in text
    assert "take radish_vid_rm_ft_leeks_garden_s0 (Videos + RM)" in text
    assert "4 of 4 pairs of runs scored a higher macro-F1 (+.080 to +.210)." in text
    assert "1 for the re-annotated labels; the rest may be chance." in text
    assert "The beetroot-lora runs of om_ft were not asked for." in text
    assert ".720 [.66, .78]" in text
    assert "200 of 200" in text
    assert "Original memes (OM) Re-annotated memes (RM) leeks radish seed 0 17 26 200 p = .222 p = .666" in text
    assert "leeks_garden 3,000 1,136 1,136 828 0 32.6 % 20.0 % .094 72.9 %" in text
    assert "roots_market 3,000 1,617 1,600 1,196 17 50.4 % 32.0 % −.073 not estimable" in text
    assert "3 distinct texts stand in more than one split." in text
    assert "n texts 3 · share .013 · kappa not estimable" in text
    assert "v12, v31, v77" in text
    assert "garden text in other split 6" in text
    assert f"videos garden 2 {'ab' * 8}" in text
    assert "roots_market root-9 negative positive undecided" in text


def test_what_was_found_comes_before_what_is_fine():
    html = render(rows.report())

    assert html.index("3 distinct texts stand") < html.index("No demonstration is trained on.")


def test_only_significant_comparisons_are_bold():
    html = render(rows.report())
    section = html[html.index('<section id="comparisons">') : html.index('<section id="differences">')]
    in_rows = section[section.index("<table>") :]

    assert re.findall(r"<strong>(.*?)</strong>", in_rows) == ["p &lt; .001", "p = .001"]


def test_texts_of_items_are_out_of_sight():
    page = Page(render(rows.report()))
    for example in rows.report().examples:
        assert example.text in page.hidden
        assert example.text not in page.shown
    texts = [attributes for tag, attributes in page.elements if tag == "details" and "open" not in attributes]
    # Two examples, one finding's ids, the versions, a panel's curves and shares, two runs' slices, a run's functions.
    assert len(texts) == 2 + 1 + 1 + 2 + 2 + 1
    assert "They may contain slurs" in page.shown


def test_texts_of_items_stay_closed_beside_open_lists():
    html = render(rows.report())
    labels = html[html.index('<section id="labels">') : html.index('<section id="findings">')]

    assert labels.count("<details>") == 2
    assert "<details open" not in labels


HOSTILE = "</details></style></svg>\"'><script>alert('leek')</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def hostile() -> StudyReport:
    results = rows.study().with_columns(
        pl.col("memes", "target", "model").map_elements(lambda name: name + HOSTILE, return_dtype=pl.String)
    )
    return StudyReport(
        study=HOSTILE,
        title=HOSTILE,
        results=results,
        comparisons=rows.comparisons().with_columns(target=pl.lit(HOSTILE)),
        findings=(Finding(HOSTILE, HOSTILE, HOSTILE, False, HOSTILE, (HOSTILE,), {HOSTILE: 1}),),
        label_flows=(LabelFlow(HOSTILE, 1, 1, 1, 1, 1, None, None, None, None),),
        examples=(Example(HOSTILE, HOSTILE, True, False, None, HOSTILE),),
        rejects=pl.DataFrame({"dataset": [HOSTILE], "reason": [HOSTILE], "n_items": [1]}),
        versions=(ShownVersion(HOSTILE, HOSTILE, 1, HOSTILE),),
        notes=(HOSTILE,),
    )


def test_hostile_names_and_texts_stay_text():
    html = render(hostile())
    page = Page(html)

    harmless = Page(render(rows.report())).tags
    assert page.tags <= harmless
    assert not page.tags & {"script", "img", "iframe", "object", "link"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "alert('leek')" in page.hidden
    assert "{{ 7 * 7 }}" in page.shown
    assert html.count("<details") == html.count("</details>")


@pytest.mark.parametrize("report", [rows.report(), hostile()], ids=["harmless", "hostile"])
def test_nothing_is_loaded_from_anywhere(report):
    html = render(report)

    links = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
    for tag, attributes in Page(html).elements:
        for name in links & set(attributes):
            assert (attributes[name] or "").startswith("#"), (tag, name)
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_equal_inputs_give_equal_bytes_whatever_their_order():
    report = rows.report()
    shuffled = replace(
        report,
        results=report.results.reverse(),
        comparisons=report.comparisons.reverse(),
        differences=report.differences.reverse(),
        calibration=report.calibration.reverse(),
        operating_points=report.operating_points.reverse(),
        review_bands=report.review_bands.reverse(),
        slices=report.slices.reverse(),
        reliability=report.reliability.reverse(),
        findings=report.findings[::-1],
        versions=report.versions[::-1],
    )

    assert render(report) == render(rows.report())
    assert render(report) == render(shuffled)


def test_a_study_with_one_target_and_nothing_else():
    results = rows.results(rows.majority("garden", 0.38), rows.result("no_ft", None, 0.5))

    page = Page(render(empty(results=results)))

    assert all(page.section(name) for name in SECTIONS)
    for sentence in (
        "No two runs of this study differ in their labels alone, so it says nothing about re-annotation.",
        "This study has no two strategies to compare.",
        "This study has no two candidates that differ in one thing.",
        "This study has no runs, so there is nothing to calibrate.",
        "This study has no runs, so there is no threshold to choose.",
        "This study has no runs to slice.",
        "This study re-annotates nothing.",
        "No checks were run.",
        "Nothing was left out.",
        "No versions were named.",
    ):
        assert sentence in page.shown
    assert "Hollow marks" not in page.shown


def test_a_study_without_runs():
    page = Page(render(empty(results=schemas.RESULTS.empty())))

    assert "This study has no runs." in page.shown
    assert "svg" not in page.tags


def test_hollow_marks_are_explained_where_there_are_some():
    (digest,) = paper_results().filter(target="hatemm")["split_digest"].drop_nulls().unique()
    run = rows.result("rm_ft", "fhm", 0.7, target="hatemm", split_digest=digest)
    page = Page(render(empty(results=rows.results(run))))

    assert "Hollow marks are the values that the M2V paper published" in page.shown
    assert "are of other splits" not in page.shown


def test_published_values_of_another_split_are_said_to_be():
    results = rows.results(rows.result("rm_ft", "fhm", 0.7, target="hatemm", split="more", split_digest="ef" * 32))
    page = Page(render(empty(results=results)))

    assert "Hollow marks" not in page.shown
    assert "of other splits than these, and so not shown beside them: hatemm, more" in page.shown
    assert "ef" * 6 in page.shown


def test_folds_have_their_mean_and_ends():
    runs = [
        rows.result("vid_ft", None, score, run=f"fold {fold}", split="five", fold=fold, split_digest=f"{fold}" * 64)
        for fold, score in ((1, 0.60), (2, 0.70), (3, 0.68))
    ]
    page = Page(render(empty(results=rows.results(*runs))))
    shown = " ".join(page.shown.split())

    assert "garden, five" in shown
    assert ".660 [.60, .70]" in shown
    assert "fold 3" in page.hidden


def test_what_authors_say_of_items_is_counted():
    facet = {"facet": "target", "value": "<b>leeks</b>", "n_items": 1200, "n_positive": 7}
    page = Page(render(empty(annotated=(Annotated("garden", ("12 facets of 4 of 5 items.",), (facet,)),))))

    assert "12 facets of 4 of 5 items." in page.shown
    assert "<b>leeks</b>" in page.hidden
    assert "1,200" in page.hidden


def test_label_effects_that_were_not_tested_are_said_to_be():
    page = Page(render(empty()))

    assert "not tested" in page.shown
    assert "Whether the differences are more than chance was not tested." in page.shown


def test_a_score_that_cannot_be_estimated_is_said_to_be():
    results = rows.results(rows.result("rm_ft", "leeks", 0.7, auroc=None))

    assert "not estimable" in Page(render(empty(results=results))).shown


def test_the_plots_colours_follow_the_readers_scheme():
    html = render(rows.report())
    plot = html[html.index("<svg") : html.index("</svg>")]

    assert "var(--ink)" in plot
    assert not re.search(r": #(1f2328|59636e|d8dee4|0072b2|d55e00)", plot)
    assert "prefers-color-scheme: dark" in html
