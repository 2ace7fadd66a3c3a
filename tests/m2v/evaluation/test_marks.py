import polars as pl
import pytest

from m2v import schemas
from m2v.evaluation.forest import paper_results
from m2v.evaluation.marks import MARKS, marks, otherwise_divided
from tests.m2v.evaluation import rows


def frame(*expected: tuple) -> pl.DataFrame:
    return pl.DataFrame(list(expected), schema=MARKS, orient="row")


def test_every_run_and_every_published_value_is_one_mark():
    results = rows.results(
        rows.majority("garden", 0.38),
        rows.result("vid_ft", None, 0.75, paper_mode=True),
        rows.result("rm_ft", "leeks", 0.71, seed=1),
        rows.result("rm_ft", "leeks", 0.70),
        rows.result("om_ft", "roots", 0.51),
    )

    # Of the paper's seven rows, one is of another target, one of no strategy, and one stands in two tables.
    assert marks(results, paper=rows.paper()).equals(
        frame(
            ("garden", "no_ft", None, "Turnip-11B", True, None, None, 0.69, None, None),
            ("garden", "om_ft", "roots", "radish", False, 0, None, 0.51, 0.45, 0.57),
            ("garden", "rm_ft", "leeks", "radish", False, 0, None, 0.70, 0.64, 0.76),
            ("garden", "rm_ft", "leeks", "radish", False, 1, None, 0.71, 0.65, 0.77),
            ("garden", "rm_ft", "leeks", "Swede-7B", True, None, None, 0.76, None, None),
            ("garden", "rm_ft", "leeks", "Turnip-11B", True, None, None, 0.79, None, None),
            ("garden", "vid_ft", None, "radish (paper mode)", False, 0, None, 0.75, 0.69, 0.81),
            ("garden", "vid_ft", None, "Turnip-11B", True, None, None, 0.78, None, None),
        )
    )


def test_a_score_may_be_chosen():
    results = rows.results(rows.result("om_ft", "leeks", 0.51, accuracy=0.66))

    (ours, *_) = marks(results, paper=rows.paper(), score="accuracy").filter(~pl.col("is_published"))["value"]

    assert ours == 0.66


def test_the_paper_published_no_auroc_and_a_run_may_have_none():
    results = rows.results(rows.result("om_ft", "leeks", 0.51, auroc=None), rows.result("rm_ft", "leeks", 0.6))

    shown = marks(results, paper=rows.paper(), score="auroc")

    assert shown.select("strategy", "value").rows() == [("rm_ft", 0.7)]


def test_no_results_no_marks():
    assert marks(schemas.RESULTS.empty(), paper=rows.paper()).equals(frame())


def test_a_published_value_stands_on_its_own_split_alone():
    other = {"split": "more", "split_digest": "cd" * 32}
    results = rows.results(
        rows.result("rm_ft", "leeks", 0.70),
        rows.result("rm_ft", "leeks", 0.81, run="more", **other),
        rows.result("rm_ft", "leeks", 0.61, run="fold 2", split="five", fold=2, split_digest="ef" * 32),
    )

    shown = marks(results, paper=rows.paper())

    assert set(shown.filter("is_published")["panel"]) == {"garden"}
    assert shown.filter(~pl.col("is_published")).select("panel", "fold", "value").rows() == [
        ("garden", None, 0.70),
        ("garden, five", 2, 0.61),
        ("garden, more", None, 0.81),
    ]
    assert otherwise_divided(results, paper=rows.paper()) == ["garden, five", "garden, more"]


def test_a_target_whose_own_split_is_another_one_has_no_published_values():
    """A video that is gone, and the paper's figures are of other videos."""
    results = rows.results(rows.result("rm_ft", "leeks", 0.70, split_digest="cd" * 32))

    assert not marks(results, paper=rows.paper())["is_published"].any()
    assert otherwise_divided(results, paper=rows.paper()) == ["garden"]


@pytest.mark.parametrize(("target", "llama", "llava"), [("hatemm", 7, 6), ("mhc", 7, 6)])
def test_the_papers_own_tables(target, llama, llava):
    (digest,) = paper_results().filter(target=target)["split_digest"].drop_nulls().unique()
    shown = marks(rows.results(rows.majority(target, 0.4, split_digest=digest)), paper=paper_results())

    assert shown.group_by("series").len().sort("series").rows() == [
        ("LLaMA-3.2-11B", llama),
        ("LLaVA-Next-Video-7B", llava),
    ]
    assert shown.filter(strategy="rm_ft", memes="fhm", series="LLaMA-3.2-11B")["value"].to_list() == [
        {"hatemm": 0.81, "mhc": 0.80}[target]
    ]
