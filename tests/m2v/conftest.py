from pathlib import Path

import pytest

from m2v import catalog
from m2v.datasets import sources


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The paper's tables by name, from wherever a study finds them."""
    return sources.find(catalog.load().sources["published"], home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def recorded_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real features of the target videos, from wherever a study finds them."""
    found = sources.find(catalog.load().sources["features"], home=tmp_path_factory.mktemp("home"))
    return next(iter(found.values())).parent
