"""Pictures and sound for the sample study: memes with their text drawn in, and short videos with a voice of tones."""

import colorsys
import csv
import math
import shutil
import tempfile
from pathlib import Path
from random import Random

import numpy as np

from m2v.files.digests import text_sha256

SIZE = (240, 180)
VIDEO_SIZE, FPS, SECONDS, RATE_HZ = (160, 120), 8, 4, 16_000


def write(folder: Path, *, tables: Path) -> Path:
    """Make the media that the sample's tables name, whole or not at all; give the folder.

    Args:
        tables: Folder with ``veggie_aligned_with_garden.csv`` and ``garden.csv``.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        content = Path(scratch) / "content"
        for row in _rows(tables / "veggie_aligned_with_garden.csv"):
            _picture(row["text"], _made(content / row["image"]))
        for row in {row["id"]: row for row in _rows(tables / "garden.csv")}.values():
            _film(row["text"], _made(content / row["video"]))
            if row["audio"]:
                _sound(row["text"], _made(content / row["audio"]))
        try:
            content.rename(folder)
        except OSError:
            # Another process was first.
            if not folder.is_dir():
                raise
            shutil.rmtree(content)
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _picture(text: str, path: Path) -> None:
    _drawn(text, SIZE).save(path)


def _drawn(text: str, size: tuple[int, int], *, shift: int = 0):
    """Draw a vegetable on a bed, with the text above it; the text decides shape and colours."""
    from PIL import Image, ImageDraw

    draw = Random(text_sha256(text))  # noqa: S311
    sky, bed, body = (_colour(draw, lightness) for lightness in (0.85, 0.35, 0.5))
    image = Image.new("RGB", size, sky)
    pen = ImageDraw.Draw(image)
    width, height = size
    pen.rectangle((0, height * 2 // 3, width, height), fill=bed)
    x, y, radius = width // 2 + shift, height * 2 // 3, height // 5
    pen.ellipse((x - radius, y - radius, x + radius, y + radius * draw.uniform(0.6, 1.4)), fill=body)
    for _ in range(3):
        pen.line((x, y - radius, x + draw.randint(-radius, radius), y - 2 * radius), fill=(40, 120, 40), width=4)
    words, line, top = text.split(), "", 4
    for word in [*words, ""]:
        if len(line) + len(word) > width // 7 or not word:
            pen.text((4, top), line, fill=(0, 0, 0))
            line, top = "", top + 12
        line = f"{line} {word}".strip()
    return image


def _film(text: str, path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = VIDEO_SIZE
        stream.pix_fmt, stream.options = "yuv420p", {"g": "8", "preset": "ultrafast"}
        words = text.split() or [""]
        for number in range(FPS * SECONDS):
            # Each second shows its share of the words, as subtitles would.
            second = number // FPS
            part = words[len(words) * second // SECONDS : len(words) * (second + 1) // SECONDS]
            image = _drawn(" ".join(part), VIDEO_SIZE, shift=int(20 * math.sin(number / 4)))
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _sound(text: str, path: Path) -> None:
    """Write a tone per word with the rhythm of speech: syllables of a hum with overtones, and pauses."""
    import av

    draw = Random(text_sha256(text))  # noqa: S311
    n, rng = SECONDS * RATE_HZ, np.arange(SECONDS * RATE_HZ) / RATE_HZ
    pitch = draw.uniform(90, 220)
    hum = sum(np.sin(2 * np.pi * pitch * overtone * rng) / overtone for overtone in range(1, 6))
    rhythm = np.clip(np.sin(2 * np.pi * draw.uniform(2.5, 4.5) * rng), 0, 1)
    samples = (0.2 * hum * rhythm).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ, layout="mono")
        for start in range(0, n, 1152):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1152], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, start
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _colour(draw: Random, lightness: float) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in colorsys.hls_to_rgb(draw.random(), lightness, 0.5))
