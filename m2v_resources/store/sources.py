"""The graph's door to the sources' files."""

from pathlib import Path

import dagster as dg

from m2v.datasets import sources
from m2v.entries.datasets import Dataset, Source
from m2v.files.storage import Place


class Sources(dg.ConfigurableResource):
    """Files of the catalog's sources; what has to be downloaded or generated goes to ``<home>/sources``."""

    home: str

    def find(self, source: Source) -> dict[str, Path]:
        """Every file of the source by name, found and checked."""
        return sources.find(source, home=Path(self.home))

    def places(self, source: Source) -> str:
        """Return where the source's files were looked for, and how to supply them."""
        return sources.places(source, home=Path(self.home))

    def versions(self, source: Source) -> dict[str, str]:
        """Return the sha256 of every file of the source by name, or that it is not there."""
        return sources.versions(source, home=Path(self.home))

    def media(self, dataset: Dataset, source: Source) -> Place:
        """Return the folder or address that the dataset's pictures or videos lie below."""
        return sources.media(dataset, source, home=Path(self.home))
