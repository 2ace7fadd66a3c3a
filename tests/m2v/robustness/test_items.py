"""Operators on items: what each makes of a text and its frames, and what it cannot change."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

from m2v import catalog, schemas
from m2v.catalog import augmenting
from m2v.entries.operators import Operator
from m2v.errors import InvalidCatalog, Unusable
from m2v.files.digests import text_sha256
from m2v.robustness import items, new_videos, program, registry
from m2v.robustness.items import Item
from tests.m2v.robustness.test_pictures import bed

OURS = {name: entry for name, entry in catalog.load().operators.items() if registry.makes_items(entry)}
ITEM = Item("v1", "the turnips ate a carrot", (bed(), bed()))
DONOR = Item("v2", "leeks on sale", (Image.new("RGB", (160, 120), "white"),) * 2)
SAME_TEXT = {"blur", "low-contrast", "rotation", "dense-background", "frame", "film", "harmless-frames"}


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_kind_changes_an_item_and_always_the_same_way(name: str) -> None:
    new, again = (items.changed(OURS[name], ITEM, donor=DONOR) for _ in range(2))
    assert new.text == again.text
    assert all(same(one, other) for one, other in zip(new.frames, again.frames, strict=True))
    assert (new.text == ITEM.text) == (name in SAME_TEXT)
    assert new.item_id == "v1"
    shows = registry.of(OURS[name]).needs_frames or name == "neutral"
    assert all(same(one, other) for one, other in zip(new.frames, ITEM.frames, strict=True)) == (not shows)


def test_our_catalog_has_every_kind_and_controls_flag_nothing() -> None:
    assert {entry.kind for entry in OURS.values()} == set(items.CHANGES)
    assert {name for name, entry in OURS.items() if entry.label == "control"} == {"counter-speech", "neutral"}


def test_text_moves_into_the_frames_and_nothing_stays() -> None:
    assert items.changed(OURS["text-in-picture"], ITEM, donor=DONOR).text == ""
    assert items.changed(OURS["half-and-half"], ITEM, donor=DONOR).text == "the turnips ate"


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("leetspeak", Item("v1", "")),
        ("emoji", Item("v1", "nothing but verbs")),
        ("text-in-picture", Item("v1", "no frame to write it into")),
        ("blur", Item("v1", "no frame")),
    ],
)
def test_what_cannot_be_changed_is_said(name: str, item: Item) -> None:
    with pytest.raises(Unusable):
        items.changed(OURS[name], item, donor=DONOR)


def test_new_items_are_videos_with_their_own_frames() -> None:
    row = ("leetspeak", "v1~leetspeak", "v1", None, True, "7h3", ["media/made/a.png"], ["a"])
    made = pl.DataFrame([row], schema=program.MADE, orient="row")
    videos = schemas.VIDEOS.validate(new_videos.as_videos(made))
    assert videos.select("video_id", "split", "label", "text_sha256").row(0) == (
        "v1~leetspeak", "test", True, text_sha256("7h3"),
    )  # fmt: skip
    empty = {name: [None] for name in schemas.VIDEO_FEATURES.columns}
    parents = pl.DataFrame(empty | {"video_id": ["v1"]}, schema=dict(schemas.VIDEO_FEATURES.columns))
    media = new_videos.as_media(made, parents)
    assert media is not None
    assert media.select("video_id", "frames", "frame_sha256", "transcript").row(0) == (
        "v1~leetspeak", ["media/made/a.png"], ["a"], "7h3",
    )  # fmt: skip


def test_nothing_trains_on_new_texts() -> None:
    [run] = catalog.open_study("sample-live").runs[:1]
    with pytest.raises(InvalidCatalog, match="detectors are scored only"):
        augmenting.augmented(run, [OURS["leetspeak"]], share=None, study="mine")


def test_a_strength_above_one_is_refused() -> None:
    with pytest.raises(InvalidCatalog, match="at most 1"):
        registry.check(Operator(name="x", title="x", kind="blur", modality="frames", label="stays", strength=2))
