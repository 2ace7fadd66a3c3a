"""What is said of an alignment that never was."""

from datetime import UTC, datetime
from typing import Any

from m2v.publishing.release import AnswerGroup, Part

PUBLISHED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def part(name: str, **other: Any) -> Part:
    said: dict[str, Any] = {
        "name": name,
        "memes": "veggie",
        "memes_title": "Vegetables",
        "target": "garden",
        "target_title": "Garden",
        "positive": "insulting",
        "negative": "kind",
        "positive_definition": "It insults.",
        "negative_definition": "It does not.",
        "languages": ("en",),
        "licence": "Apache-2.0",
        "licence_link": None,
        "columns": ("meme_id", "split", "label", "probability"),
        "splits": {},
        "model": "tiny",
        "model_revision": None,
        "n_requests": 2,
        "n_memes": 2,
        "n_conflicts": 1,
        "n_audited": 0,
        "n_answers": 1,
        "n_annotators": 1,
        "answer_groups": (
            AnswerGroup(role="annotator", mode="blind", guideline_sha256=None, n_answers=1, n_annotators=1),
        ),
        "vote": "paper",
        "min_answers": 1,
        "audit_share": 0.0,
        "n_positive": 1,
        "n_negative": 0,
        "n_undecided": 1,
        "decided_by": {"humans": 1, "tie": 1},
        "coefficients": {"Fleiss' κ among annotators": None},
        "defects": (),
    }
    return Part(**{**said, **other})
