"""What scores are worth, as the report says it."""

import polars as pl

from m2v.evaluation.report import render
from tests.m2v.evaluation import rows
from tests.m2v.evaluation.pages import Page, words


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


def test_of_which_seen_stands_beside_the_score_and_in_the_summary():
    told = Page(render(rows.report())).shown

    assert "of which seen 12; without, macro-F1 .610" in told
    assert "Of the 200 test videos 12 have near-duplicates in what it was trained on; without, its macro-F1 is" in told
    assert "Of 2 runs, 1 trained on near-duplicates of test videos." in told


def test_labels_that_are_probably_wrong_are_counted_by_training_set():
    told = Page(render(rows.report())).shown

    assert "rm_ft_leeks_garden radish 2,000 800 240 12.0 % 150 90" in " ".join(told.split())
