"""What runs can do by function and group."""

import polars as pl

from m2v import schemas
from m2v.entries.probes import Probes
from m2v.evaluation import functions, small_samples
from m2v.evaluation.report import render
from tests.m2v.evaluation import rows
from tests.m2v.evaluation.pages import Page

ENTRY = Probes.model_validate(
    {
        "name": "mine",
        "title": "Mine",
        "groups": {"leeks": ["leeks"], "beets": ["beets"]},
        "functions": {
            "attack": {"flagged": True, "templates": ["{group} ruin it"]},
            "negation": {"flagged": False, "templates": ["{group} ruin nothing"]},
            "reclaimed": {"flagged": False},
        },
    }
)
# Ten attacks on either group, and six negations about leeks.
ITEMS = [("attack", group, True) for group in ("leeks", "beets") for _ in range(10)] + [
    ("negation", "leeks", False)
] * 6
PROBES = pl.DataFrame(
    [(f"{place:02d}", *item, "", "") for place, item in enumerate(ITEMS)],
    schema=dict(schemas.PROBES.columns),
    orient="row",
)


def said(predicted: list[bool]) -> pl.DataFrame:
    return PROBES.select(
        "item_id", probability=pl.lit(0.5), threshold=pl.lit(0.5), predicted=pl.Series(predicted), expected="expected"
    )


def test_shares_by_function_and_group() -> None:
    # Every attack on leeks is found, two on beets, and every negation is taken for an attack.
    found = functions.functions(
        {"a": said([True] * 10 + [True] * 2 + [False] * 8 + [True] * 6)}, probes=PROBES, entry=ENTRY
    )
    schemas.FUNCTIONS.validate(found)
    assert found.select("function", "group", "expected", "n_items", "n_right", "right_share").rows() == [
        ("attack", "all", True, 20, 12, 0.6),
        ("attack", "beets", True, 10, 2, 0.2),
        ("attack", "leeks", True, 10, 10, 1.0),
        ("negation", "all", False, 6, 0, 0.0),
        ("negation", "leeks", False, 6, 0, 0.0),
        ("reclaimed", "all", False, 0, 0, None),
    ]
    row = found.row(1, named=True)
    assert (row["right_share_low"], row["right_share_high"]) == small_samples.wilson(2, 10)


def test_wilson_as_published() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I: 15 of 148, method 3.
    low, high = small_samples.wilson(15, 148)
    assert (round(low, 4), round(high, 4)) == (0.0624, 0.1605)


def test_what_is_missing_is_said() -> None:
    found = functions.functions({"a": said([True] * 26)}, probes=PROBES, entry=ENTRY)
    finding = functions.finding(found, unseen={"b": "it looks at sounds"}, variant="s")
    assert not finding.is_fine
    assert finding.summary == (
        "1 of 2 functions of 1 runs are called worse than by a coin, negation among them. reclaimed have no templates, "
        "so nothing is known of them. b was not asked: it looks at sounds."
    )
    assert finding.ids == ("a/negation",)

    whole = Probes.model_validate(ENTRY.model_dump() | {"functions": {"attack": {"flagged": True}}})
    fine = functions.functions({"a": said([True] * 26)}, probes=PROBES, entry=whole)
    assert functions.finding(fine, unseen={}, variant="s").is_fine


def test_functions_that_a_run_lacks_are_bold_and_missing_ones_named():
    page = Page(render(rows.report()))
    assert "1 of 2 functions worse than a coin: negation" in page.shown
    assert "no sentences: its templates are missing" in page.hidden
    nothing = Page(render(rows.report(functions=schemas.FUNCTIONS.empty())))
    assert "This study asks no run about functions." in nothing.shown
