"""Every target for some seconds; `make fuzz` goes on for an hour."""

import pytest
from hypothesis import settings

from tests.fuzz.targets import TARGETS

# About six seconds each on a core.
N_EXAMPLES = {
    "datasets": 250,
    "entries": 250,
    "features": 500,
    "json_documents": 1500,
    "pictures": 300,
    "movies": 60,
    "annotations": 200,
    "media_names": 400,
    "door_headers": 1500,
    "cells": 1000,
}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_comes_from_outside_ends_well(name: str) -> None:
    settings(max_examples=N_EXAMPLES[name])(TARGETS[name])()
