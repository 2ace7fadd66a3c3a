"""What people are asked in a round, and when a round is done.

A round asks about memes under one definition of the label: one labelling config, one guideline, blind or assisted. What
was asked and answered once under the same definition, about the same content, is not asked again.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from m2v.errors import LabelStudioError
from m2v.files.digests import text_sha256

ITEM_COLUMNS = {
    "item_key": pl.String,  # what the server knows an item by; says nothing about the meme
    "meme_id": pl.String,
    "question_sha256": pl.String,  # role, definition, meme and content: equal in every round that asks the same
    "kind": pl.Enum(["conflict", "audit", "gold"]),
    "gold": pl.Boolean,
    "picture": pl.String,  # its file, relative to the home; null where people judge the text alone
}


@dataclass(frozen=True)
class Definition:
    """What annotators see around an item.

    Attributes:
        config: Labelling config, XML.
        guideline: The label's definition, as annotators read it.
    """

    config: str
    guideline: str
    mode: Literal["blind", "assisted"]

    @property
    def config_sha256(self) -> str:
        """Of the config without the white space between its tags, which the server does not keep."""
        return config_sha256(self.config)

    @property
    def guideline_sha256(self) -> str:
        """Of the guideline's text."""
        return text_sha256(self.guideline)


@dataclass(frozen=True)
class Round:
    """One round, as it was meant when it was opened.

    Attributes:
        name: For example ``fhm_hatemm_001``; names sort in the order of the rounds.
        uid: What the server's project is found by.
        annotators: Pseudonyms whose answers count; empty: everybody's but the platform's own account.
        opened_at: UTC, ISO 8601; for people, nothing is ordered by it.
    """

    name: str
    alignment: str
    uid: str
    role: Literal["annotator", "adjudicator"]
    mode: Literal["blind", "assisted"]
    n_annotators: int
    annotators: tuple[str, ...]
    accept_imports: bool
    config: str
    guideline: str
    opened_at: str

    @property
    def definition(self) -> Definition:
        """What its annotators see."""
        return Definition(self.config, self.guideline, self.mode)


def config_sha256(config: str) -> str:
    """sha256 of a labelling config in canonical XML (C14N 2.0), so that formatting makes no other config.

    Raises:
        LabelStudioError: It is no XML.
    """
    import xml.etree.ElementTree as ET  # nosec B405

    try:
        canonical = ET.canonicalize(config, strip_text=True)
    except ET.ParseError as error:
        raise LabelStudioError(f"A labelling config is no XML: {error}. Mend label_studio/*.xml.") from error
    return text_sha256(canonical)


def config_for(template: str, *, has_media: bool, mode: Literal["blind", "assisted"]) -> str:
    """Return a round's config: the template, its picture where there is one, the model's label if assisted."""
    import xml.etree.ElementTree as ET  # nosec B405

    root = ET.fromstring(template)  # noqa: S314 (our own file) # nosec B314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {"Image", "Video"} and not has_media:
                parent.remove(child)
            if child.get("className") == "m2v-answer" and mode == "assisted":
                suggestion = ET.Element("Text", {"name": "suggestion", "value": "$suggestion"})
                parent.insert(list(parent).index(child), suggestion)
    return ET.tostring(root, encoding="unicode")


def to_ask(
    conflicts: pl.DataFrame,
    memes: pl.DataFrame,
    *,
    gold: pl.DataFrame,
    definition: Definition,
    role: Literal["annotator", "adjudicator"],
    pictures: Mapping[str, str],
    asked: Collection[str],
    open_memes: Collection[str] = (),
    earlier_configs: Collection[str] = (),
) -> pl.DataFrame:
    """Items that nobody was asked about yet, without keys; gold items come along only where there are others.

    Args:
        conflicts: Columns ``meme_id`` and ``reason`` of ``conflicts``.
        memes: Rows of ``memes``.
        gold: Columns ``meme_id`` and ``label``: memes whose label is known.
        pictures: Files of the memes' pictures, relative to the home, by meme id.
        asked: ``question_sha256`` of what is being asked or was answered.
        open_memes: Memes in an open round, which are not asked about in a second one at the same time.
        earlier_configs: ``config_sha256`` of earlier pages: another page, or a picture that is now shown or not, makes
            no other question.

    Returns:
        Columns of ``ITEM_COLUMNS`` but ``item_key``, sorted by ``meme_id``.
    """
    kind = ITEM_COLUMNS["kind"]
    wanted = conflicts.select(
        "meme_id",
        kind=pl.when(pl.col("reason") == "audit").then(pl.lit("audit")).otherwise(pl.lit("conflict")).cast(kind),
        gold=pl.lit(None, dtype=pl.Boolean),
    )
    known = gold.join(conflicts, on="meme_id", how="anti").select(
        "meme_id", kind=pl.lit("gold").cast(kind), gold="label"
    )
    content = memes.select("meme_id", "text_sha256", "image")
    rows = pl.concat([wanted, known]).join(content, on="meme_id", how="left", maintain_order="left")
    contents = rows.select("meme_id", "text_sha256", "image").rows()

    def questions(config: str) -> pl.Series:
        about = [config, definition.guideline_sha256, definition.mode, role]
        return pl.Series([text_sha256(json.dumps([*about, *row])) for row in contents], dtype=pl.String)

    rows = rows.with_columns(question_sha256=questions(definition.config_sha256))
    known = list(asked)
    pages = sorted({definition.config_sha256, *earlier_configs})
    is_known = pl.any_horizontal(questions(page).is_in(known) for page in pages)
    new = rows.filter(~is_known & ~pl.col("meme_id").is_in(list(open_memes)))
    new = new.with_columns(
        picture=pl.col("meme_id").replace_strict(dict(pictures), default=None, return_dtype=pl.String)
    )
    if not (new["kind"] != "gold").any():
        new = new.clear()
    return new.select(name for name in ITEM_COLUMNS if name != "item_key").sort("meme_id")


def keyed(items: pl.DataFrame, *, uid: str) -> pl.DataFrame:
    """Return the items with a key of their own in the round ``uid``, in the order of the keys, which is no order."""
    keys = [text_sha256(f"{uid}:{question}") for question in items["question_sha256"]]
    return items.with_columns(item_key=pl.Series(keys, dtype=pl.String)).select(list(ITEM_COLUMNS)).sort("item_key")


def coverage(items: pl.DataFrame, *, answers: pl.DataFrame, skips: pl.DataFrame, asked: Round) -> pl.DataFrame:
    """How far each item is.

    Args:
        items: Columns of ``ITEM_COLUMNS``.
        answers: Rows of ``human_labels``, gold items included; of the round.
        skips: Rows of ``skips``.

    Returns:
        Columns ``item_key``, ``meme_id``, ``n_answers``, ``n_skips`` (u32) and ``is_done``: enough people answered, or
        everybody who might has answered or skipped; sorted by ``item_key``.
    """
    answered = answers.filter(round=asked.name).group_by("meme_id").agg(n_answers=pl.len())
    skipped = skips.filter(round=asked.name).group_by("meme_id").agg(n_skips=pl.len())
    n_people = len(asked.annotators)
    is_exhausted = pl.lit(False) if not n_people else pl.col("n_answers") + pl.col("n_skips") >= n_people
    return (
        items.select("item_key", "meme_id")
        .join(answered, on="meme_id", how="left")
        .join(skipped, on="meme_id", how="left")
        .with_columns(pl.col("n_answers", "n_skips").fill_null(0))
        .with_columns(is_done=(pl.col("n_answers") >= asked.n_annotators) | is_exhausted)
        .sort("item_key")
    )


def wanting_others(cover: pl.DataFrame, *, answers: pl.DataFrame, skips: pl.DataFrame, asked: Round) -> int:
    """How many of a round's unfinished items only somebody can finish who said nothing in it yet.

    Args:
        cover: ``coverage`` of the round.
        answers, skips: Rows of ``human_labels`` and ``skips``.
    """
    spoken = [said.filter(round=asked.name)["annotator"] for said in (answers, skips)]
    n_people = pl.concat(spoken).n_unique()
    heard = pl.col("n_answers") + pl.col("n_skips")
    return cover.filter(~pl.col("is_done") & (heard >= n_people) & (n_people > 0)).height


def lost_turns(quarantined: pl.DataFrame, *, answers: pl.DataFrame, skips: pl.DataFrame) -> pl.DataFrame:
    """How many people's turns each item lost to what is in quarantine: columns ``meme_id`` and ``n_lost`` (u32).

    Args:
        quarantined: Rows of ``quarantined_answers``, of one round; as are ``answers`` and ``skips``.
    """
    # A deleted account's answers are nobody's, so each is somebody else's.
    who = pl.coalesce("annotator", pl.col("annotation_id").cast(pl.String))
    lost = quarantined.filter(pl.col("meme_id").is_not_null() & (pl.col("reason") != "beyond_overlap"))
    for counted in (answers, skips):
        lost = lost.join(counted, on=["meme_id", "annotator"], how="anti")
    return lost.group_by("meme_id").agg(n_lost=who.n_unique())


def left_open(items: pl.DataFrame, answers: pl.DataFrame, *, below: int, min_answers: int = 1) -> pl.DataFrame:
    """Items of a complete round whose votes are closer than ``below``, or too few: column ``meme_id``, sorted.

    Args:
        items: Columns of ``ITEM_COLUMNS``; gold items are never left open.
        answers: Rows of ``human_labels`` of annotators, not of an adjudicator.
    """
    lead = (2 * pl.col("label").cast(pl.Int32).sum() - pl.len().cast(pl.Int32)).abs()
    margins = answers.group_by("meme_id").agg(margin=lead, n=pl.len())
    asked = items.filter(pl.col("kind") != "gold").select("meme_id").join(margins, on="meme_id", how="left")
    is_open = (pl.col("margin").fill_null(0) < below) | (pl.col("n").fill_null(0) < min_answers)
    return asked.filter(is_open).select("meme_id").sort("meme_id")
