from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from m2v import catalog, schemas
from m2v.datasets import integrity, readers
from m2v.lineage.findings import Finding
from tests import tables

VIDEOS = tables.videos(
    {"video_id": "clean", "text": "a leek", "audio": "clean.mp3"},
    {"video_id": "twice", "text": "a pea", "audio": "twice.mp3", "split": "train"},
    {"video_id": "twice", "text": "a bean", "audio": "twice.mp3", "split": "test"},  # the same id in a later split
    {"video_id": "copy", "text": "a beet", "audio": "copy.mp3", "split": "train"},
    {"video_id": "original", "text": "a beet", "audio": "original.mp3", "split": "validation"},  # the same text
    {"video_id": "mute", "text": "", "split": "train"},  # empty texts are no copies of each other
    {"video_id": "blank", "text": "  ", "audio": "blank.mp3", "split": "test"},
    {"video_id": "blank2", "text": "  ", "audio": "blank2.mp3", "split": "train"},
    {"video_id": "within", "text": "a leek", "audio": "within.mp3", "split": "train"},  # one split is no leak
)


def demonstrations(*ids: str) -> pl.DataFrame:
    rows = [{"position": n, "video_id": id_, "label": True, "text": "a leek"} for n, id_ in enumerate(ids)]
    return tables.frame(schemas.DEMONSTRATIONS, rows)


def test_what_is_wrong_with_videos_is_found() -> None:
    def finding(check: str, summary: str, *ids: str, **figures: int) -> Finding:
        return Finding(check, "videos", "bed", is_fine=False, summary=summary, ids=ids, figures={**figures})

    assert integrity.video_findings(VIDEOS, variant="bed") == [
        finding("ids_in_one_split", "1 videos stand in more than one split.", "twice", n_rows=2),
        finding(
            "texts_in_one_split",
            "1 distinct texts stand in more than one split, in 2 rows.",
            "copy",
            "original",
            n_rows=2,
            n_texts=1,
        ),
        finding("texts_present", "3 of 9 videos have no text.", "blank", "blank2", "mute", n_rows=3),
        finding("audio_present", "1 of 9 videos have no audio.", "mute", n_rows=1),
    ]


def test_clean_videos_are_fine() -> None:
    clean = VIDEOS.filter(pl.col("video_id").is_in(["clean", "within", "original"]))
    found = integrity.video_findings(clean, variant="bed")
    assert [(finding.is_fine, finding.ids) for finding in found] == [(True, ())] * 4


def test_repeated_and_empty_meme_texts_are_found() -> None:
    memes = tables.memes(
        {"meme_id": "1", "text": "a leek", "label": True},
        {"meme_id": "2", "text": "a leek", "label": False},  # contradicts 1
        {"meme_id": "3", "text": "a pea"},
        {"meme_id": "4", "text": "a pea"},
        {"meme_id": "5", "text": ""},
        {"meme_id": "6", "text": ""},  # no text is no repeated text
        {"meme_id": "7", "text": "a beet"},
    )
    unique, present = integrity.meme_findings(memes, variant="bed")
    assert (unique.check, unique.is_fine, unique.ids) == ("texts_unique", False, ("1", "2", "3", "4"))
    assert unique.figures == {"n_texts": 2, "n_memes": 4, "n_contradictory": 2}
    assert (present.check, present.is_fine, present.ids) == ("texts_present", False, ("5", "6"))
    assert [f.is_fine for f in integrity.meme_findings(memes.filter(meme_id="7"), variant="bed")] == [True, True]


def test_demonstrations_are_looked_up_in_the_splits() -> None:
    shown = demonstrations("clean", "original", "blank", "twice", "elsewhere")
    (finding,) = integrity.demonstration_findings(shown, VIDEOS, variant="bed")
    assert not finding.is_fine
    assert finding.ids == ("blank", "clean", "original", "twice")
    assert finding.figures == {
        "n_train": 2,
        "n_validation": 1,
        "n_test": 2,  # twice is in train and in test
        "n_unknown": 1,
        "n_trained_on_in_paper_mode": 3,
    }
    (fine,) = integrity.demonstration_findings(demonstrations("elsewhere"), VIDEOS, variant="bed")
    assert fine.is_fine


def test_a_demonstration_of_the_target_must_not_be_trained_on() -> None:
    examples = tables.frame(
        schemas.TRAINING_EXAMPLES,
        [
            {"dataset": "bed", "item_id": "clean"},
            {"dataset": "pods", "item_id": "original"},  # a meme that happens to have a demonstration's id
        ],
        split="train",
        text="a leek",
        label=True,
        label_source="video",
    )
    (finding,) = integrity.training_findings(
        examples, demonstrations("clean", "original"), target="bed", variant="vid_ft_bed"
    )
    assert (finding.is_fine, finding.ids, finding.figures) == (False, ("clean",), {"n_trained_on": 1})
    (fine,) = integrity.training_findings(examples, demonstrations("original"), target="bed", variant="vid_ft_bed")
    assert fine.is_fine


def test_the_earlier_copy_is_rejected() -> None:
    expected = tables.frame(
        schemas.REJECTS,
        [
            {"item_id": "copy", "split": "train", "reason": "text_in_other_split", "detail": "also in validation"},
            {"item_id": "twice", "split": "train", "reason": "id_in_other_split", "detail": "also in test"},
        ],
        dataset="bed",
    )
    assert_frame_equal(integrity.leaks(VIDEOS, dataset="bed"), expected)


def test_the_detail_is_about_the_reason() -> None:
    videos = tables.videos(
        {"video_id": "both", "text": "a pea", "split": "train"},
        {"video_id": "both", "text": "a bean", "split": "validation"},
        {"video_id": "other", "text": "a pea", "split": "test"},
    )
    leaks = integrity.leaks(videos, dataset="bed")
    assert leaks.select("item_id", "split", "reason", "detail").rows() == [
        ("both", "train", "id_in_other_split", "also in validation")
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from(["train", "validation", "test"]),
            st.sampled_from(["", " ", "a leek", "a pea", "a bean", "a beet"]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[:2],
    )
)
def test_without_leaks_nothing_stands_in_two_splits(rows: list[tuple[str, str, str]]) -> None:
    videos = tables.videos(*({"video_id": id_, "split": split, "text": text} for id_, split, text in rows))
    leaks = schemas.REJECTS.validate(integrity.leaks(videos, dataset="bed"))
    kept = videos.join(leaks, left_on=["video_id", "split"], right_on=["item_id", "split"], how="anti")
    for finding in integrity.video_findings(kept, variant="bed")[:2]:
        assert finding.is_fine, finding
    assert kept.filter(split="test").height == videos.filter(split="test").height
    # Nothing goes without cause: its id or its text stands in a later split.
    for item_id, split, text in (
        leaks.join(videos, left_on=["item_id", "split"], right_on=["video_id", "split"])
        .select("item_id", "split", "text")
        .rows()
    ):
        later = videos.filter(pl.col("split") > pl.lit(split).cast(schemas.SPLITS))
        assert item_id in later["video_id"] or (text.strip() and text in later["text"])


def test_the_published_tables_have_these_flaws(published: dict[str, Path]) -> None:
    plan = catalog.open_study("published")
    found: dict[tuple[str, str], Finding] = {}
    heights = {}
    for target in plan.targets:
        videos = schemas.VIDEOS.validate(readers.videos(target, files=published))
        shown = schemas.DEMONSTRATIONS.validate(readers.demonstrations(target, files=published))
        findings = integrity.video_findings(videos, variant=target.name)
        findings += integrity.demonstration_findings(shown, videos, variant=target.name)
        found |= {(target.name, finding.check): finding for finding in findings}
        heights[target.name] = [n for _, n in videos.group_by("split").len().sort("split").rows()]
        heights[f"{target.name} leaks"] = integrity.leaks(videos, dataset=target.name).height
    assert heights == {"hatemm": [762, 97, 220], "hatemm leaks": 19, "mhc": [701, 100, 200], "mhc leaks": 3}
    assert found["mhc", "ids_in_one_split"].ids == ("k9OtaMbK0Ac",)
    assert found["hatemm", "ids_in_one_split"].is_fine
    assert found["hatemm", "texts_in_one_split"].figures == {"n_rows": 27, "n_texts": 6}
    assert found["mhc", "texts_in_one_split"].figures == {"n_rows": 6, "n_texts": 3}
    assert len(found["hatemm", "texts_present"].ids) == 57
    assert len(found["hatemm", "audio_present"].ids) == 14
    assert found["mhc", "texts_present"].is_fine
    assert found["mhc", "audio_present"].is_fine
    for target in ("hatemm", "mhc"):
        held_out = found[target, "demonstrations_held_out"]
        assert not held_out.is_fine
        assert held_out.figures == {
            "n_train": 0,
            "n_validation": 8,
            "n_test": 0,
            "n_unknown": 0,
            "n_trained_on_in_paper_mode": 8,
        }


def test_the_published_recordings_are_complete(published: dict[str, Path]) -> None:
    n_answers = {}
    for alignment in catalog.open_study("published").alignments:
        memes = schemas.MEMES.validate(readers.memes(alignment.memes, files=published))
        predictions = schemas.PREDICTIONS.validate(
            readers.recorded_predictions(alignment, files=published, memes=memes)
        )
        answers = schemas.HUMAN_LABELS.validate(readers.recorded_answers(alignment, files=published))
        votes = readers.recorded_votes(alignment, files=published)
        assert memes.height == predictions.height == votes.height == 3000
        disagreed = predictions.filter(pl.col("original") != pl.col("predicted"))["meme_id"]
        assert answers["meme_id"].to_list() == disagreed.to_list()  # people were asked exactly there
        n_answers[alignment.name] = answers.height
    assert n_answers == {"fhm_hatemm": 1136, "fhm_mhc": 1223, "mami_hatemm": 1295, "mami_mhc": 1617}


def test_repeated_texts_of_the_published_memes(published: dict[str, Path]) -> None:
    figures = {}
    for dataset in catalog.open_study("published").memes:
        unique, present = integrity.meme_findings(readers.memes(dataset, files=published), variant=dataset.name)
        figures[dataset.name] = (unique.figures["n_texts"], unique.figures["n_memes"], present.is_fine)
    assert figures == {"fhm": (196, 462, True), "mami": (8, 17, True)}


def pictures(**hashes: str | None) -> pl.DataFrame:
    rows = [
        {"meme_id": name, "perceptual_hash": digest, "problem": None if digest else "missing"}
        for name, digest in hashes.items()
    ]
    return pl.DataFrame(rows, schema=dict(schemas.MEME_IMAGES.columns))


ALIKE, ALMOST, OTHER = "00000000000000ff", "00000000000000f0", "ffff0000ffff0000"


def test_pictures_that_look_alike_are_found_and_those_in_different_splits_counted() -> None:
    images = pictures(a=ALIKE, b=ALMOST, c=OTHER, d=ALIKE, e=None)
    splits = ["train", "train", "train", "test", "test"]
    memes = pl.DataFrame({"meme_id": list("abcde"), "split": splits})
    images = images.with_columns(is_torn=pl.col("meme_id") == "c")
    usable, whole, unique = integrity.picture_findings(images, memes, variant="veggie")
    assert (whole.is_fine, whole.ids, whole.figures) == (False, ("c",), {"n_torn": 1})
    older = integrity.picture_findings(images.drop("is_torn"), memes, variant="veggie")
    assert older[1].is_fine, "versions that do not say"
    assert (usable.is_fine, usable.ids, usable.figures) == (False, ("e",), {"n_pictures": 5, "n_missing": 1})
    assert not unique.is_fine
    assert unique.ids == ("a", "b", "d")
    assert unique.figures == {"n_alike": 3, "n_pairs": 3, "n_pairs_across_splits": 2}


def test_pictures_that_two_datasets_share_are_found() -> None:
    found = integrity.shared_pictures({"fhm": pictures(a=ALIKE, b=ALIKE, c=OTHER), "mami": pictures(a=ALMOST, d=None)})
    assert (found.is_fine, found.ids) == (False, ("fhm/a", "fhm/b", "mami/a"))
    assert found.figures == {"n_alike": 3, "n_pairs": 2}
    assert integrity.shared_pictures({"fhm": pictures(a=ALIKE), "mami": pictures(a=OTHER)}).is_fine


def test_near_duplicates_are_all_pairs_within_so_many_bits() -> None:
    random = np.random.default_rng(5)
    values = random.integers(0, 2**63, 60)
    # Neighbours of some, one to nine bits away.
    near = [
        int(value) ^ sum(1 << int(bit) for bit in random.choice(64, n, replace=False))
        for n, value in enumerate(values[:9], start=1)
    ]
    hashes = {f"{place:03d}": f"{value:016x}" for place, value in enumerate([*map(int, values), *near])}
    plain = [
        (one, other)
        for one in hashes
        for other in hashes
        if one < other and (int(hashes[one], 16) ^ int(hashes[other], 16)).bit_count() <= 6
    ]
    assert integrity.near_duplicates(hashes) == sorted(plain)
    assert len(plain) >= 6


def test_videos_without_a_frame_are_named() -> None:
    rows = [
        {"video_id": "a", "problem": None, "audio_problem": "no audio stream"},
        {"video_id": "b", "problem": "audio only", "audio_problem": None},
    ]
    (found,) = integrity.feature_findings(
        pl.DataFrame(rows, schema=dict(schemas.VIDEO_FEATURES.columns)), variant="garden"
    )
    assert (found.is_fine, found.ids) == (False, ("b",))
    assert "audio only" in found.summary
