"""Sixteen frames of a five-minute 1080p video by seeking, against decoding all of it as the released scripts do."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np

from figure import report, scratch_folder
from m2v.media import frames

N, SIDE, FPS, SECONDS, SIZE = 16, 560, 30, 300, (1920, 1080)
N_PAIRS = 2
TARGETS = {("even", 60): 10.0, ("even", 250): 3.0, ("keyframe", 60): 10.0, ("keyframe", 250): 10.0}


def main() -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        for gop in (60, 250):
            path = film(Path(folder) / f"{gop}.mp4", gop=gop, seconds=SECONDS, size=SIZE)
            plain = [_timed(lambda path=path: whole_file(path, N)) for _ in range(N_PAIRS)]
            for rule in ("even", "keyframe", "shots"):
                ours = [
                    _timed(lambda path=path, rule=rule: frames.sample(path, N, rule=rule, side=SIDE))
                    for _ in range(N_PAIRS)
                ]
                ratio = median(plain) / median(ours)
                print(f"{rule}, keyframe every {gop}: {median(ours):.2f} s, whole file {median(plain):.1f} s")
                target = TARGETS.get((rule, gop))
                report(
                    f"frames: 16 of 5 minutes of 1080p, {rule}, a keyframe every {gop}, over the whole-file way",
                    ratio,
                    unit="× as fast",
                    target=f"≥ {target:g}" if target else "–",
                    holds=target is None or ratio >= target,
                )
        slowest = 0.0
        for seconds, size, gop in ((1, (320, 240), 250), (3, (640, 360), 30), (10, (1280, 720), 250)):
            path = film(Path(folder) / f"{seconds}.mp4", gop=gop, seconds=seconds, size=size)
            for rule in ("even", "keyframe", "shots"):
                pairs = [
                    _timed(lambda path=path, rule=rule: frames.sample(path, N, rule=rule, side=SIDE))
                    / _timed(lambda path=path: whole_file(path, N))
                    for _ in range(9)
                ]
                print(f"{rule}, {seconds} s of {size[1]}p: {median(pairs):.2f} of the whole-file way's time")
                slowest = max(slowest, median(pairs))
        report(
            "frames: 16 of a short clip, the slowest case, over the whole-file way",
            slowest,
            unit="×",
            target="≤ 1",
            holds=slowest <= 1,
        )


def whole_file(path: Path, n: int) -> list[np.ndarray]:
    """Every frame decoded and converted, then n of them taken at even steps: a re-creation of the released way."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        n_frames = stream.frames
        wanted = set(np.linspace(0, n_frames - 1, n).astype(int).tolist())
        chosen = []
        for place, frame in enumerate(container.decode(stream)):
            if place in wanted:
                chosen.append(np.asarray(frame.to_image().resize((SIDE, SIDE * frame.height // frame.width))))
    return chosen


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def film(path: Path, *, gop: int, seconds: int, size: tuple[int, int]) -> Path:
    """Moving shapes and noise, H.264 as a camera's."""
    random = np.random.default_rng(0)
    width, height = size
    grain = random.integers(0, 14, (height + 64, width + 64), np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    scene = ((columns + rows) * 255 // (width + height)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"g": str(gop), "preset": "ultrafast", "crf": "26", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_type = "AUTO"
        for place in range(seconds * FPS):
            shift = place * 7 % 64
            luma = np.roll(scene, place * 5, axis=1) // 2 + grain[shift : shift + height, shift : shift + width]
            planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    sys.stderr.write(f"made {path.name}: {path.stat().st_size / 1e6:.0f} MB\n")
    return path


if __name__ == "__main__":
    main()
