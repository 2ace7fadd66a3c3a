import io
import subprocess
import sys
from xml.etree import ElementTree

import polars as pl
from PIL import Image

from m2v import schemas
from m2v.evaluation import forest
from tests.m2v.evaluation import rows

SVG = "{http://www.w3.org/2000/svg}"


def svg(results: pl.DataFrame, **options) -> ElementTree.Element:
    return ElementTree.fromstring(forest.forest_plot(results, paper=rows.paper(), **options))  # noqa: S314 (our own)


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def n_marks(root: ElementTree.Element, color: str, *, is_hollow: bool) -> int:
    """Marks in the panels; the legend's are left out."""
    panels = [group for group in root.iter(f"{SVG}g") if group.get("id", "").startswith("axes_")]
    styles = [mark.get("style", "") for panel in panels for mark in panel.iter(f"{SVG}use")]
    return sum(f"stroke: {color}" in style and ("fill-opacity: 0" in style) == is_hollow for style in styles)


def test_runs_are_filled_and_published_values_hollow():
    root = svg(rows.study())

    assert n_marks(root, "#d55e00", is_hollow=False) == 16  # eight runs of the radish on either target
    assert n_marks(root, "#0072b2", is_hollow=False) == 6  # three seeds of the beetroot on either target
    assert n_marks(root, "#59636e", is_hollow=True) == 4  # those of rows.paper() whose target is the garden


def test_rows_and_panels_are_named_in_plain_words():
    found = texts(svg(rows.study()))

    assert [text for text in found if text in {"garden", "market"}] == ["garden", "market"]
    assert [text for text in found if text in forest.wording.STRATEGIES.values()] == [
        "No fine-tuning",
        "Original memes (OM)",  # once, for both meme datasets
        "Re-annotated memes (RM)",
        "Videos",
        "Videos + RM",
        "Majority class",  # in the legend
    ]
    assert found.count("leeks") == found.count("roots") == 3  # beside the first panel only


def test_equal_rows_give_equal_bytes_in_every_process():
    script = (
        "import sys; from m2v.evaluation import forest; from tests.m2v.evaluation import rows; "
        "[sys.stdout.buffer.write(forest.forest_plot(rows.study(), paper=rows.paper(), format=each)) "
        "for each in ('svg', 'png')]"
    )
    once, again = (subprocess.run([sys.executable, "-c", script], capture_output=True, check=True) for _ in range(2))

    assert once.stdout == again.stdout
    assert b"<dc:date>" not in once.stdout


def test_the_order_of_the_rows_does_not_matter():
    results = rows.study()

    plots = [forest.forest_plot(each, paper=rows.paper()) for each in (results, results.reverse())]

    assert plots[0] == plots[1]


def test_a_png_for_the_graphs_own_pages():
    image = Image.open(io.BytesIO(forest.forest_plot(rows.study(), paper=rows.paper(), format="png")))

    assert (image.format, image.width, image.getpixel((0, 0))) == ("PNG", 2000, (255, 255, 255, 255))


def test_more_targets_stand_below_one_another():
    one, two, three = (
        svg(rows.results(*(rows.result("rm_ft", "leeks", 0.7, target=f"field-{i}") for i in range(n))))
        for n in (1, 2, 3)
    )

    heights = [float(root.get("height", "").removesuffix("pt")) for root in (one, two, three)]
    assert heights[0] == heights[1] < heights[2]
    assert texts(three)[:1] != []
    assert {"field-0", "field-1", "field-2"} <= set(texts(three))


def test_a_study_without_runs_has_an_empty_plot():
    assert "Majority class" in texts(svg(rows.results(rows.majority("cupboard", 0.4))))
    assert n_marks(svg(rows.results(rows.majority("cupboard", 0.4))), "#59636e", is_hollow=True) == 0


def test_names_are_letters_and_neither_markup_nor_formulas():
    found = texts(svg(rows.results(rows.result("rm_ft", "<b>&leeks$^2$", 0.7, target="<script>$x$"))))

    assert {"<script>$x$", "<b>&leeks$^2$"} <= set(found)


def test_the_published_values_are_rows_of_the_papers_tables():
    paper = forest.paper_results()

    assert paper.height == 32
    assert set(paper.columns) >= {"model", "strategy", "finetune_dataset", "target", *schemas.SCORES} - {"auroc"}
