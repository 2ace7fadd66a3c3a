"""The graph's door to the reports' files."""

from pathlib import Path

import dagster as dg

from m2v.entries.variants import variant
from m2v.files.digests import text_sha256
from m2v.files.whole import replacing


class Reports(dg.ConfigurableResource):
    """Reports in ``<home>/reports/<study>/<sha256>.html``; ``report.html`` beside them is the latest."""

    home: str

    def write(self, html: str, study: str) -> dg.MaterializeResult:
        """Store a report and point at it."""
        digest = text_sha256(html)
        folder = Path(self.home) / "reports" / variant(study)
        for path in (folder / f"{digest}.html", folder / "report.html"):
            with replacing(path) as scratch:
                scratch.write_text(html, encoding="utf-8")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={"report": dg.MetadataValue.path(str(folder / "report.html")), "n_bytes": len(html.encode())},
        )


def latest(home: Path, study: str) -> Path | None:
    """Return the study's latest report, if it has one."""
    path = home / "reports" / variant(study) / "report.html"
    return path if path.is_file() else None
