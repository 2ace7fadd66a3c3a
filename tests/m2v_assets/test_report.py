"""The report as readers meet it: on a phone, in the dark, and on paper."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from m2v.evaluation.report import render
from tests.m2v.evaluation import rows
from tests.m2v.evaluation.test_report import SECTIONS

# Elements that reach beyond the window's right edge, but for what is moved sideways within a frame of its own.
BEYOND = """() => [...document.body.querySelectorAll("*")]
  .filter(each => each.getBoundingClientRect().width > 0 && !each.parentElement.closest(".wide"))
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(each => `${each.tagName} ${each.className}`)"""
UNFOLD = "() => document.querySelectorAll('details').forEach(each => { each.open = true })"
# Pixels between the margins of an A4 page.
PAPER = 718


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    path.write_text(render(rows.report()), encoding="utf-8")
    return path.as_uri()


def test_nothing_is_wider_than_a_phone(page: Page, report: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(report)
    page.evaluate(UNFOLD)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(BEYOND) == []
    # A table that is moved sideways still says what its rows are about.
    table = page.locator("#operating_points .wide").first
    before = table.locator("tbody tr").first.locator("td").first.bounding_box()
    table.evaluate("each => { each.scrollLeft = 300 }")
    assert table.locator("tbody tr").first.locator("td").first.bounding_box() == before


def test_letters_stand_out_in_light_and_in_the_dark(page: Page, report: str) -> None:
    luminance = """() => {
      const style = getComputedStyle(document.body), of = colour => {
        const [r, g, b] = colour.match(/[0-9.]+/g).map(Number)
        return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255
      }
      return [of(style.color), of(style.backgroundColor)]
    }"""
    page.goto(report)
    for scheme, is_dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
        letters, paper = page.evaluate(luminance)
        assert abs(letters - paper) > 0.6
        assert (letters > paper) == is_dark
    page.emulate_media(color_scheme="dark", media="print")
    letters, paper = page.evaluate(luminance)
    assert (letters < 0.3, paper) == (True, pytest.approx(1.0))


def test_paper_holds_every_section_and_no_text_of_an_item(page: Page, report: str) -> None:
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.goto(report)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    widest = (
        "() => Math.max(...[...document.querySelectorAll('.wide > *')].map(each => each.getBoundingClientRect().right))"
    )
    assert page.evaluate(widest) <= PAPER
    # What is folded on a screen is shown, but for texts and lists of ids.
    assert page.locator("#slices table").first.bounding_box()["height"] > 0  # pyright: ignore[reportOptionalSubscript]
    assert page.locator("blockquote").first.is_hidden()
    assert page.locator("#findings details p").first.is_hidden()
    headings = [page.locator(f"#{name} h2").first.inner_text() for name in SECTIONS if name != "summary"]
    page.emulate_media(media="screen")
    printed = page.pdf(format="A4", outline=True, tagged=True)
    titles = re.findall(rb"/Title \(([^)]*)\)", printed)
    assert [title.decode() for title in titles if title.decode() in headings] == headings
