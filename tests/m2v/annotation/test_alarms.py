from datetime import UTC, datetime

import polars as pl

from m2v import schemas
from m2v.annotation import alarms
from m2v.entries.study import RoundPlan
from tests import tables

MEMES = [f"m{n:02}" for n in range(12)]
CONFLICTS = tables.frame(
    schemas.CONFLICTS,
    [{"meme_id": meme} for meme in MEMES[:10]],
    original=True,
    predicted=False,
    reason="disagreement",
    inclusion_probability=1.0,
)
ITEMS = pl.DataFrame(
    [
        {"meme_id": meme, "kind": "gold" if meme > "m09" else "conflict", "gold": True if meme > "m09" else None}
        for meme in MEMES
    ],
    schema={"meme_id": pl.String, "kind": pl.String, "gold": pl.Boolean},
)
SKIPS = tables.frame(
    schemas.SKIPS,
    [{"meme_id": "m00", "annotator": "tired"}, {"meme_id": "m01", "annotator": "careful"}],
    round="r",
    reason="harmful",
    skipped_at=datetime(2026, 11, 20, tzinfo=UTC),
)


def answers(**people: tuple[str, float]) -> pl.DataFrame:
    """Each person's answers to the twelve memes, y or n, and how long each took."""
    rows = [
        {"meme_id": meme, "annotator": name, "label": letter == "y", "duration_s": seconds}
        for name, (letters, seconds) in people.items()
        for meme, letter in zip(MEMES, letters, strict=True)
    ]
    return tables.frame(schemas.HUMAN_LABELS, rows, round="r", role="annotator", mode="blind")


def test_each_annotator_is_measured_on_gold_and_against_the_rest() -> None:
    said = answers(careful=("nnnnnyyyyyyy", 5.0), copy=("yyyyyyyyyynn", 5.0))
    found = alarms.per_annotator(said, ITEMS, CONFLICTS, skips=SKIPS)
    columns = ["annotator", "n_answers", "n_gold", "gold_accuracy", "rest_agreement_share", "with_original_share"]
    assert found.select(columns).rows() == [
        ("careful", 12, 2, 1.0, 5 / 12, 0.5),
        ("copy", 12, 2, 0.0, 5 / 12, 1.0),
        ("tired", 0, 0, None, None, None),
    ]
    assert found.select("n_skips", "exposure_min").rows() == [(1, 1.0), (0, 1.0), (1, None)]


def test_the_alarms_name_who_is_low_on_gold_follows_the_original_or_is_too_fast() -> None:
    said = answers(careful=("nnnnnyyyyyyy", 5.0), copy=("yyyyyyyyyynn", 5.0), hasty=("nnnnnyyyyyyy", 0.4))
    report = alarms.per_annotator(said, ITEMS, CONFLICTS, skips=SKIPS)
    found = {each.check: each.ids for each in alarms.findings(report, RoundPlan(), variant="fhm_hatemm")}
    assert found == {
        "annotators_on_gold": ("copy",),
        "annotators_follow_original": ("copy",),
        "annotators_too_fast": ("hasty",),
    }


def test_a_few_answers_raise_no_alarm() -> None:
    said = answers(copy=("yyyyyyyyyynn", 0.1)).filter(pl.col("meme_id") > "m07")
    report = alarms.per_annotator(said, ITEMS, CONFLICTS, skips=SKIPS)
    assert all(each.is_fine for each in alarms.findings(report, RoundPlan(), variant="fhm_hatemm"))


def test_nobody_raises_no_alarm() -> None:
    report = alarms.per_annotator(schemas.HUMAN_LABELS.empty(), ITEMS, CONFLICTS, skips=schemas.SKIPS.empty())
    assert report.is_empty()
    assert [each.summary for each in alarms.findings(report, RoundPlan(), variant="fhm_hatemm")] == [
        "0 of 0 annotators are below 70% on gold items.",
        "0 of 0 annotators are with the original label in 95% or more.",
        "0 of 0 annotators are faster than 1 s in the median.",
    ]
