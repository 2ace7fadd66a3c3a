"""The forest plot: every run's score with its interval, beside what the paper published."""

import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from m2v.evaluation import wording
from m2v.evaluation.marks import ORDER, marks, panelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which the colour-blind can tell apart; series differ in shape too.
INK, MUTED, GRID, BAND = "#1f2328", "#59636e", "#d8dee4", "#f4f6f8"
OURS = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "v"), ("#e69f00", "D")]
PUBLISHED = ["o", "D", "s", "^"]
MAJORITY = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}

# Inches; LETTER is the width that a letter may need.
WIDTH, LANE, ROW_GAP, HEAD, FOOT, GAP, LETTER, LEGEND_LINE = 10.0, 0.12, 0.16, 0.4, 0.5, 0.25, 0.074, 0.24
PANELS_BESIDE, LEGEND_COLUMNS, MEMES_LETTERS = 2, 3, 24


def paper_results() -> pl.DataFrame:
    """Return the paper's published scores, a row per row of its tables 3 and 4; columns as in ``paper_results.csv``."""
    return pl.read_csv(Path(__file__).with_name("paper_results.csv"))


def forest_plot(
    results: pl.DataFrame, *, paper: pl.DataFrame, score: str = "macro_f1", format: Literal["svg", "png"] = "svg"
) -> bytes:
    """One panel per target and split, one row per strategy and meme dataset; equal inputs give equal bytes.

    Filled marks with 95 % intervals are our runs, hollow marks the paper's published values, the dashed line is the
    majority class.

    Args:
        results: Rows of ``results``, one at least.
        paper: As ``paper_results`` returns it.
        score: One of ``schemas.SCORES``.
        format: An SVG keeps its letters as text and has no background; a PNG is 2,000 pixels wide, on white.
    """
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "svg.hashsalt": "m2v",  # identifiers would be random
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": 9,
        "text.parse_math": False,
        "text.color": INK,
    }
    dated = ["Creator", "Date", "Format", "Type"] if format == "svg" else ["Software"]
    file = io.BytesIO()
    with mpl.rc_context(style):
        figure = _draw(marks(results, paper=paper, score=score), panelled(results), score)
        figure.savefig(file, format=format, dpi=200, transparent=format == "svg", metadata=dict.fromkeys(dated))
    return file.getvalue()


@dataclass(frozen=True)
class ForestRow:
    """A row of the plot in inches from the top, with a lane for each run and each published value."""

    strategy: str
    memes: str
    top: float
    lanes: dict[tuple[str, int | None, int | None], float]

    @property
    def bottom(self) -> float:
        """Where the next row starts."""
        return self.top + ROW_GAP + LANE * len(self.lanes)

    @property
    def middle(self) -> float:
        """Where its name stands."""
        return (self.top + self.bottom) / 2


def _rows(shown: pl.DataFrame) -> dict[tuple, ForestRow]:
    """By strategy and memes, from top to bottom, over all panels."""
    rows: dict[tuple, ForestRow] = {}
    bottom = 0.0
    ordered = shown.sort(pl.col("strategy").cast(ORDER), "memes", "is_published", "series", "fold", "seed")
    for (strategy, memes), of_row in ordered.group_by("strategy", "memes", maintain_order=True):
        lanes = of_row.select("series", "seed", "fold").unique(maintain_order=True).rows()
        at = {lane: bottom + ROW_GAP / 2 + LANE * (i + 0.5) for i, lane in enumerate(lanes)}
        rows[strategy, memes] = ForestRow(wording.STRATEGIES[str(strategy)], _shortened(memes), bottom, at)
        bottom = rows[strategy, memes].bottom
    return rows


def _shortened(memes: object) -> str:
    name = str(memes or "")
    return name if len(name) <= MEMES_LETTERS else f"{name[: MEMES_LETTERS - 1]}…"


def _draw(shown: pl.DataFrame, results: pl.DataFrame, score: str) -> "Figure":
    from matplotlib.figure import Figure

    rows, styles = _rows(shown), _styles(shown)
    panels = results["panel"].unique().sort().to_list()
    n_beside = min(PANELS_BESIDE, len(panels))
    body = max((row.bottom for row in rows.values()), default=LANE)
    panel_height = HEAD + body + FOOT
    legend_height = LEGEND_LINE * -(-(len(styles) + 1) // LEGEND_COLUMNS)
    height = panel_height * -(-len(panels) // n_beside) + legend_height
    left = _names_width(list(rows.values()))
    width = (WIDTH - left) / n_beside - GAP
    figure = Figure(figsize=(WIDTH, height))
    for i, panel in enumerate(panels):
        line, column = divmod(i, n_beside)
        x, y = left + column * (width + GAP), height - line * panel_height - HEAD - body
        axes = figure.add_axes((x / WIDTH, y / height, width / WIDTH, body / height))
        axes.set(xlim=_limits(results, shown, score), ylim=(body, 0), yticks=[])
        _frame(axes, list(rows.values()), panel, score)
        if column == 0:
            _name_rows(axes, list(rows.values()), left)
        for mark in shown.filter(panel=panel).to_dicts():
            _mark(axes, mark, rows[mark["strategy"], mark["memes"]], styles)
        for value in results.filter(strategy="majority", panel=panel)[score].drop_nulls():
            axes.axvline(value, **MAJORITY)
    _legend(figure, styles, left)
    return figure


def _names_width(rows: list[ForestRow]) -> float:
    strategies, memes = [row.strategy for row in rows], [row.memes for row in rows]
    return LETTER * sum(max(map(len, names), default=0) for names in (strategies, memes)) + 2 * GAP


def _limits(results: pl.DataFrame, shown: pl.DataFrame, score: str) -> tuple[float, float]:
    values = pl.concat([results[score], *shown.select("value", "low", "high")], how="vertical").drop_nulls().to_list()
    return max(0.0, min(values, default=0.0) - 0.03), min(1.0, max(values, default=1.0) + 0.03)


def _styles(shown: pl.DataFrame) -> dict[tuple[bool, str], dict[str, Any]]:
    """How a series' line is drawn, in the panels as in the legend."""
    series = shown.select("is_published", "series").unique().sort("is_published", "series").rows()
    ours, published = itertools.cycle(OURS), itertools.cycle(PUBLISHED)
    styles: dict[tuple[bool, str], dict[str, Any]] = {}
    for is_published, name in series:
        if is_published:
            hollow = {"marker": next(published), "markerfacecolor": "none", "markeredgewidth": 1.1, "linewidth": 0}
            styles[is_published, name] = {"color": MUTED, "markersize": 5.5, **hollow}
        else:
            color, marker = next(ours)
            styles[is_published, name] = {"color": color, "marker": marker, "markersize": 5.5, "linewidth": 1.5}
    return styles


def _frame(axes: "Axes", rows: list[ForestRow], panel: str, score: str) -> None:
    """Draw the panel's name, a light grid, and a band behind every second strategy."""
    axes.set_title(panel, loc="left", fontsize=11, fontweight="bold", pad=8)
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=MUTED, labelsize=8.5)
    axes.xaxis.set_major_formatter(lambda value, _: wording.decimal(value, places=1))
    axes.set_xlabel(wording.SCORES[score], color=MUTED, fontsize=8.5)
    for i, (_, of_strategy) in enumerate(itertools.groupby(rows, key=lambda row: row.strategy)):
        band = list(of_strategy)
        axes.axhspan(band[0].top, band[-1].bottom, color=BAND if i % 2 == 0 else "none", linewidth=0, zorder=0)


def _name_rows(axes: "Axes", rows: list[ForestRow], left: float) -> None:
    """Strategies at the figure's edge, once each; meme datasets at the panel's."""
    style: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    for i, row in enumerate(rows):
        if i == 0 or rows[i - 1].strategy != row.strategy:
            axes.annotate(row.strategy, (0, row.middle), xytext=(72 * (GAP / 2 - left), 0), ha="left", **style)
        axes.annotate(row.memes, (0, row.middle), xytext=(-8, 0), ha="right", color=MUTED, **style)


def _mark(axes: "Axes", mark: dict[str, Any], row: ForestRow, styles: dict[tuple[bool, str], dict[str, Any]]) -> None:
    y, style = row.lanes[mark["series"], mark["seed"], mark["fold"]], styles[mark["is_published"], mark["series"]]
    if mark["low"] is None:
        axes.plot([mark["value"]], [y], **style)
    else:
        axes.plot([mark["low"], mark["value"], mark["high"]], [y] * 3, markevery=[1], **style)


def _legend(figure: "Figure", styles: dict[tuple[bool, str], dict[str, Any]], left: float) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], label=f"{name}, as published" if is_published else f"{name}, 95 % interval", **style)
        for (is_published, name), style in styles.items()
    ]
    figure.legend(
        handles=[*lines, Line2D([], [], label="Majority class", **MAJORITY)],
        loc="lower left",
        bbox_to_anchor=(left / WIDTH, 0),
        ncols=LEGEND_COLUMNS,
        frameon=False,
        borderaxespad=0,
        fontsize=8.5,
    )
