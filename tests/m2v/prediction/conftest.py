from pathlib import Path

import pytest

from m2v.prediction import models
from tests import vlms


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which tiny models are built once."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="module", params=vlms.ARCHITECTURES)
def loaded(request: pytest.FixtureRequest, built: Path) -> models.Loaded:
    """A tiny model of each architecture."""
    return models.load(vlms.entry(request.param), home=built)


@pytest.fixture(scope="module")
def mllama(built: Path) -> models.Loaded:
    return models.load(vlms.entry("mllama"), home=built)
