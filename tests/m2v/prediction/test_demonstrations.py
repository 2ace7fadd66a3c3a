"""Few-shot examples: which are drawn, which are refused, and what a model is shown of items."""

import polars as pl
import pytest

from m2v import schemas
from m2v.errors import InvalidRows
from m2v.prediction import demonstrations
from tests import vlms


def videos(n: int = 40, **changes: dict[int, object]) -> pl.DataFrame:
    rows = [
        {
            "video_id": f"v{place:02d}",
            "split": ("train", "validation", "test")[place % 3],
            "text": f"leek {place}",
            "label": place % 2 == 0,
            "video": None,
            "audio": None,
            "text_sha256": f"{place:064d}",
        }
        for place in range(n)
    ]
    for column, values in changes.items():
        for place, value in values.items():
            rows[place][column] = value
    return pl.DataFrame(rows, schema=dict(schemas.VIDEOS.columns))


def test_as_many_of_either_label_are_drawn_out_of_the_split_and_in_turn() -> None:
    drawn = demonstrations.draw(videos(), split="train", n=6, seed=1, leaks=schemas.REJECTS.empty())
    schemas.DEMONSTRATIONS.validate(drawn)
    assert drawn["label"].to_list() == [True, False] * 3
    split = dict(videos().select("video_id", pl.col("split").cast(pl.String)).iter_rows())
    assert {split[name] for name in drawn["video_id"]} == {"train"}
    assert drawn["video_id"].n_unique() == 6


def test_the_seed_decides_and_other_videos_do_not() -> None:
    none = schemas.REJECTS.empty()
    one = demonstrations.draw(videos(), split="train", n=6, seed=1, leaks=none)
    assert one.equals(demonstrations.draw(videos().reverse(), split="train", n=6, seed=1, leaks=none))
    assert not one.equals(demonstrations.draw(videos(), split="train", n=6, seed=2, leaks=none))
    # One more video of another split changes nothing.
    assert one.equals(
        demonstrations.draw(videos(41).filter(pl.col("video_id") != "v38"), split="train", n=6, seed=1, leaks=none)
    )


def test_nothing_is_drawn_that_stands_in_another_split_or_has_no_text() -> None:
    listed = videos(12, text={0: " "})
    twice = pl.concat([listed, listed.filter(video_id="v06").with_columns(split=pl.lit("test").cast(schemas.SPLITS))])
    leaks = pl.DataFrame(
        [{"dataset": "garden", "item_id": "v03", "split": "train", "reason": "leak", "detail": ""}],
        schema={**dict(schemas.REJECTS.columns), "reason": pl.String},
    ).cast({"reason": schemas.REJECTS.columns["reason"]}, strict=False)
    # Of the train split's v00, v03, v06 and v09, only v09 may be drawn.
    with pytest.raises(InvalidRows, match="train has 0 positive videos that can be drawn, 1 are wanted"):
        demonstrations.draw(twice, split="train", n=2, seed=0, leaks=leaks)
    for seed in range(10):
        drawn = demonstrations.draw(videos(12), split="train", n=2, seed=seed, leaks=leaks)
        assert drawn.filter(~pl.col("label"))["video_id"].to_list() == ["v09"]


def test_a_demonstration_of_the_test_split_is_refused_by_name() -> None:
    chosen = pl.DataFrame({"video_id": ["v00", "v02"]})
    with pytest.raises(InvalidRows, match="v02 stand in the test split"):
        demonstrations.refuse_tested(chosen, videos())
    demonstrations.refuse_tested(chosen.head(1), videos())


def features(**frames: list[float]) -> pl.DataFrame:
    """Videos with frames of these variances."""
    rows = [
        {
            "video_id": name,
            "frames": [f"{name}/{place}.jpg" for place in range(len(each))],
            "frame_sha256": [f"{name}{place}" for place in range(len(each))],
            "frame_variance": each,
            "transcript": "heard",
        }
        for name, each in frames.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"frames": pl.List(pl.String), "frame_variance": pl.List(pl.Float64)})


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"n_frames": 1}, ["a/2.jpg"]),
        ({"n_frames": 2}, ["a/1.jpg", "a/3.jpg"]),
        ({"n_frames": 4}, ["a/0.jpg", "a/1.jpg", "a/2.jpg", "a/3.jpg"]),
        ({"n_frames": 6}, ["a/0.jpg", "a/1.jpg", "a/1.jpg", "a/2.jpg", "a/3.jpg", "a/3.jpg"]),
        ({"n_frames": 1, "frame_variance": 100.0}, ["a/1.jpg"]),
        ({"n_frames": 1, "frame_variance": 1000.0}, ["a/3.jpg"]),
    ],
)
def test_a_video_is_shown_as_the_frames_that_its_model_wants(settings: dict, shown: list[str]) -> None:
    listed = videos(1).with_columns(video_id=pl.lit("a"))
    model = vlms.entry("mllama", **settings)
    found = demonstrations.of_videos(listed, features(a=[5.0, 400.0, 700.0, 3.0]), model=model).row(0, named=True)
    assert found["pictures"] == shown
    assert found["pictures_sha256"] == [path.replace("/", "").removesuffix(".jpg") for path in shown]
    assert found["text"] == "heard"


def test_a_video_without_frames_or_features_is_shown_as_its_text() -> None:
    listed = videos(2)
    model = vlms.entry("mllama")
    found = demonstrations.of_videos(listed, features(v00=[]), model=model)
    assert found["pictures"].to_list() == [[], []]
    assert found["text"].to_list() == ["heard", "leek 1"]
    assert demonstrations.of_videos(listed, None, model=model)["pictures"].to_list() == [[], []]


def test_a_meme_whose_picture_cannot_be_used_is_shown_as_its_text() -> None:
    memes = pl.DataFrame({"meme_id": ["a", "b"], "text": ["x", "y"]})
    rows = [
        {"meme_id": "a", "path": "p/a.png", "pixels_sha256": "1", "problem": None},
        {"meme_id": "b", "path": None, "pixels_sha256": None, "problem": "unreadable"},
    ]
    images = pl.DataFrame(rows, schema=dict(schemas.MEME_IMAGES.columns))
    assert demonstrations.of_memes(memes, images)["pictures"].to_list() == [["p/a.png"], []]
    assert demonstrations.of_memes(memes, None)["pictures"].to_list() == [[], []]
