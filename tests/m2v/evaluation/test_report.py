import re
from dataclasses import replace
from html.parser import HTMLParser

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


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text in and outside of ``details``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.details = 0
        self.summaries = 0
        self.shown = ""
        self.hidden = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.details += tag == "details"
        self.summaries += tag == "summary"
        self.handle_data(" ")

    def handle_endtag(self, tag):
        self.details -= tag == "details"
        self.summaries -= tag == "summary"

    def handle_data(self, data):
        if self.details and not self.summaries:
            self.hidden += data
        else:
            self.shown += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def section(self, name: str) -> bool:
        return ("section", {"id": name}) in self.elements


def empty(**parts) -> StudyReport:
    return StudyReport(study="vegetables", title="Vegetables", **{"results": rows.study(), **parts})


def words(page: Page) -> str:
    """All that stands in a page, shown or folded, with single spaces."""
    return " ".join((page.shown + page.hidden).split())


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


def test_differences_stand_with_their_own_interval_and_what_could_be_seen():
    html = render(rows.report())
    page = Page(html)
    text = words(page)

    assert "Macro-F1 differs by more than chance in 1 of 2 pairs." in text
    assert "A true difference below .140 to .180 would often go unseen here." in text
    assert "Macro-F1 differs by more than chance in 0 of 1 pair." in text
    assert "2,000 2,000 +.210 [.08, .34] .180" in text  # re-annotated against original, in the summary
    assert "2,000 2,000 not estimable" in text
    row = "Original memes (OM), roots radish Re-annotated memes (RM), roots radish +.210 [.08, .34] not estimable +.210"
    assert row in text
    assert "Re-annotated memes (RM), leeks beetroot-lora, mean of 3 seeds" in text
    assert ".000 [.00, .00] never differ 200" in text
    assert html.count("<strong>+.210</strong>") == 2


def test_calibration_is_said_before_and_after_scaling():
    html = render(rows.report())
    page = Page(html)
    text = words(page)

    assert "1 of 2 runs gives probabilities that are further from the shares they claim than chance explains." in text
    assert "in 1 (temperature) and 0 (isotonic)." in text
    assert "none .050 [.03, .07] .080 .200 [.18, .22] not fitted: validation has not both labels 0" in text
    assert "temperature .060 [.04, .08] .080 .200 [.18, .22] −.031 [−.051, −.011] 1.75 97" in text
    assert "<strong>−.031</strong>" in html
    assert "<strong>+.012</strong>" not in html
    assert 'aria-label="Reliability curve: .05 is .50 of 100, .65 is .50 of 100"' in html


def test_operating_points_say_what_is_promised_and_what_is_flagged():
    page = Page(render(rows.report()))
    text = words(page)

    assert "1 of 3 wishes can be promised with 97 validation videos (39 positive); 2 cannot." in text
    assert "at a prevalence of 2.0 %" in text
    share = ".800 [.70, .90]"
    assert f"precision at least 0.9 .910 not promised {share} {share} {share} 1,250 [1,000, 1,500]" in text
    assert "false-positive rate at most 0.05 none out of reach no threshold does it on validation" in text
    bands = "6,000 [5,500, 6,500] 3,000 [2,500, 3,500] 1,000 [500, 1,500] 20 of 60 40 of 120"
    assert f".200 never: too few negatives {bands}" in text


def test_operating_points_say_how_many_positives_there_are_and_what_precision_is_where_they_are_rarer():
    text = words(Page(render(rows.report())))

    assert "Precision at 2.0 % Precision at 50.0 %" in text
    assert "30.0 % .210 [.11, .32] 28.0 % .155 [.10, .90] nothing flagged" in text


def test_learning_curves_say_whether_more_data_may_help():
    text = words(Page(render(rows.report())))

    assert "Macro-F1 at 50.0 % Macro-F1 at 100.0 % The last step" in text
    rose = "from 60 to 120 examples macro-F1 rose by 0.100, above every draw before: more data may help"
    assert f".640 [.61, .67] .740 {rose}" in text
    none = rows.report(learning_curves=rows.learning_curves().clear())
    assert "This study asks for none" in words(Page(render(none)))


def test_the_worst_slice_is_one_sentence():
    page = Page(render(rows.report()))

    worst = "where radish seed 0 (Original memes (OM), leeks) calls 11 of 20 videos rightly and 18.2 would be expected"
    assert f"Worst slice: bed sunny, {worst} of their labels (p = .002, Holm-adjusted)" in page.shown
    assert "; so in 2 of 2 runs." in page.shown
    hidden = " ".join(page.hidden.split())
    assert "bed sunny 20 8 14 18.2 p = .002 .550 [.55, .55]" in hidden
    assert "bed shady 20 20 12 no others like it one label .600 [.40, .80] one label" in hidden
    assert "1 value with fewer than ten test videos is not scored." in hidden
    assert "tiny" not in hidden


def test_without_a_worse_slice_that_is_said():
    page = Page(render(rows.report(slices=rows.slices().with_columns(p_holm=pl.col("p_holm") * 500))))

    assert "Chance could do that; of 2 slices none does worse by more than chance." in page.shown


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


def test_of_which_seen_stands_beside_the_score_and_in_the_summary():
    told = Page(render(rows.report())).shown

    assert "of which seen 12; without, macro-F1 .610" in told
    assert "Of the 200 test videos 12 have near-duplicates in what it was trained on; without, its macro-F1 is" in told
    assert "Of 2 runs, 1 trained on near-duplicates of test videos." in told


def test_labels_that_are_probably_wrong_are_counted_by_training_set():
    told = Page(render(rows.report())).shown

    assert "rm_ft_leeks_garden radish 2,000 800 240 12.0 % 150 90" in " ".join(told.split())
