"""The report's figures for programs: every table that it shows, and no item of any dataset."""

import json
from dataclasses import asdict

from m2v.evaluation.report import StudyReport

# Fields of the report that are rows of a table; each is a section of the file.
TABLES = (
    "results",
    "comparisons",
    "differences",
    "slices",
    "seen",
    "suite_results",
    "label_suspects",
    "learning_curves",
    "robustness",
    "functions",
    "calibration",
    "reliability",
    "operating_points",
    "review_bands",
    "prevalence_estimates",
    "prevalence_scores",
    "rejects",
)


def document(report: StudyReport) -> str:
    """Return a study's figures as JSON: equal bytes for equal rows; what cannot be estimated is null.

    Findings have the number of their offenders and not their ids, and texts of items are left out, so that a take-down
    has nothing to look for here.
    """
    sections = {name: getattr(report, name) for name in TABLES}
    content = {
        "study": report.study,
        "title": report.title,
        "as_of": report.as_of,
        "summary": list(report.summary.lines),
        "prevalence": report.prevalence,
        **{name: rows.sort(rows.columns[:4]).to_dicts() for name, rows in sections.items()},
        "label_flows": [asdict(flow) for flow in report.label_flows],
        "annotated": [asdict(dataset) for dataset in report.annotated],
        "findings": [
            {**{name: value for name, value in asdict(finding).items() if name != "ids"}, "n_ids": len(finding.ids)}
            for finding in sorted(report.findings, key=lambda each: (each.table, each.variant, each.check))
        ],
        "versions": [
            asdict(version) for version in sorted(report.versions, key=lambda each: (each.table, each.variant))
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False, default=str) + "\n"
