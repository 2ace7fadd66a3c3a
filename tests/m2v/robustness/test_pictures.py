"""Text in pictures is read again by real OCR; changes of pictures leave their picture alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from m2v.errors import MissingSource, Unusable
from m2v.media import readings
from m2v.programs.progress import quiet
from m2v.robustness import pictures
from tests.m2v.media.test_readers import OCR
from tests.m2v.robustness.test_texts import drawn

SAID = "the turnips in this garden have had a good rainy summer and grandma is growing leeks beside the path"
CHANGES = [pictures.blur, pictures.low_contrast, pictures.rotation, pictures.dense_background, pictures.frame]


def bed() -> Image.Image:
    image = Image.new("RGB", (160, 120), (180, 210, 240))
    ImageDraw.Draw(image).rectangle((0, 80, 160, 120), fill=(110, 70, 30))
    return image


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pictures.written(bed(), SAID).save(tmp_path / "a.png")
    [read] = readings.read({"a": "a.png"}, entry=OCR, home=tmp_path, report=quiet())["lines"].to_list()
    assert " ".join(read).split() == SAID.split()


def test_long_texts_are_written_smaller_and_too_long_ones_not_at_all() -> None:
    heights = []
    for n in (1, 10):
        pixels = np.asarray(pictures.written(bed(), " ".join([SAID] * n))).astype(int)
        heights.append(np.flatnonzero((pixels.min(axis=2) > 250).any(axis=1)).max())
    assert heights[0] < heights[1]
    with pytest.raises(Unusable, match="cannot be read in a picture of 1120 by 840"):
        pictures.written(bed(), " ".join([SAID] * 40))
    with pytest.raises(Unusable, match="cannot be read"):
        pictures.written(bed(), "leek" * 100)  # one word that no line has room for


def test_letters_that_the_font_lacks() -> None:
    with pytest.raises(Unusable, match="Name a font of its script"):
        pictures.written(bed(), "蔬菜")
    same = np.asarray(pictures.written(bed(), "leeks"))
    assert np.array_equal(np.asarray(pictures.written(bed(), "leeks 🥕")), same)  # no letter, so left out
    with pytest.raises(MissingSource, match="cannot be read"):
        pictures.written(bed(), "leeks", font=Path(__file__))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_has_a_strength_and_a_seed(change) -> None:
    picture = pictures.written(bed(), "leeks")
    before = picture.tobytes()
    weak, strong = (change(picture, strength=strength, draw=drawn(3)) for strength in (0.3, 1.0))
    assert picture.tobytes() == before
    assert change(picture, strength=1.0, draw=drawn(3)).tobytes() == strong.tobytes()
    assert len({before, weak.tobytes(), strong.tobytes()}) == 3
    assert strong.mode == "RGB"


def test_what_changes_do() -> None:
    picture = bed()

    def spread(image: Image.Image) -> float:
        return float(np.asarray(image, dtype=float).std(axis=(0, 1)).mean())

    assert spread(pictures.low_contrast(picture, strength=1, draw=drawn(0))) == pytest.approx(
        spread(picture) / 10, rel=0.2
    )
    framed = pictures.frame(picture, strength=1, draw=drawn(0))
    assert framed.size == (160 + 2 * 40, 120 + 2 * 40)
    assert framed.crop((40, 40, 200, 160)).tobytes() == picture.tobytes()
    turned = {pictures.rotation(picture, strength=1, draw=drawn(seed)).tobytes() for seed in range(8)}
    assert len(turned) == 2  # to either side


def test_shares_of_a_text_are_all_of_it() -> None:
    assert pictures.shares("one two three four five", 2) == ["one two", "three four five"]
    assert pictures.shares("one", 3) == ["", "", "one"]
    assert pictures.shares("", 2) == ["", ""]
