"""At which times of a video frames are taken: even parts, keyframes, or its shots."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from PIL import Image

# A shot's cut changes this share of a thumbnail's histogram; within a shot it is a few hundredths.
CUT_SHARE = 0.35
N_BINS = 32
THUMBNAIL = 64


class Looked(Protocol):
    """A video that is open (``m2v/media/frames.py``)."""

    info: Any

    def keyframes(self, times: Sequence[float], side: int) -> Iterable[Any]:
        """Return thumbnails of keyframes."""
        ...


def middles(duration_s: float, n: int) -> list[float]:
    """Return the middles of ``n`` even parts, in seconds."""
    return [duration_s * (place + 0.5) / n for place in range(n)]


def nearest(known: Sequence[float], times: Sequence[float]) -> list[float]:
    """Return the known time that is nearest to each."""
    return [min(known, key=lambda cut, time=time: abs(cut - time)) for time in times] if known else list(times)


def in_shots(video: Looked, n: int) -> list[float]:
    """Return times that share the shots out: each shot has its share of frames by length, none of them at its cuts.

    Shots are told apart by thumbnails of keyframes, which cost little: encoders place one at each cut.
    """
    info = video.info
    candidates = [time for time in info.keyframes_s if 0 <= time < info.duration_s]
    if len(candidates) < 2 or n < 2:
        return middles(info.duration_s, n)
    # At most a few per wanted frame, spread over the video.
    step = max(1, len(candidates) // (4 * n))
    thumbnails = [(frame.time_s, _histogram(frame.image)) for frame in video.keyframes(candidates[::step], THUMBNAIL)]
    cuts = [
        time
        for (_, before), (time, after) in pairwise(thumbnails)
        if 0.5 * float(np.abs(after - before).sum()) > CUT_SHARE
    ]
    edges = [0.0, *cuts, info.duration_s]
    shots = [(start, end) for start, end in pairwise(edges) if end > start]
    if len(shots) > n:
        shots = sorted(sorted(shots, key=lambda shot: shot[0] - shot[1])[:n])
    shares = _shared(n, [end - start for start, end in shots])
    times = [
        start + (end - start) * (place + 0.5) / share
        for (start, end), share in zip(shots, shares, strict=True)
        for place in range(share)
    ]
    return sorted(times)


def _shared(n: int, lengths: Sequence[float]) -> list[int]:
    """n things among parts by their lengths, at least one each, by largest remainders."""
    spare = n - len(lengths)
    exact = [spare * length / sum(lengths) for length in lengths]
    shares = [1 + math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (math.floor(exact[place]) - exact[place], place))
    for place in by_remainder[: n - sum(shares)]:
        shares[place] += 1
    return shares


def _histogram(image: Image.Image) -> np.ndarray:
    counts = np.histogram(np.asarray(image.convert("L")), bins=N_BINS, range=(0, 256))[0]
    return counts / max(counts.sum(), 1)
