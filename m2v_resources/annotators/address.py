"""Where Label Studio is, and how we may enter: from the environment, or as our own server wrote it down."""

import os
import uuid
from pathlib import Path

from m2v.errors import MissingSource
from m2v.files import documents
from m2v_resources.annotators.label_studio import LabelStudioAddress

CREDENTIALS = "label_studio/credentials.json"


def address(home: Path) -> LabelStudioAddress:
    """``LABEL_STUDIO_URL`` and ``LABEL_STUDIO_TOKEN``, or what ``make label-studio`` wrote below the home.

    Raises:
        MissingSource: Neither is there.
    """
    path = home / CREDENTIALS
    kept = documents.read_json(path) if path.is_file() else {}
    url, token = os.environ.get("LABEL_STUDIO_URL"), os.environ.get("LABEL_STUDIO_TOKEN")
    if url and token:
        # Pseudonyms must outlive a token, so the salt is not made of it.
        return LabelStudioAddress(url, token, kept.get("salt") or _salt(home))
    if not kept:
        raise MissingSource(
            "There is no Label Studio to ask people in. Start one with `make label-studio`, or name yours by "
            "LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN."
        )
    return LabelStudioAddress(url or kept["url"], token or kept["token"], kept["salt"])


def _salt(home: Path) -> str:
    path = home / "label_studio" / "salt"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")
