"""Sentences made from templates, by function and target group."""

import itertools
from collections.abc import Iterator

import polars as pl

from m2v import schemas
from m2v.entries.probes import GROUP, Probes, blanks
from m2v.errors import InvalidRows
from m2v.files.digests import text_sha256
from m2v.robustness import new_videos

# The group of sentences that name none.
NO_GROUP = "none"


def sentences(probes: Probes) -> pl.DataFrame:
    """Return every sentence of every function: each template with each combination of what its blanks take.

    Returns:
        Rows of ``probes``; equal sentences of a function and group once.

    Raises:
        InvalidRows: No function has any.
    """
    rows = {
        (name, group, text): (f"{name}/{group}/{text_sha256(text)[:12]}", name, group, function.flagged, text)
        for name, function in probes.functions.items()
        for template in function.templates
        for group, text in _filled(template, probes)
    }
    if not rows:
        raise InvalidRows(f"probes {probes.name}: no function has a template, so there is nothing to ask.")
    named = [(*row, text_sha256(row[-1])) for row in rows.values()]
    return pl.DataFrame(named, schema=dict(schemas.PROBES.columns), orient="row").sort("item_id")


def _filled(template: str, probes: Probes) -> Iterator[tuple[str, str]]:
    """Yield a template's sentences with the group that each is about."""
    names = sorted(blanks(template) - {GROUP})
    for group, called in probes.groups.items() if GROUP in blanks(template) else [(NO_GROUP, ("",))]:
        for word in called:
            for others in itertools.product(*(probes.words[name] for name in names)):
                yield group, template.format(**{GROUP: word}, **dict(zip(names, others, strict=True)))


def as_videos(probes: pl.DataFrame) -> pl.DataFrame:
    """Return probes as rows of ``videos`` without media, in the test split, which detectors score.

    Args:
        probes: Rows of ``probes``.
    """
    return new_videos.as_videos(probes.select("item_id", "text", label="expected"))


def called(probes: pl.DataFrame, said: pl.DataFrame, *, threshold: float) -> pl.DataFrame:
    """Return rows of ``probe_predictions``.

    Args:
        probes: Rows of ``probes``.
        said: Columns ``item_id``, ``probability``.
        threshold: Of the run; from this probability on, a sentence is called positive.
    """
    joined = probes.select("item_id", "expected").join(said, on="item_id")
    rows = joined.with_columns(threshold=pl.lit(threshold), predicted=pl.col("probability") >= threshold)
    return rows.select(list(schemas.PROBE_PREDICTIONS.columns)).sort("item_id")
