"""People who answer."""

from pathlib import Path

import pytest

from tests.people import Person, join


@pytest.fixture(scope="module")
def people(label_studio: Path) -> list[Person]:
    return [join(label_studio) for _ in range(4)]
