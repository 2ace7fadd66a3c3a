import polars as pl

from m2v import schemas
from m2v.evaluation.facets import by_media, by_modalities, unknown
from tests import tables


def test_media_say_how_long_and_whether_somebody_speaks() -> None:
    videos = [
        {"video_id": "a", "duration_s": 29.9, "transcript_source": "whisper"},
        {"video_id": "b", "duration_s": 30.0, "transcript_source": "none", "voice_s": 0.0},
        {"video_id": "c", "duration_s": 120.0, "transcript_source": "whisper", "voice_s": 3.5},
        {"video_id": "d", "transcript_source": "dataset", "problem": "missing"},  # neither length nor sound
        {"video_id": "e", "transcript_source": "none"},  # listened to as "a" was, and nothing said
        {"video_id": "f", "transcript_source": "none", "audio_problem": "silent"},  # nothing to listen to
    ]
    empty = {"frames": [], "frame_times_s": [], "frame_sha256": [], "frame_variance": [], "transcript": ""}
    found = by_media(tables.frame(schemas.VIDEO_FEATURES, videos, **empty))

    assert found.rows() == [
        ("a", "duration", "below 30 s"),
        ("b", "duration", "30 s to 2 min"),
        ("c", "duration", "2 min or more"),
        ("a", "speech", "yes"),
        ("b", "speech", "no"),
        ("c", "speech", "yes"),
        ("e", "speech", "no"),
    ]
    unheard = by_media(tables.frame(schemas.VIDEO_FEATURES, videos[4:], **empty))
    assert unheard.is_empty()  # no model listened to any


def seen(modality: str, **items: bool) -> pl.DataFrame:
    return pl.DataFrame({"item_id": list(items), "has_vector": list(items.values())}).with_columns(
        role=pl.lit("item"), modality=pl.lit(modality)
    )


def test_modalities_name_the_parts_that_an_item_has() -> None:
    found = by_modalities([seen("text", a=True, b=False, c=True), seen("frames", a=True, b=False, c=False)])

    assert found.rows() == [
        ("a", "modalities", "frames + text"),
        ("b", "modalities", "none"),
        ("c", "modalities", "text"),
    ]
    assert by_modalities([seen("text", a=True)]).is_empty()  # one kind of part divides nothing


def test_what_no_facet_is_about_is_named() -> None:
    left = unknown(["victim", "words", "component", "class", "speech", "bed"])
    assert left == ["stance", "language", "text in the picture", "source"]
