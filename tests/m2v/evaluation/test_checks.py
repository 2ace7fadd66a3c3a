import polars as pl
import pytest

from m2v import schemas
from m2v.evaluation import checks
from m2v.evaluation.slices import worst, worst_in_words
from tests.m2v.evaluation import rows


def test_promises_are_counted_without_costs() -> None:
    [found] = checks.operating_points(rows.operating_points()[0], variant="vegetables")
    assert not found.is_fine
    assert found.summary == "1 of 3 wishes can be promised with these validation videos; 1 are reached by no threshold."


def test_runs_without_bounds_are_counted() -> None:
    bands = rows.operating_points()[1].with_columns(act_from=pl.lit(0.8))
    assert checks.review_bands(bands, variant="vegetables")[0].is_fine
    [found] = checks.review_bands(bands.with_columns(leave_below=None), variant="vegetables")
    assert not found.is_fine
    assert found.summary.startswith("1 of 1 runs have too few validation videos of a label")


def test_probabilities_that_claim_too_much_are_counted() -> None:
    [found] = checks.calibration(rows.calibration()[0], variant="vegetables")
    assert (found.is_fine, found.figures) == (False, {"n_off": 1, "n_runs": 2})


def test_the_smallest_difference_that_could_be_seen_is_said() -> None:
    [found] = checks.differences(rows.differences(), variant="vegetables")
    assert found.is_fine
    assert found.summary.endswith("true ones below .140 to .180 would often go unseen.")
    one_label = rows.differences().with_columns(difference=pl.lit(None, pl.Float64))
    [found] = checks.differences(one_label, variant="vegetables")
    assert found.summary == "3 of 3 differences cannot be estimated: their test videos have one label."


def test_a_worse_slice_and_a_facet_without_support_are_found() -> None:
    few = rows.slices().filter(value="tiny").with_columns(facet=pl.lit("soil"))
    alike, supported = checks.slices(pl.concat([rows.slices(), few]), variant="vegetables")
    assert alike.figures == {"n_worse": 2, "n_tested": 2}
    assert supported.summary == "No value of these facets has 10 test videos: soil."
    nothing = checks.slices(schemas.SLICES.empty(), variant="vegetables")
    assert all(finding.is_fine for finding in nothing)


def test_the_worst_slice_falls_furthest_short_beyond_chance_first() -> None:
    by_chance = {"value": "rainy", "n_right": 1, "p_holm": 0.4}  # further short, and no more than chance
    row = rows.slices().filter(value="sunny").head(1).to_dicts()[0]
    frame = pl.DataFrame([row, {**row, **by_chance}], schema=dict(schemas.SLICES.columns))
    assert (worst(frame) or {})["value"] == "sunny"
    assert worst(frame.with_columns(n_right=pl.lit(20, pl.UInt32))) is None
    assert "none is called rightly less often" in worst_in_words(frame.with_columns(n_right=pl.lit(20, pl.UInt32)))


@pytest.mark.parametrize("kept", ["tiny", "nothing"])
def test_without_ten_videos_no_slice_is_worst(kept: str) -> None:
    few = rows.slices().filter(value=kept)
    assert worst_in_words(few) == "No slice has 10 test videos, so none is scored."
