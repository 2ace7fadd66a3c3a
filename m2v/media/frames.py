"""Frames of a video at exact times, found by seeking instead of decoding the whole file.

A container's index says where its keyframes are, so the decoder starts at the last one before a wanted time and drops
what is not needed on the way. Memory holds one frame at a time, however long the video is.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from m2v.errors import BadInput
from m2v.media import containers, shots

Rule = Literal["even", "shots", "keyframe", "paper"]
MAX_PIXELS = 8192 * 8192
# Packets come in decoding order, which is at most this many frames from the order in which they are shown (H.264 and
# H.265 allow 16 reference frames).
REORDER = 16
# A header that says more than this beyond the last frame's end is not believed.
SLACK_S = 1.0


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        time_s: When it is shown, from the beginning of the video.
        image: RGB, upright.
    """

    time_s: float
    image: Image.Image


@dataclass(frozen=True)
class Info:
    """What a container says, checked against its packets where it says nothing.

    Attributes:
        keyframes_s: Times of keyframes, where the container has an index; else empty.
    """

    duration_s: float
    width: int
    height: int
    has_audio: bool
    keyframes_s: tuple[float, ...]


class NoFrames(BadInput):
    """A file with no frame that can be decoded; the reason is one of a few words."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"{reason}; no frame of it can be decoded.")
        self.reason = reason


def sample(path: Path, n: int, *, rule: Rule = "shots", side: int = 560, variance: float = 100.0) -> list[Frame]:
    """Exactly ``n`` frames, in order of time; of a clip with fewer, some stand twice.

    Rules:
        even: In the middle of n equal parts of the video.
        shots: The same, but each moved away from cuts and spread so that every long shot is seen.
        keyframe: The keyframes nearest to those times; the fastest, and not exact.
        paper: The first frame whose grey levels have more than ``variance``, else the last (n is 1); for several, from
            the first frame on at equal steps. As the scripts released with the M2V paper choose them.

    Args:
        side: The longer side of a frame is scaled down to this.

    Raises:
        NoFrames: There is none.
    """
    with _opened(path) as video:
        info = video.info
        if rule == "paper" and n == 1:
            return [video.first_varied(variance, side)]
        times = {
            "even": lambda: shots.middles(info.duration_s, n),
            "paper": lambda: [info.duration_s * place / n for place in range(n)],
            "keyframe": lambda: shots.nearest(info.keyframes_s, shots.middles(info.duration_s, n)),
            "shots": lambda: shots.in_shots(video, n),
        }[rule]()
        frames = list(
            video.keyframes(times, side) if rule == "keyframe" and info.keyframes_s else video.at(times, side)
        )
    if not frames:
        raise NoFrames(path, "empty")
    # A broken tail gives fewer than asked for.
    return [frames[min(place * len(frames) // n, len(frames) - 1)] for place in range(n)] if len(frames) < n else frames


def probe(path: Path) -> Info:
    """Return what the file holds.

    Raises:
        NoFrames: It has no video that can be decoded.
    """
    with _opened(path) as video:
        return video.info


class Video:
    """An open video stream."""

    def __init__(self, path: Path) -> None:
        self.path, self.wanted_s = path, -math.inf
        # Raw streams have no time stamps; their frames are counted.
        self.is_timed, self.n_counted = True, 0
        self._open()
        width, height = self.stream.codec_context.width, self.stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise NoFrames(path, f"a picture of {width} × {height} is too large")
        has_audio = bool(self.container.streams.audio)
        self.info = Info(self._duration_s(), width, height, has_audio, self._keyframes_s())

    def _open(self) -> None:
        """At the beginning, also of what cannot be sought in."""
        self.container = containers.opened(self.path)
        stream = containers.main(self.container.streams.video)
        if stream is None:
            reason = "audio only" if self.container.streams.audio else "no video stream"
            self.container.close()
            raise NoFrames(self.path, reason)
        self.stream = stream
        # Few encoders write several slices; frame threads decode a few frames more than needed, side by side.
        self.stream.thread_type = "AUTO"
        self.start_s = float((self.stream.start_time or 0) * self.base)
        self.n_counted = 0

    def restart(self) -> None:
        """Back to the beginning."""
        self.container.close()
        self._open()

    @property
    def base(self) -> Fraction:
        """Seconds per unit of the stream's time stamps."""
        return self.stream.time_base or Fraction(1, av.time_base)

    def at(self, times: Sequence[float], side: int) -> Iterator[Frame]:
        """Yield the frame that is on screen at each time (in order), scaled."""
        keyframes = self.info.keyframes_s
        self.stream.codec_context.skip_frame = "DEFAULT"
        shown: Any = None
        coming: Any = None
        decoded: Iterator[Any] = iter(())
        made: tuple[Any, Frame] | None = None
        for time in times:
            behind = shown is None or self._time_s(shown) > time
            # Only if a keyframe lies between is it cheaper to jump than to go on.
            at_hand = self._time_s(shown) if shown is not None else -math.inf
            jump = bisect_right(keyframes, time) > bisect_right(keyframes, at_hand) if keyframes else time - at_hand > 5
            if behind or jump:
                decoded, coming = self._from(time)
                shown = None
            self.wanted_s = time
            while coming is None or self._time_s(coming) <= time + 1e-6:
                shown = coming if coming is not None else shown
                coming = next(decoded, None)
                if coming is None:
                    break
            if shown is None:
                shown = coming
            if shown is None:
                continue
            if made is None or made[0] is not shown:
                made = (shown, Frame(self._time_s(shown), self._image(shown, side)))
            yield made[1]

    def _from(self, time: float) -> tuple[Iterator[Any], Any]:
        """Return a decoder at or before a time, and its first frame.

        Without an index a seek may land behind what was wanted; then it begins earlier, at last at the beginning.
        """
        for back_s in (0.0, 2.0, 15.0):
            if time - back_s <= 0 or not self.is_timed:
                break
            self._seek(time - back_s)
            self.wanted_s = time
            decoded = self._decoded()
            first = next(decoded, None)
            if first is not None and self._time_s(first) <= time + 1e-6:
                return decoded, first
        self.restart()
        self.wanted_s = time
        decoded = self._decoded()
        return decoded, next(decoded, None)

    def keyframes(self, times: Sequence[float], side: int) -> Iterator[Frame]:
        """Yield the keyframe at or before each time (in order), scaled; nothing else is decoded."""
        self.stream.codec_context.skip_frame = "NONKEY"
        self.wanted_s = math.inf
        made: Frame | None = None
        for time in times:
            self._seek(time)
            frame = next(self._decoded(), None)
            if frame is not None and (made is None or made.time_s != self._time_s(frame)):
                made = Frame(self._time_s(frame), self._image(frame, side))
            if made:
                yield made

    def first_varied(self, variance: float, side: int) -> Frame:
        """Return the first frame whose grey levels have more than this variance, else the last."""
        last = None
        self.wanted_s = -math.inf
        for last in self._decoded():
            grey = np.asarray(last.reformat(format="gray").to_ndarray())
            if float(grey.var()) > variance:
                break
        if last is None:
            raise NoFrames(self.path, "empty")
        return Frame(self._time_s(last), self._image(last, side))

    def _decoded(self) -> Iterator[Any]:
        """Frames with a time; a damaged packet is passed over, as players do."""
        codec = self.stream.codec_context
        for packet, is_passed in self._packets():
            if codec.skip_frame != "NONKEY":
                # Frames that are off the screen again by then, and that no other needs, are not decoded.
                codec.skip_frame = "NONREF" if is_passed else "DEFAULT"
            try:
                for frame in packet.decode():
                    if not self.is_timed:
                        frame.pts = round(self.n_counted / self._rate() / self.base)
                        self.n_counted += 1
                    if frame.pts is not None:
                        yield frame
            except FFmpegError:
                continue

    def _packets(self) -> Iterator[tuple[Any, bool]]:
        """Packets in decoding order, and whether a later frame is on screen at the wanted time.

        That is known by a look ahead and not by the rate, which may vary.
        """
        demuxed = self.container.demux(self.stream)
        ahead: deque[Any] = deque()
        newest_s = -math.inf
        while True:
            while len(ahead) <= REORDER:
                try:
                    ahead.append(next(demuxed))
                except (StopIteration, FFmpegError):
                    break
            if not ahead:
                return
            packet = ahead.popleft()
            times = [self._time_s(queued) for queued in (packet, *ahead) if queued.pts is not None]
            newest_s = max([newest_s, *(time for time in times if time <= self.wanted_s + 1e-6)])
            yield packet, packet.pts is not None and self._time_s(packet) < newest_s

    def _seek(self, time: float) -> None:
        try:
            self.container.seek(int((time + self.start_s) / self.base), stream=self.stream, backward=True)
        except FFmpegError:
            self.restart()

    def _time_s(self, frame: Any) -> float:
        return float(frame.pts * self.base) - self.start_s

    def _image(self, frame: Any, side: int) -> Image.Image:
        # Samples that are not square: the longer way is shortened, so that nothing is scaled up.
        aspect = float(self.stream.sample_aspect_ratio or 1)
        width, height = frame.width * min(1.0, aspect), frame.height / max(1.0, aspect)
        scale = min(1.0, side / max(width, height))
        size = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}
        # Scaled while it is converted: at full size the conversion takes longer than decoding.
        array = frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
        return Image.fromarray(array).rotate(frame.rotation, expand=True) if frame.rotation else Image.fromarray(array)

    def _duration_s(self) -> float:
        """Return what the header says, where the packets agree: it may count times of decoding, or what was cut off."""
        stated = (
            self.stream.duration * self.base
            if self.stream.duration
            else Fraction(self.container.duration or 0, av.time_base)
        )
        last_s, end_s, n_packets = self._ending(float(stated))
        if stated and not n_packets:
            self.restart()
            last_s, end_s, n_packets = self._ending(0.0)
        self.restart()
        if not n_packets:
            raise NoFrames(self.path, "empty")
        self.is_timed = bool(stated) or end_s is not None
        if last_s is None or end_s is None:
            return float(stated or n_packets / self._rate())
        return float(stated) if last_s < stated <= end_s + SLACK_S else end_s

    def _ending(self, start_s: float) -> tuple[float | None, float | None, int]:
        """When the last frame is shown, and when it ends; and how many packets there are from a time on."""
        if start_s:
            self._seek(start_s)
        last, end, n_packets = None, None, 0
        try:
            for packet in self.container.demux(self.stream):
                n_packets += bool(packet.size)
                if packet.pts is not None:
                    last = max(last or packet.pts, packet.pts)
                    end = max(end or packet.pts, packet.pts + (packet.duration or 0))
        except FFmpegError:
            pass  # torn
        if last is None or end is None:
            return None, None, n_packets
        return float(last * self.base) - self.start_s, float(end * self.base) - self.start_s, n_packets

    def _rate(self) -> Fraction:
        """Frames per second, for what has no time stamps."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    def _keyframes_s(self) -> tuple[float, ...]:
        # Their time stamps are those of decoding, all early by as much; the first is where the video begins.
        entries = [(float(entry.timestamp * self.base), entry.is_keyframe) for entry in self.stream.index_entries or ()]
        return tuple(sorted(time - entries[0][0] for time, is_keyframe in entries if is_keyframe))


class _opened:  # noqa: N801 (reads as a statement)
    """A video, closed whatever happens.

    Raises:
        NoFrames: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Video:
        try:
            self.video = Video(self.path)
        except containers.Unreadable as error:
            raise NoFrames(self.path, error.reason) from None
        except (FFmpegError, OSError) as error:
            raise NoFrames(self.path, f"unreadable ({type(error).__name__})") from None
        return self.video

    def __exit__(self, *_: object) -> None:
        self.video.container.close()
