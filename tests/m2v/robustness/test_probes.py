"""Probes: every sentence that templates give, and templates that give none."""

import polars as pl
import pytest
from pydantic import ValidationError

from m2v import catalog, schemas
from m2v.entries.probes import Probes
from m2v.errors import InvalidRows
from m2v.robustness import probes


def entry(**functions: object) -> Probes:
    return Probes.model_validate(
        {
            "name": "mine",
            "title": "Mine",
            "groups": {"leeks": ["leeks", "leek growers"], "beets": ["beets"]},
            "words": {"place": ["soup", "garden"]},
            "functions": functions,
        }
    )


def test_every_template_with_every_word() -> None:
    mine = entry(
        attack={"flagged": True, "templates": ["{group} ruin the {place}"]},
        weather={"flagged": False, "templates": ["rain in the {place}", "rain in the {place}"]},
        reclaimed={"flagged": False},
    )
    rows = probes.sentences(mine)
    schemas.PROBES.validate(rows)
    assert rows.select("function", "group", "expected", "text").sort("function", "group", "text").rows() == [
        ("attack", "beets", True, "beets ruin the garden"),
        ("attack", "beets", True, "beets ruin the soup"),
        ("attack", "leeks", True, "leek growers ruin the garden"),
        ("attack", "leeks", True, "leek growers ruin the soup"),
        ("attack", "leeks", True, "leeks ruin the garden"),
        ("attack", "leeks", True, "leeks ruin the soup"),
        ("weather", "none", False, "rain in the garden"),
        ("weather", "none", False, "rain in the soup"),
    ]
    videos = probes.as_videos(rows)
    assert schemas.VIDEOS.validate(videos).height == rows.height


def test_probes_without_a_sentence_are_refused() -> None:
    with pytest.raises(InvalidRows, match="mine: no function has a template"):
        probes.sentences(entry(attack={"flagged": True}))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{grupp} ruin it", r"has the blank \{grupp\}; known are group, place"),
        ("{} ruin it", "a blank without a name"),
        ("{group ruin it", "a template cannot be read"),
    ],
)
def test_blanks_that_nothing_fills_are_refused(template: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        entry(attack={"flagged": True, "templates": [template]})


def test_a_run_calls_what_reaches_its_threshold() -> None:
    rows = probes.sentences(entry(weather={"flagged": False, "templates": ["rain in the {place}"]}))
    said = pl.DataFrame({"item_id": rows["item_id"], "probability": [0.4, 0.3]})
    called = probes.called(rows, said, threshold=0.4)
    schemas.PROBE_PREDICTIONS.validate(called)
    assert called.select("probability", "threshold", "predicted", "expected").rows() == [
        (0.4, 0.4, True, False),
        (0.3, 0.4, False, False),
    ]


def test_ours_have_every_function_and_are_about_vegetables() -> None:
    ours = catalog.load().probes["vegetables"]
    wanted = {"negation", "counter_speech", "reclaimed_words", "mention", "use", "in_group", "profanity_without_target"}
    assert wanted < set(ours.functions)
    rows = probes.sentences(ours)
    assert set(rows["function"]) == set(ours.functions)
    by_group = rows.filter(pl.col("group") != "none").group_by("function", "group").len()["len"]
    assert by_group.min() >= 4
