"""What operators make a run lose, by hand."""

import numpy as np
import polars as pl
import pytest

from m2v import schemas
from m2v.catalog.plan import Augmentation
from m2v.entries.operators import Operator
from m2v.errors import InvalidRows
from m2v.evaluation import robustness
from m2v.evaluation.predicted import Predicted
from m2v.evaluation.robustness import Trial
from m2v.evaluation.small_samples import wilson

SWAP, MIRROR, CALM, SOUND = (
    Operator(name=name, title="Made", kind=kind, modality=modality, label=label)
    for name, kind, modality, label in (
        ("swap-text", "swap", "text", "stays"),
        ("mirror-text", "mirror", "text", "stays"),
        ("calm-text", "mask", "text", "control"),
        ("swap-sound", "swap", "sound", "stays"),
    )
)
# Four positive videos of which three are flagged, four negative ones of which one is.
IDS = tuple(f"v{number}" for number in range(8))
BEFORE = np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.1, 0.1, 0.1])
TEST = Predicted("leek", IDS, np.array([True] * 4 + [False] * 4), BEFORE, 0.5)


def operated(operator: Operator, after: dict[str, float], *, labels: dict[str, bool] | None = None) -> pl.DataFrame:
    items = pl.DataFrame(
        {
            "operator": [operator.name] * len(after),
            "parent_id": list(after),
            "item_id": [f"{item}~{operator.name}" for item in after],
            "donor_id": [None] * len(after),
            "label": [(labels or {}).get(item, operator is SWAP) for item in after],
        },
        schema_overrides={"donor_id": pl.String},
    )
    probabilities = items.select("item_id", probability=pl.Series(list(after.values())))
    return robustness.thresholded(items, probabilities=probabilities, threshold=0.5)


def row(run: Trial, operator: Operator) -> dict:
    return robustness.robustness([run], operators=[operator]).row(0, named=True)


def test_what_is_lost_and_newly_flagged_is_counted_with_intervals() -> None:
    rows = operated(SWAP, {"v0": 0.9, "v1": 0.1, "v2": 0.2, "v3": 0.8})
    found = row(Trial(TEST, rows, frozenset({"text"})), SWAP)

    counts = ("n_items", "n_left_out", "n_positive", "n_flagged", "n_lost", "n_newly_flagged", "n_only_before")
    assert [found[name] for name in counts] == [4, 0, 4, 3, 2, 1, 2]
    assert (found["recall_before"], found["recall_after"], found["false_positive_rate"]) == (0.75, 0.5, 0.25)
    assert found["lost_share"] == pytest.approx(2 / 3)
    assert (found["lost_share_low"], found["lost_share_high"]) == wilson(2, 3)
    assert (found["newly_flagged_share"], found["newly_flagged_share_high"]) == (1.0, wilson(1, 1)[1])
    assert found["p_value"] == 1.0  # two against one: a fair coin does that
    assert found["wrongly_flagged_share"] is None  # nothing there must not be flagged
    assert (found["is_seen"], found["plain"], found["untouched_change"], found["note"]) == (False, None, None, None)


def test_mcnemar_counts_both_ways() -> None:
    negatives = operated(MIRROR, {"v4": 0.1, "v5": 0.9, "v6": 0.9, "v7": 0.9})
    found = row(Trial(TEST, negatives, frozenset({"text"})), MIRROR)
    assert (found["n_only_before"], found["n_newly_flagged"]) == (1, 3)
    assert found["p_value"] == pytest.approx(0.625)  # of four coins one or three or worse: 10 of 16
    assert (found["n_wrongly_flagged"], found["wrongly_flagged_share"]) == (3, 0.75)
    assert (found["recall_before"], found["lost_share"]) == (None, None)


def test_of_a_control_whatever_is_flagged_is_wrong() -> None:
    rows = operated(CALM, dict.fromkeys(IDS, 0.1) | {"v0": 0.9})
    found = row(Trial(TEST, rows, frozenset({"text"})), CALM)
    assert (found["n_positive"], found["n_wrongly_flagged"], found["n_only_before"]) == (0, 1, 3)


def test_a_run_that_flags_nothing_sees_nothing_or_has_nothing_is_told_so() -> None:
    calm = Predicted("leek", IDS, TEST.labels, np.zeros(8), 0.5)
    rows = operated(SWAP, dict.fromkeys(IDS[:4], 0.1))
    found = row(Trial(calm, rows, frozenset({"text"})), SWAP)
    assert found["note"] == "flagged none of these videos before, so that none can be lost"
    assert (found["lost_share"], found["n_flagged"], found["p_value"]) == (None, 0, 1.0)
    unseen = row(Trial(TEST, rows, frozenset({"text"})), SOUND)
    assert (unseen["note"], unseen["n_items"], unseen["n_left_out"]) == ("does not see sound", 0, 4)
    bare = row(Trial(TEST, rows.clear(), frozenset({"text"})), SWAP)
    assert (bare["note"], bare["p_value"]) == ("no test video can be changed so", None)


def test_videos_of_one_label_only_give_no_nan() -> None:
    positive = Predicted("leek", IDS[:4], TEST.labels[:4], BEFORE[:4], 0.5)
    found = row(Trial(positive, operated(SWAP, {"v0": 0.1}), frozenset({"text"})), SWAP)
    assert found["false_positive_rate"] is None
    frame = robustness.robustness([Trial(positive, operated(SWAP, {"v0": 0.1}), frozenset({"text"}))], operators=[SWAP])
    assert not any(frame[name].is_nan().any() for name, dtype in frame.schema.items() if dtype == pl.Float64)


def test_a_run_that_was_trained_on_operators_is_compared_with_the_plain_one() -> None:
    better = Predicted("leek-with", IDS, TEST.labels, TEST.labels * 0.8, 0.5)
    trained = Augmentation((SWAP,), 0.5, plain="leek")
    tested = [
        Trial(TEST, operated(SWAP, {"v0": 0.1}), frozenset({"text"})),
        Trial(better, operated(SWAP, {"v0": 0.9}), frozenset({"text"}), trained),
    ]
    rows = robustness.robustness(tested, operators=[SWAP, MIRROR])
    assert rows.filter(run="leek")["plain"].null_count() == 2
    seen = rows.filter(run="leek-with", operator="swap-text").row(0, named=True)
    assert (seen["is_seen"], seen["plain"], seen["untouched_change"]) == (True, "leek", pytest.approx(0.25))
    assert rows.filter(run="leek-with", operator="mirror-text")["is_seen"].to_list() == [False]


def test_findings_say_what_is_lost_idle_or_untried() -> None:
    trained = Augmentation((SWAP,), 0.5, plain="pea")
    tested = Trial(TEST, operated(SWAP, {"v0": 0.1, "v1": 0.1}), frozenset({"text"}), trained)
    found = robustness.findings(robustness.robustness([tested], operators=[SWAP, SOUND]), variant="bed")
    assert [finding.check for finding in found] == list(robustness.CHECKS)
    assert [finding.is_fine for finding in found] == [False, False, False]
    assert "swap-sound" in found[0].summary
    assert "leek under swap-text, 2 of 2" in found[1].summary
    assert "leek" in found[2].summary
    nothing = robustness.findings(schemas.ROBUSTNESS.empty(), variant="bed")
    assert all("names no operators" in finding.summary and finding.is_fine for finding in nothing)


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRows, match="v0~swap-text"):
        operated(SWAP, {"v0": float("nan")})
