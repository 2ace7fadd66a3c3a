"""Where our own files are."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
