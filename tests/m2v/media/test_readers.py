"""Text in pictures and speech, by the real models that packages carry: a sentence goes in and comes back."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from m2v import catalog, schemas
from m2v.entries.readers import FasterWhisper, Ocr
from m2v.errors import ChecksumMismatch, MissingSource
from m2v.media import readings, speech, texts
from m2v.robustness import films
from tests import tables

OCR = catalog.load().models["rapidocr"]
TINY = catalog.load().models["whisper-tiny-en"]
assert isinstance(OCR, Ocr)
assert isinstance(TINY, FasterWhisper)


class Steps:
    def __init__(self) -> None:
        self.n = 0

    def step(self, *_: object, **__: object) -> None:
        self.n += 1


def picture(path: Path, *lines: str, size: int = 34) -> str:
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf", size)
    image = Image.new("RGB", (640, 400), (70, 120, 70))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((30, 30 + 300 * number), line, font=font, fill="white", stroke_width=2, stroke_fill="black")
    image.save(path)
    return path.name


def test_a_sentence_in_a_picture_comes_back(tmp_path: Path) -> None:
    pictures = {
        "a" * 64: picture(tmp_path / "a.png", "LEEKS ARE LATE AGAIN", "said every onion"),
        "b" * 64: picture(tmp_path / "b.png"),
    }
    steps = Steps()
    found = readings.read(pictures, entry=OCR, home=tmp_path, report=steps)  # pyright: ignore[reportArgumentType]
    with_text, empty = found.to_dicts()

    assert with_text["lines"] == ["LEEKS ARE LATE AGAIN", "said every onion"]
    assert min(with_text["confidences"]) > 0.9
    left, top, *_ = with_text["boxes"][1]
    assert 0 < left < 0.1
    assert 0.75 < top < 0.9
    assert (empty["lines"], empty["boxes"]) == ([], [])
    assert steps.n == 2
    # Nothing is read twice, wherever the pictures are by now.
    (tmp_path / "a.png").unlink()
    assert readings.read(pictures, entry=OCR, home=tmp_path, report=steps).equals(found)  # pyright: ignore[reportArgumentType]
    assert steps.n == 2


def test_lines_that_are_not_sure_are_left_out() -> None:
    assert texts.text(["leek", "x"], [0.9, 0.3], min_confidence=0.5) == ("leek", 0.9)
    said, confidence = texts.text(["leek", "peas"], [0.5, 0.9], min_confidence=0.5)
    assert (said, confidence) == ("leek\npeas", pytest.approx(0.7))
    assert texts.text(["x"], [0.1], min_confidence=0.5) == ("", None)


def test_another_version_of_the_package_says_what_to_do(tmp_path: Path) -> None:
    other = OCR.model_copy(update={"version": "0.0.1"})
    with pytest.raises(MissingSource, match=r"rapidocr 0\.0\.1, and .* is installed.*pip install '\.\[ocr\]'"):
        readings.read({"a" * 64: "a.png"}, entry=other, home=tmp_path, report=Steps())  # pyright: ignore[reportArgumentType]


def test_a_spoken_sentence_comes_back_and_silence_stays_silent(tmp_path: Path) -> None:
    said = films.spoken("The carrots went to the market this morning.", tmp_path / "said.wav", pause_s=1.0)
    silent = tmp_path / "silent.wav"
    noise(silent, seconds=6)
    sounds = {"a" * 64: said, "b" * 64: silent}
    steps = Steps()
    heard = speech.transcribe(sounds, model=TINY, home=tmp_path, report=steps)  # pyright: ignore[reportArgumentType]

    words = heard["a" * 64].transcript.lower()
    assert "carrots went to the market" in words
    assert 1 < (heard["a" * 64].voice_s or 0) < 5
    assert heard["b" * 64] == speech.Heard("", 0.0)
    said.unlink()
    assert speech.transcribe(sounds, model=TINY, home=tmp_path, report=steps) == heard  # pyright: ignore[reportArgumentType]
    assert steps.n == 2


def noise(path: Path, *, seconds: int) -> None:
    import wave

    samples = np.random.default_rng(0).normal(0, 300, 16_000 * seconds).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"package": "no_such_leek"}, MissingSource, "pip install no-such-leek"),
        ({"weights_sha256": "0" * 64}, ChecksumMismatch, "model.bin"),
        (
            {"package": None, "hub": "leeks/none", "revision": "0" * 40},
            MissingSource,
            "leeks/none at revision 000000000000 are not on this machine",
        ),
    ],
)
def test_a_model_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, error: type[Exception], words: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    noise(tmp_path / "a.wav", seconds=1)
    entry = TINY.model_copy(update=change)
    with pytest.raises(error, match=words):
        speech.transcribe({"a" * 64: tmp_path / "a.wav"}, model=entry, home=tmp_path, report=Steps())  # pyright: ignore[reportArgumentType]


def test_a_model_comes_from_one_place() -> None:
    with pytest.raises(ValidationError, match="name either package"):
        FasterWhisper.model_validate({**TINY.model_dump(), "hub": "leeks/none", "revision": "0" * 40})


MEMES = tables.memes(
    {"meme_id": "own", "text": "a leek"}, {"meme_id": "read", "text": " "}, {"meme_id": "no", "text": ""}
)
IMAGES = tables.frame(
    schemas.MEME_IMAGES,
    [
        {"meme_id": "own", "path": "o.png", "pixels_sha256": "o"},
        {"meme_id": "read", "path": "r.png", "pixels_sha256": "r"},
        {"meme_id": "no", "problem": "missing"},
    ],
)
READ = pl.DataFrame(
    {"pixels_sha256": ["r"], "lines": [["peas", "?"]], "confidences": [[0.9, 0.1]], "boxes": [[[0.0] * 8] * 2]},
    schema=readings.READINGS,
)


def test_only_memes_without_a_text_are_read_and_their_own_text_stays() -> None:
    assert texts.unread(MEMES, IMAGES).rows() == [("r", "r.png")]
    rows = texts.of_memes(MEMES, IMAGES, READ, min_confidence=0.5)
    schemas.ITEM_TEXTS.validate(rows)
    assert rows.select("item_id", "text", "text_source", "confidence").rows() == [
        ("no", "", "none", None),
        ("own", "a leek", "dataset", None),
        ("read", "peas", "picture", 0.9),
    ]
    put = texts.put_in(MEMES, rows)
    assert put.columns == MEMES.columns
    assert put.select("meme_id", "text").rows() == [("own", "a leek"), ("read", "peas"), ("no", "")]
    assert put["text_sha256"].to_list() == [tables.sha256(text) for text in ("a leek", "peas", "")]
    found = texts.finding(rows, variant="veggie")
    assert (found.is_fine, found.ids) == (False, ("no",))
    assert found.summary == "1 texts are the dataset's, 1 were read in pictures, 1 items have none."


def test_videos_without_a_transcript_have_what_was_heard() -> None:
    videos = tables.videos(
        {"video_id": "own", "text": "a leek"}, {"video_id": "heard", "text": ""}, {"video_id": "no", "text": ""}
    )
    features = tables.frame(
        schemas.VIDEO_FEATURES,
        [
            {"video_id": name, "transcript": said, "transcript_source": source}
            for name, said, source in (("own", "a leek", "dataset"), ("heard", "peas", "whisper"), ("no", "", "none"))
        ],
        frames=[],
        frame_times_s=[],
        frame_sha256=[],
        frame_variance=[],
    )
    rows = texts.of_videos(videos, features)
    assert rows.select("item_id", "text", "text_source").rows() == [
        ("heard", "peas", "speech"),
        ("no", "", "none"),
        ("own", "a leek", "dataset"),
    ]
