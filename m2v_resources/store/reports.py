"""The graph's door to the reports' files."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from m2v.entries.variants import variant
from m2v.files.digests import text_sha256
from m2v.files.whole import replacing

SUMMARY = "summary.txt"
FIGURES = "report.json"


class Reports(dg.ConfigurableResource):
    """Reports in ``<home>/reports/<study>/<sha256>.html``; ``report.html`` beside them is the latest."""

    home: str

    def write(self, html: str, study: str, *, summary: Sequence[str], figures: str) -> dg.MaterializeResult:
        """Store a report and point at it.

        Beside it are ``summary.txt``, its first sentences, one a line, and ``report.json``, its figures for programs.
        """
        digest = text_sha256(html)
        folder = Path(self.home) / "reports" / variant(study)
        for path in (folder / f"{digest}.html", folder / "report.html"):
            with replacing(path) as scratch:
                scratch.write_text(html, encoding="utf-8")
        beside = {SUMMARY: "".join(f"{line}\n" for line in summary), FIGURES: figures}
        for name, text in beside.items():
            with replacing(folder / name) as scratch:
                scratch.write_text(text, encoding="utf-8")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={
                "summary": dg.MetadataValue.text("\n".join(summary)),
                "report": dg.MetadataValue.path(str(folder / "report.html")),
                "figures": dg.MetadataValue.path(str(folder / FIGURES)),
                "n_bytes": len(html.encode()),
            },
        )


def latest(home: Path, study: str) -> Path | None:
    """Return the study's latest report, if it has one."""
    path = home / "reports" / variant(study) / "report.html"
    return path if path.is_file() else None


def summary(home: Path, study: str) -> list[str]:
    """Return the first sentences of the study's latest report; none where an earlier M2V wrote it."""
    path = home / "reports" / variant(study) / SUMMARY
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def figures(home: Path, study: str) -> Path | None:
    """Return the file with the figures of the study's latest report, if it has one."""
    path = home / "reports" / variant(study) / FIGURES
    return path if path.is_file() else None
