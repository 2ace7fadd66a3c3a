"""The sha256 by which a text is known wherever it stands."""

import hashlib


def text_sha256(text: str) -> str:
    """Return the sha256 of a text in UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
