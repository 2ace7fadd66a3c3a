"""Text written into pictures, and changes of pictures that people see through.

Pictures are RGB and are not changed; each function returns a new one. Changes take a ``strength`` from 0 to 1 and a
``draw``.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageStat, features

from m2v.errors import MissingSource, Unusable
from m2v.media.images import SIDE

# Smaller letters are hard to read for people and for OCR. In a picture of 1,120 by 840 there is room for about 1,900.
SMALLEST_PX, LARGEST_PX = 20, 56
# At full strength, of the longer side.
BLUR_SHARE, FRAME_SHARE = 0.02, 0.25
CONTRAST_LOST, TURN_DEGREES, N_SHAPES, SHAPES_ALPHA = 0.9, 30, 300, 0.45


def written(picture: Image.Image, text: str, *, font: Path | None = None) -> Image.Image:
    """Return the picture at 1,120 pixels with a text written over it: white with a black edge, as memes have it.

    Args:
        font: TrueType or OpenType; absent: DejaVu Sans, which has Latin, Greek and Cyrillic letters.

    Raises:
        Unusable: The font lacks a letter of the text, or the text is too long to be read in one picture. Signs that are
            no letters and that the font lacks are left out.
    """
    chosen = font or _dejavu()
    words = "".join(sign if _glyphs(chosen).get(ord(sign)) else " " for sign in _writable(text, chosen)).split()
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    image = picture.resize(size, Image.Resampling.LANCZOS)
    # The largest letters that leave some of the picture to be seen, else the smallest.
    for size_px in (*range(LARGEST_PX, SMALLEST_PX, -4), SMALLEST_PX):
        face = ImageFont.truetype(chosen, size_px)
        margin = size_px // 2
        lines = _wrapped(words, face, image.width - 2 * margin)
        height = len(lines) * round(1.25 * size_px) + 2 * margin
        room = image.height if size_px == SMALLEST_PX else image.height * 2 // 3
        if height <= room and all(face.getlength(line) <= image.width - 2 * margin for line in lines):
            pen = ImageDraw.Draw(image)
            for number, line in enumerate(lines):
                place = (margin, margin + number * round(1.25 * size_px))
                pen.text(place, line, font=face, fill="white", stroke_width=max(1, size_px // 12), stroke_fill="black")
            return image
    raise Unusable(f"A text of {len(text):,} signs cannot be read in a picture of {image.width} by {image.height}.")


def blur(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return it blurred (Gaussian), at full strength by 2 % of its longer side."""
    return picture.filter(ImageFilter.GaussianBlur(strength * BLUR_SHARE * max(picture.size)))


def low_contrast(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return it paler: at full strength a tenth of the contrast is left around its mean colour."""
    return Image.blend(picture, Image.new("RGB", picture.size, _mean(picture)), strength * CONTRAST_LOST)


def rotation(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return it turned to one side or the other, at full strength by 30 degrees; the corners have its mean colour."""
    angle = strength * TURN_DEGREES * (1 if draw.random() < 0.5 else -1)
    return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=_mean(picture))


def dense_background(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return it among lines and spots of many colours, at full strength 300."""
    layer = picture.copy()
    pen, (width, height) = ImageDraw.Draw(layer), picture.size
    for _ in range(round(strength * N_SHAPES)):
        colour = tuple(int(256 * draw.random()) for _ in range(3))
        x, y, dx, dy = draw.random() * width, draw.random() * height, draw.random() - 0.5, draw.random() - 0.5
        if draw.random() < 0.5:
            pen.line((x, y, x + dx * width, y + dy * height), fill=colour, width=max(1, width // 80))
        else:
            spot = max(2.0, abs(dx) * width / 8)
            pen.ellipse((x - spot, y - spot, x + spot, y + spot), fill=colour)
    return Image.blend(picture, layer, SHAPES_ALPHA)


def frame(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return it within a plain frame, at full strength a quarter of its longer side wide."""
    width = max(1, round(strength * FRAME_SHARE * max(picture.size)))
    colour = tuple(96 + int(96 * draw.random()) for _ in range(3))
    framed = Image.new("RGB", (picture.width + 2 * width, picture.height + 2 * width), colour)
    framed.paste(picture, (width, width))
    return framed


def shares(text: str, n: int) -> list[str]:
    """Return a text's words in ``n`` runs of about the same length, some empty where there are few: subtitles."""
    words = text.split()
    return [" ".join(words[len(words) * place // n : len(words) * (place + 1) // n]) for place in range(n)]


def _mean(picture: Image.Image) -> tuple[int, ...]:
    return tuple(round(value) for value in ImageStat.Stat(picture).mean)


def _wrapped(words: Sequence[str], face: ImageFont.FreeTypeFont, width_px: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _writable(text: str, font: Path) -> str:
    """Return the text, if the font has all of its letters and needs no shaping that is not installed.

    Raises:
        Unusable: It has not.
    """
    normal = unicodedata.normalize("NFC", text)
    lacking = {sign for sign in normal if sign.isalnum() and ord(sign) not in _glyphs(font)}
    shaped = {sign for sign in normal if unicodedata.bidirectional(sign) in {"R", "AL"} or unicodedata.combining(sign)}
    if shaped and not features.check("raqm"):
        lacking |= shaped
    if lacking:
        raise Unusable(
            f"{font.name} cannot write {len(lacking)} of the text's letters. Name a font of its script as the "
            "operator's `font:`, a TrueType or OpenType file beside the YAML."
        )
    return normal


def _dejavu() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


@cache
def _glyphs(font: Path) -> dict[int, str]:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        return TTFont(font, fontNumber=0).getBestCmap() or {}
    except (OSError, TTLibError) as error:
        raise MissingSource(f"The font {font} cannot be read: {error}. Name a TrueType or OpenType file.") from error
