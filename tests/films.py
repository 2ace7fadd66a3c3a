"""Videos, sounds and pictures made for tests: every frame says which one it is."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

SIZE = (96, 64)


def shade(place: int) -> tuple[int, int, int]:
    """The colour of a frame: neighbours are far enough apart to be told after lossy encoding."""
    return (40 + 60 * (place % 4), 40 + 60 * (place // 4 % 4), 40 + 60 * (place // 16 % 4))


def film(
    path: Path,
    *,
    n: int = 40,
    fps: int = 10,
    size: tuple[int, int] = SIZE,
    colour: Callable[[int], tuple[int, int, int]] = shade,
    gop: int = 12,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    with_sound: bool = False,
    rotation: int = 0,
    bframes: int = 2,
    finds_cuts: bool = False,
    aspect: Fraction | None = None,
) -> Path:
    """A video of n frames, each of one colour.

    Args:
        aspect: Width of a sample by its height.
        finds_cuts: The encoder places keyframes at cuts, as it does unless told otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        cuts = {"sc_threshold": "40", "keyint_min": "1"} if finds_cuts else {"sc_threshold": "0"}
        options = {"g": str(gop), "bf": str(bframes), **cuts} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        sound = container.add_stream("aac", rate=16_000) if with_sound else None
        for place in range(n):
            array = np.empty((size[1], size[0], 3), np.uint8)
            array[:] = colour(place)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = place, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            for packet in _sound(sound, n / fps):
                container.mux(packet)
    if rotation:
        _rotate(path, rotation)
    return path


def shown_at(
    path: Path, times_s: Sequence[float], *, size: tuple[int, int] = SIZE, gop: int = 250, bframes: int = 3
) -> Path:
    """A video of frames shown at these times, each lighter than the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"g": str(gop), "bf": str(bframes), "sc_threshold": "0", "b_strategy": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for place, time_s in enumerate(times_s):
            array = np.full((size[1], size[0], 3), 20 + 200 * place // len(times_s), np.uint8)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_streams(path: Path, sources: Sequence[Path], dispositions: Sequence[Disposition]) -> Path:
    """A file with the first video stream of each source, in order, as they are."""
    opened = [av.open(str(each)) for each in sources]
    with av.open(str(path), "w") as sink:
        streams = [sink.add_stream_from_template(each.streams.video[0]) for each in opened]
        for stream, disposition in zip(streams, dispositions, strict=True):
            stream.disposition = disposition
        for source, stream in zip(opened, streams, strict=True):
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    sink.mux(packet)
    for each in opened:
        each.close()
    return path


def tone(path: Path, *, seconds: float = 1.0, hz: float = 440.0, rate: int = 44_100, channels: int = 2) -> Path:
    """A sine as a WAV file."""
    import wave

    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * rate)) / rate
    samples = (0.5 * 32767 * np.sin(2 * math.pi * hz * times)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).tobytes())
    return path


def _sound(stream: "av.AudioStream", seconds: float):
    times = np.arange(int(seconds * 16_000)) / 16_000
    samples = (0.3 * np.sin(2 * math.pi * 440 * times)).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 16_000, 0
    yield from stream.encode(frame)
    yield from stream.encode()


def _rotate(path: Path, degrees: int) -> None:
    """Write the display matrix of an MP4's first track, as a telephone held upright does."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    cos, sin = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    matrix = (cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    content[place : place + 36] = b"".join(each.to_bytes(4, "big", signed=True) for each in matrix)
    path.write_bytes(content)
