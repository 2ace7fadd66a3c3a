"""A study in one HTML file: nothing to load, item texts behind a click, equal bytes for equal rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from m2v import schemas
from m2v.datasets.details import Annotated
from m2v.entries.splits import OWN
from m2v.evaluation import forest, headline, sections, suspects, wording
from m2v.evaluation.differences import SCORES
from m2v.evaluation.marks import ORDER, marks, otherwise_divided, panelled
from m2v.evaluation.wording import decimal, difference, figure, interval, p_value, percent
from m2v.lineage.findings import Finding, LabelFlow
from m2v.prediction.prompts import Question

REJECTS = {"dataset": pl.String, "reason": pl.String, "n_items": pl.UInt32}

# A colour of the plot, its name in the page's style, and what takes its place where the reader's scheme is dark.
THEMES = {
    forest.INK: ("ink", "#e6e9ed"),
    forest.MUTED: ("muted", "#9aa5b1"),
    forest.GRID: ("line", "#2d3640"),
    forest.BAND: ("band", "#182028"),
    "#0072b2": ("blue", "#5cb3f0"),
    "#d55e00": ("vermilion", "#ff8f4d"),
    "#009e73": ("green", "#3fcf9f"),
}


@dataclass(frozen=True)
class Example:
    """A meme whose label changed; its text is hidden until asked for."""

    alignment: str
    meme_id: str
    original: bool
    predicted: bool
    voted: bool | None
    text: str


@dataclass(frozen=True)
class ShownVersion:
    """A table version that the report rests on."""

    table: str
    variant: str
    number: int
    rows_hash: str


@dataclass(frozen=True)
class Policy:
    """What a target's label means, in the words that people and models read."""

    target: str
    positive: str
    negative: str
    positive_definition: str
    negative_definition: str


@dataclass(frozen=True)
class StudyReport:
    """Everything that the report says.

    Attributes:
        study: The study's name.
        title: The study's title.
        results: Rows of ``results``.
        comparisons: Rows of ``comparisons``.
        differences: Rows of ``differences``.
        calibration, reliability, operating_points, review_bands, prevalence_estimates, prevalence_scores, slices,
            seen, learning_curves, robustness, functions, suite_results: Rows of these tables.
        label_suspects: How many labels of each training set are doubted (``suspects.counted``).
        prevalence: Share of positives where detectors are to work; None: as among the test videos.
        findings: Of every check, fine or not.
        rejects: Columns ``dataset``, ``reason``, ``n_items``: what policies kept out of training.
        questions: What models were asked in words.
        recorded: Who labelled memes elsewhere, by memes and target.
        annotated: What the datasets' authors say of their items besides labels.
        policies: What the label of each target means.
        as_of: Date of the newest of the versions, as in 2026-11-28.
        notes: Further sentences, for example which runs are missing.
    """

    study: str
    title: str
    results: pl.DataFrame
    comparisons: pl.DataFrame = field(default_factory=schemas.COMPARISONS.empty)
    differences: pl.DataFrame = field(default_factory=schemas.DIFFERENCES.empty)
    calibration: pl.DataFrame = field(default_factory=schemas.CALIBRATION.empty)
    reliability: pl.DataFrame = field(default_factory=schemas.RELIABILITY.empty)
    operating_points: pl.DataFrame = field(default_factory=schemas.OPERATING_POINTS.empty)
    review_bands: pl.DataFrame = field(default_factory=schemas.REVIEW_BANDS.empty)
    prevalence_estimates: pl.DataFrame = field(default_factory=schemas.PREVALENCE_ESTIMATES.empty)
    prevalence_scores: pl.DataFrame = field(default_factory=schemas.PREVALENCE_SCORES.empty)
    slices: pl.DataFrame = field(default_factory=schemas.SLICES.empty)
    suite_results: pl.DataFrame = field(default_factory=schemas.SUITE_RESULTS.empty)
    seen: pl.DataFrame = field(default_factory=schemas.SEEN.empty)
    label_suspects: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=suspects.COUNTS))
    learning_curves: pl.DataFrame = field(default_factory=schemas.LEARNING_CURVES.empty)
    robustness: pl.DataFrame = field(default_factory=schemas.ROBUSTNESS.empty)
    functions: pl.DataFrame = field(default_factory=schemas.FUNCTIONS.empty)
    findings: tuple[Finding, ...] = ()
    label_flows: tuple[LabelFlow, ...] = ()
    examples: tuple[Example, ...] = ()
    rejects: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTS))
    annotated: tuple[Annotated, ...] = ()
    questions: tuple[Question, ...] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[ShownVersion, ...] = ()
    policies: tuple[Policy, ...] = ()
    as_of: str = ""
    notes: tuple[str, ...] = ()
    prevalence: float | None = None

    @cached_property
    def effects(self) -> pl.DataFrame:
        """Re-annotated against original labels, as ``headline.label_effects`` returns them."""
        return headline.label_effects(self.results, comparisons=self.comparisons, differences=self.differences)

    @cached_property
    def summary(self) -> headline.Summary:
        """What stands on top of the page, and at the end of a run in the terminal."""
        return headline.summary(
            self.results,
            effects=self.effects,
            label_flows=self.label_flows,
            seen=self.seen,
            suite_results=self.suite_results,
        )


def render(report: StudyReport) -> str:
    """Return the report as one HTML page that loads nothing from anywhere."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for word in (decimal, difference, figure, interval, p_value, percent):
        environment.filters[word.__name__] = word
    paper = forest.paper_results()
    return environment.get_template("report.html").render(
        report=report,
        summary=report.summary,
        effects=report.effects.to_dicts(),
        plot=_plot(report.results, paper),
        has_published=marks(report.results, paper=paper)["is_published"].any(),
        scores=wording.SCORES,
        strategies=wording.STRATEGIES,
        significance=headline.SIGNIFICANCE,
        results=list(_by_panel(_ranked(report.results))),
        folds=dict(_by_panel(_over_folds(report.results))),
        digests=_digests(report.results),
        otherwise_divided=otherwise_divided(report.results, paper=paper),
        comparisons=list(_by_panel(_named(report.comparisons, report.results))),
        difference_scores={score: wording.SCORES[score] for score in SCORES},
        differences=sections.differences(report.differences, results=report.results),
        calibration=sections.calibration(report.calibration, curves=report.reliability, results=report.results),
        operating_points=sections.operating_points(
            report.operating_points, bands=report.review_bands, results=report.results
        ),
        shares=sections.prevalence(
            report.prevalence_estimates, scores=report.prevalence_scores, results=report.results
        ),
        goals=sections.GOALS,
        promises=sections.PROMISES,
        prevalence=report.prevalence,
        review_error=report.review_bands["error"].first() if report.review_bands.height else 0.1,
        slices=sections.slices(report.slices, results=report.results),
        suites=sections.suites(report.suite_results),
        seen={row["run"]: row for row in report.seen.to_dicts()},
        training_data=sections.training_data(
            report.seen, suspects=report.label_suspects, curves=report.learning_curves, results=report.results
        ),
        robustness=sections.robustness(report.robustness, results=report.results),
        slice_scores={**wording.SCORES, "false_positive_rate": "False-positive rate"},
        functions=sections.functions(report.functions, results=report.results),
        findings=sorted(
            report.findings, key=lambda finding: (finding.is_fine, finding.table, finding.variant, finding.check)
        ),
        versions=sorted(report.versions, key=lambda version: (version.table, version.variant)),
        paper_mode=wording.PAPER_MODE,
        own=OWN,
        themes=THEMES,
    )


def _plot(results: pl.DataFrame, paper: pl.DataFrame) -> Markup | None:
    """Return the forest plot as an element of the page, whose letters are escaped already; None without a run."""
    if results.is_empty():
        return None
    svg = forest.forest_plot(results, paper=paper).decode()
    for color, (name, _) in THEMES.items():
        svg = svg.replace(f": {color}", f": var(--{name})")
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 # nosec B704


def _ranked(results: pl.DataFrame) -> pl.DataFrame:
    order = ["panel", pl.col("strategy").cast(ORDER), "memes", "model", "paper_mode", "seed", "fold", "run"]
    return panelled(results).sort(order)


def _over_folds(results: pl.DataFrame) -> pl.DataFrame:
    """Return the mean over the folds of a split, and the least and the greatest value, for each setting and score."""
    setting = ["panel", "strategy", "memes", "model", "paper_mode", "seed"]
    over = [
        value.alias(f"{score}{end}")
        for score in schemas.SCORES
        for end, value in (("", pl.col(score).mean()), ("_low", pl.col(score).min()), ("_high", pl.col(score).max()))
    ]
    of_folds = panelled(results).drop_nulls("fold")
    return of_folds.group_by(setting).agg(*over, n_folds=pl.len()).sort(pl.col("strategy").cast(ORDER), *setting)


def _digests(results: pl.DataFrame) -> dict[str, list[str]]:
    """Return the digests of the splits of each panel, one for each fold."""
    rows = panelled(results).select("panel", "fold", "split_digest").unique().sort("panel", "fold")
    return {str(panel): digests["split_digest"].to_list() for (panel,), digests in rows.group_by("panel")}


def _named(comparisons: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """Comparisons with the runs' strategies, memes, model and seed; the clearest first."""
    runs = panelled(results).select("run", "panel", "fold", "strategy", "memes", "model", "seed", "paper_mode")
    return (
        comparisons.join(runs, left_on="run_a", right_on="run")
        .join(runs.select("run", "strategy", "memes"), left_on="run_b", right_on="run", suffix="_b")
        .with_columns(memes=pl.coalesce("memes", "memes_b"))
        .sort("panel", "p_value", "run_a", "run_b")
    )


def _by_panel(frame: pl.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for (panel,), rows in frame.group_by("panel", maintain_order=True):
        yield str(panel), rows.to_dicts()
